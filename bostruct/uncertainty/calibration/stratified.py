"""Are variances right everywhere, or only on average?

Section 2.4.2 of Grasselli et al., Digital Discovery 4, 2654 (2025), after Pernot,
arXiv 2309.06240 (2023): consistency asks it for each size of the predicted variance,
adaptivity for each kind of structure. Neither implies the other.

Notation
    zeta  [n]  1   e / s
    g     1        strata
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import final

import torch
from scipy.special import gammaincinv
from torch import Tensor

from bostruct.errors import InputError, ShapeError, check_count, check_fraction, error_message
from bostruct.uncertainty.calibration.conformal import indices_by_label
from bostruct.uncertainty.calibration.reliability import BinnedCalibrationError, ence
from bostruct.uncertainty.calibration.residuals import ArrayLike, Residuals, as_finite_tensor
from bostruct.uncertainty.calibration.scaling import (
    MIN_POINTS,
    Calibration,
    CalibrationMethod,
    calibrate,
    read_json_fields,
)


@final
@dataclass(frozen=True)
class Stratum:
    """How well the variances of one stratum fit its errors.

    Attributes:
        label: of the stratum.
        n_points: points.
        mean_z2: mean ζ², 1: the alpha2 of (26) that the stratum would take.
        lower: 1, lower end of the interval of `mean_z2`.
        upper: 1, its upper end.
        ence: of the stratum, in bins of 8 points or more, 10 at most.
    """

    label: Hashable
    n_points: int
    mean_z2: float
    lower: float
    upper: float
    ence: BinnedCalibrationError

    @property
    def is_flagged(self) -> bool:
        """Whether the interval excludes one."""
        return not self.lower <= 1 <= self.upper


@final
@dataclass(frozen=True)
class Strata:
    """All strata of one division.

    Attributes:
        strata: one each.
        confidence: probability that no calibrated stratum is flagged.
    """

    strata: tuple[Stratum, ...]
    confidence: float

    @property
    def is_calibrated(self) -> bool:
        """Whether no stratum is flagged."""
        return not self.flagged_strata

    @property
    def flagged_strata(self) -> tuple[Stratum, ...]:
        """The strata whose intervals exclude one."""
        return tuple(stratum for stratum in self.strata if stratum.is_flagged)


def quantile_labels(values: ArrayLike, n_groups: int) -> Tensor:
    """Return which part of equal count each value falls in, `[n]` from 0.

    Ties keep their order.

    Args:
        values: `[n]` any one feature: s, atoms, volume, distance to the data.
        n_groups: parts.

    Raises:
        InputError: an entry is not finite, or there are more parts than values.
        ShapeError: not one row.
    """
    value = as_finite_tensor("values", values)
    if value.dim() != 1:
        raise ShapeError(error_message("values", "have shape [n]", list(value.shape)))
    check_count("n_groups", n_groups)
    if n_groups > len(value):
        condition = f"be at most the number of values, {len(value)}"
        raise InputError(error_message("n_groups", condition, n_groups))
    label = torch.zeros(len(value), dtype=torch.long, device=value.device)
    for i, part in enumerate(value.argsort(stable=True).tensor_split(n_groups)):
        label[part] = i
    return label


def adaptivity(
    residuals: Residuals,
    labels: Iterable[Hashable],
    *,
    confidence: float = 0.95,
    generator: torch.Generator | None = None,
    n_bootstrap: int = 1000,
) -> Strata:
    """Return mean ζ² of each stratum with an interval, all of which hold together.

    For Gaussian errors n mean ζ² follows a chi-squared law, of relative deviation
    √(2/n). Heavy tails scatter more: give a generator, and intervals come from
    resamples. Calibrate first, or a wrong common factor flags all.

    Args:
        residuals: `[n]` residuals.
        labels: n of them: species, composition, size class, phase.
        confidence: probability that calibrated strata all pass, shared among them equally.
        generator: if given, for resamples.
        n_bootstrap: resamples.

    Raises:
        InputError: a stratum of fewer than 8 points, or a level outside 0 to 1.
        ShapeError: residuals with batches, or another number of labels.
    """
    if residuals.error.dim() != 1:
        raise ShapeError(error_message("residuals", "have shape [n]", list(residuals.error.shape)))
    check_fraction("confidence", confidence)
    parts = indices_by_label(labels, residuals.n_points)
    tail = (1 - confidence) / len(parts) / 2
    found = []
    for label, index in parts.items():
        part = residuals.subset(index.to(residuals.error.device))
        if part.n_points < MIN_POINTS:
            way_out = "Merge small strata."
            condition = f"leave at least {MIN_POINTS} points to {label!r}"
            raise InputError(error_message("labels", condition, part.n_points, way_out))
        low, high = _mean_z2_interval(part.z.square(), tail, generator, n_bootstrap)
        ratio = float(part.z.square().mean())
        binned = ence(part, max(1, min(10, part.n_points // MIN_POINTS)))
        found.append(Stratum(label, part.n_points, ratio, low, high, binned))
    return Strata(tuple(found), confidence)


def _mean_z2_interval(
    z2: Tensor, tail_probability: float, generator: torch.Generator | None, n_bootstrap: int
) -> tuple[float, float]:
    """Return what the mean of z² lies between but for `tail_probability` on either side."""
    n = len(z2)
    if generator is None:
        half, ratio = n / 2, float(z2.mean())
        ends = [
            ratio * half / float(gammaincinv(half, x))
            for x in (1 - tail_probability, tail_probability)
        ]
    else:
        check_count("n_bootstrap", n_bootstrap, 2)
        index = torch.randint(n, (n_bootstrap, n), generator=generator).to(z2.device)
        means = z2[index].mean(-1)
        ends = torch.quantile(
            means, means.new_tensor([tail_probability, 1 - tail_probability])
        ).tolist()
    low, high = ends
    return low, high


def consistency(
    residuals: Residuals,
    n_groups: int = 5,
    *,
    confidence: float = 0.95,
    generator: torch.Generator | None = None,
    n_bootstrap: int = 1000,
) -> Strata:
    """Return mean ζ² in parts of equal count by predicted variance, as `adaptivity`.

    Args:
        residuals: `[n]` residuals.
        n_groups: parts, labelled from 0 for the smallest variances.
        confidence: probability that calibrated strata all pass.
        generator: if given, for resamples.
        n_bootstrap: resamples.

    Raises:
        InputError: fewer than 8 points in a part, or a level outside 0 to 1.
        ShapeError: residuals with batches.
    """
    labels = quantile_labels(residuals.variance, n_groups)
    return adaptivity(
        residuals, labels, confidence=confidence, generator=generator, n_bootstrap=n_bootstrap
    )


@final
@dataclass(frozen=True, eq=False)
class GroupedCalibration:
    """A factor for each stratum, and one for the rest.

    Attributes:
        groups: label to factor, for strata of 8 points and more.
        fallback: the factor of all points together, for smaller strata and new labels.
    """

    groups: dict[Hashable, Calibration]
    fallback: Calibration

    @classmethod
    def from_residuals(
        cls,
        residuals: Residuals,
        labels: Iterable[Hashable],
        method: CalibrationMethod = "likelihood",
        *,
        n_members: int | None = None,
        ddof: int = 1,
    ) -> GroupedCalibration:
        """Return the factors of residuals by label; see `calibrate`.

        Args:
            residuals: `[n]` residuals, not fitted to.
            labels: n of them, known without the truth.
            method: as in `calibrate`.
            n_members: as in `calibrate`.
            ddof: as in `calibrate`.

        Raises:
            InputError: as in `calibrate`.
            ShapeError: residuals with batches, or another number of labels.
        """
        if residuals.error.dim() != 1:
            raise ShapeError(
                error_message("residuals", "have shape [n]", list(residuals.error.shape))
            )
        rest = calibrate(residuals, method, n_members=n_members, ddof=ddof)
        groups = {
            label: calibrate(
                residuals.subset(index.to(residuals.error.device)),
                method,
                n_members=n_members,
                ddof=ddof,
            )
            for label, index in indices_by_label(labels, residuals.n_points).items()
            if len(index) >= MIN_POINTS
        }
        return cls(groups, rest)

    def calibrated_variance(self, variance: ArrayLike, labels: Iterable[Hashable]) -> Tensor:
        """Return calibrated variances, `[b]` target unit squared.

        Args:
            variance: `[b]` target unit squared.
            labels: b of them.

        Raises:
            InputError: an entry is not finite.
            ShapeError: not one row, or another number of labels.
        """
        s2 = as_finite_tensor("calibrated_variance", variance)
        if s2.dim() != 1:
            raise ShapeError(error_message("calibrated_variance", "have shape [b]", list(s2.shape)))
        found = s2.clone()
        for label, index in indices_by_label(labels, len(s2)).items():
            found[index] = self.groups.get(label, self.fallback).calibrated_variance(s2[index])
        return found

    def to_json(self) -> str:
        """Return all of it as JSON; labels must be texts or whole numbers.

        Raises:
            InputError: a label is something else.
        """
        for label in self.groups:
            if not isinstance(label, str | int):
                condition = "be texts or integers to be stored"
                raise InputError(error_message("labels", condition, repr(label)))
        groups = [[label, each.to_json()] for label, each in self.groups.items()]
        rest = self.fallback.to_json()
        return json.dumps({"kind": "groups", "groups": groups, "fallback": rest})

    @classmethod
    def from_json(cls, text: str) -> GroupedCalibration:
        """Return what `to_json` wrote.

        Raises:
            InputError: it is something else.
        """
        found = read_json_fields(text, "groups", ("groups", "fallback"))
        groups = {label: Calibration.from_json(each) for label, each in found["groups"]}
        return cls(groups, Calibration.from_json(found["fallback"]))
