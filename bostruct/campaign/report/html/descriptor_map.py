"""Map of the structures that were evaluated: principal components of their mean SOAP vectors.

The descriptor of a structure is the mean of the SOAP power spectra of its atoms. The map shows the
two directions along which these differ most, as deviations from their mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from bostruct import plotting
from bostruct.campaign.report.html.report_figure import (
    MUTED,
    Marks,
    ReportFigure,
    clamped,
    robust_limits,
)
from bostruct.campaign.report.html.report_trials import ReportTrial, ReportTrials
from bostruct.descriptors import SOAP
from bostruct.structures import Structures
from bostruct.structures.convert import covalent_radii

CUTOFF_BOND_LENGTHS = 2.5
"""Reach of the environments in units of the longest bond."""

N_MAX, L_MAX = 4, 3
STRUCTURES_PER_CHUNK = 16
MIN_STRUCTURES = 3


@final
@dataclass(frozen=True, eq=False)
class DescriptorMap:
    """Places of structures on the map.

    Attributes:
        numbers: Numbers of the trials.
        coordinates: `[t, 2]` principal components.
        explained: Fractions of the variance along the two.
    """

    numbers: tuple[int, ...]
    coordinates: Tensor
    explained: tuple[float, float]

    @classmethod
    def from_structures(
        cls, structures: Structures, numbers: Sequence[int]
    ) -> DescriptorMap | None:
        """Return the map of t structures; None of fewer than three, or where all are equal.

        Args:
            structures: Structures in the order of the numbers.
            numbers: Numbers of their trials.
        """
        if len(numbers) < MIN_STRUCTURES:
            return None
        D = mean_power_spectra(structures)
        D = D - D.mean(0)
        U, S, _ = torch.linalg.svd(D, full_matrices=False)
        variance = S.square()
        if not float(variance[0]) > float(torch.finfo(D.dtype).eps) * D.numel():
            return None
        scores = U[:, :2] * S[:2]
        largest = scores.abs().argmax(0)
        scores = scores * torch.where(scores.gather(0, largest.unsqueeze(0)) < 0, -1.0, 1.0)
        if scores.shape[1] < 2:
            scores = torch.nn.functional.pad(scores, (0, 1))
        share = torch.nn.functional.pad(variance / variance.sum(), (0, 1))
        return cls(tuple(numbers), scores, (float(share[0]), float(share[1])))


def mean_power_spectra(structures: Structures) -> Tensor:
    """Return the mean SOAP vector of each structure, `[b, f]`."""
    species = torch.unique(structures.numbers)
    reach = CUTOFF_BOND_LENGTHS * 2 * float(covalent_radii(species).max())
    soap = SOAP(tuple(species.tolist()), reach, N_MAX, L_MAX)
    means = []
    for start in range(0, len(structures), STRUCTURES_PER_CHUNK):
        chunk = structures[start : start + STRUCTURES_PER_CHUNK]
        P = soap(chunk.to(dtype=torch.float64)).detach()
        total = P.new_zeros(len(chunk), P.shape[1]).index_add(0, chunk.index, P)
        means.append(total / chunk.counts.to(P).unsqueeze(-1))
    return torch.cat(means)


def map_figure(found: DescriptorMap, report: ReportTrials) -> ReportFigure:
    """Return the figure of a map, colored by the quantity that the report ranks by."""
    places = dict(zip(found.numbers, found.coordinates.tolist(), strict=True))
    on_map = [trial for trial in report.trials if trial.number in places]
    known = [trial for trial in on_map if trial.value is not None]
    unknown = [trial for trial in on_map if trial.value is None]
    sign = -1.0 if report.larger_is_better else 1.0
    known.sort(key=lambda trial: -sign * _value(trial))  # the best are drawn last
    best = known[-1:]

    def draw(figure: Any) -> Marks:  # noqa: ANN401 - matplotlib
        axes = figure.subplots()
        marks: dict[str, list[int]] = {}
        if unknown:
            x, y = zip(*(places[trial.number] for trial in unknown), strict=True)
            axes.scatter(
                x,
                y,
                marker="x",
                s=14,
                color=MUTED,
                linewidth=0.8,
                gid="map-unknown",
                label="no result",
            )
            marks["map-unknown"] = [trial.number for trial in unknown]
        if known:
            x, y = zip(*(places[trial.number] for trial in known), strict=True)
            values = [_value(trial) - report.origin for trial in known]
            low, high = robust_limits(values)
            low, high = max(low, min(values)), min(high, max(values))
            drawn = axes.scatter(
                x,
                y,
                c=clamped(values, (low, high)),
                s=24,
                linewidth=0.4,
                edgecolor=MUTED,
                cmap="viridis_r" if report.larger_is_better else "viridis",
                gid="map-known",
            )
            marks["map-known"] = [trial.number for trial in known]
            bar = figure.colorbar(drawn, ax=axes, pad=0.02, aspect=28)
            bar.outline.set_visible(False)
            bar.set_label(plotting.wrap_label(report.relative_quantity))
            x, y = zip(*(places[trial.number] for trial in best), strict=True)
            axes.scatter(
                x,
                y,
                s=95,
                facecolor="none",
                edgecolor=plotting.VERMILION,
                linewidth=1.3,
                label="best",
            )
        for which, share in zip("xy", found.explained, strict=True):
            text = f"component {'xy'.index(which) + 1}, {share:.0%} of the variance"
            getattr(axes, f"set_{which}label")(text)
            getattr(axes, f"set_{which}ticks")([])
        return marks

    return ReportFigure(
        name="map",
        title="Map of what was explored",
        caption=(
            "Principal components of the mean SOAP vectors of the evaluated structures: similar "
            "structures are near each other. A click opens the structure in the viewer."
        ),
        alt=f"{len(on_map)} structures in two principal components of their descriptors, colored "
        f"by {report.quantity}.",
        columns=("trial", "component 1", "component 2", report.quantity),
        rows=tuple((t.number, *places[t.number], t.value) for t in on_map),
        draw=draw,
        size=(4.8, 3.5),
    )


def _value(trial: ReportTrial) -> float:
    assert trial.value is not None
    return trial.value
