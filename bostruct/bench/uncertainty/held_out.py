"""Honesty of a surrogate on held-out data of many kinds: errors, σ, and whether σ grows far away.

Latent σ is that of the noise-free energy; labels without noise should be within it. The observed σ
also holds the fitted noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import torch
from rich.console import Group, RenderableType
from rich.text import Text
from torch import Tensor

from bostruct.bench.benchmark import make_folder, write_json
from bostruct.bench.single_objective.one_step_ahead import central_coverage, median_z2
from bostruct.bench.tables import (
    data_frame,
    dataclass_frame,
    markdown_table,
    terminal_table,
    write_csv,
)
from bostruct.bench.uncertainty.held_out_data import HeldOutSet
from bostruct.bench.uncertainty.method_predictions import MILLI, SupportsFit
from bostruct.errors import BostructError
from bostruct.runtime.atomic_write import write_atomically
from bostruct.runtime.canonical_json import json_finite
from bostruct.runtime.versions import package_versions
from bostruct.structures import Structures
from bostruct.uncertainty import Prediction, Residuals, spearman

ONE_SIGMA_LEVEL = math.erf(math.sqrt(0.5))
"""Probability of the interval of one σ."""

SIGMA_RTOL = 1e-6
"""Relative decrease of σ along a scan that is rounding."""

COLUMNS = (
    *("kind", "method", "n", "ΔE", "ΔF", "z²", "mean z²", "observed z²", "mean observed z²"),
    *("1σ", "rank", "F z²", "mean F z²", "rising", "largest z"),
)

NOTE = (
    "ΔE, ΔF: mean absolute errors of energies, meV/atom, and of force components, eV/Å; z²: of "
    "energies with the latent σ, the median over that of a right σ, and the mean, then both with "
    "the observed σ, ideally 1; 1σ: fraction within the latent σ, ideally 68%; rank: rank "
    "correlation of |error| and latent σ; F z²: of forces; rising: fraction of the steps of a "
    "scan to larger distances in which the latent σ does not fall; largest z: largest |error| over "
    "the latent σ there."
)


@final
@dataclass(frozen=True)
class HeldOutScores:
    """Scores of one method on one kind of held-out data.

    Args:
        kind: Kind of data.
        method: Name of the method.
        n_train: Number of training structures.
        n: Number of held-out structures.
        energy_mae: Mean absolute error of energies, meV/atom.
        force_mae: Mean absolute error of force components, eV/Å; None without forces.
        latent_z2_median: Median z² with the latent σ over that of a standard normal variable.
        latent_z2: Mean z² with the latent σ; None where it is infinite.
        observed_z2_median: Median z² with the observed σ, likewise.
        observed_z2: Mean z² with the observed σ; None where it is infinite.
        within_1_sigma: Fraction of the energies within the latent σ.
        rank_correlation: Rank correlation of |error| and latent σ; None where σ are all equal.
        force_z2_median: Median z² of force components with the latent σ; None without a variance.
        force_z2: Mean z² of force components with the latent σ; None without a variance.
        rising: Fraction of the steps of a scan in which the latent σ does not fall; None where
            there is no scan.
        max_abs_z: Largest |z| with the latent σ; None where it is infinite.
        failure: Sentence of the method that refused the data; "" for none.
    """

    kind: str
    method: str
    n_train: int
    n: int
    energy_mae: float | None = None
    force_mae: float | None = None
    latent_z2_median: float | None = None
    latent_z2: float | None = None
    observed_z2_median: float | None = None
    observed_z2: float | None = None
    within_1_sigma: float | None = None
    rank_correlation: float | None = None
    force_z2_median: float | None = None
    force_z2: float | None = None
    rising: float | None = None
    max_abs_z: float | None = None
    failure: str = ""


def score_held_out(
    methods: Mapping[str, SupportsFit],
    sets: Sequence[HeldOutSet],
    on_progress: Callable[[str], None] | None = None,
) -> list[HeldOutScores]:
    """Return the scores of every method on every kind of data.

    A method that refuses the data with an error of bostruct has none; other errors are raised.

    Args:
        methods: Methods by name.
        sets: Held-out sets; a method is fitted once to training data that several of them share.
        on_progress: Called with a line of text before each fit and each set.
    """
    scores = []
    for name, method in methods.items():
        models: dict[int, Any] = {}
        for entry in sets:
            if on_progress is not None:
                on_progress(f"{name}: {entry.kind}")
            try:
                if id(entry.train) not in models:
                    models[id(entry.train)] = method.fit(entry.train)
                prediction = _predict(models[id(entry.train)], entry.test)
            except BostructError as error:
                n_train, n = len(entry.train), len(entry.test)
                scores.append(HeldOutScores(entry.kind, name, n_train, n, failure=str(error)))
                continue
            scores.append(score_prediction(name, entry, prediction))
    return scores


def score_prediction(method: str, entry: HeldOutSet, prediction: Prediction) -> HeldOutScores:
    """Return the scores of one prediction of held-out data.

    Args:
        method: Name of the method.
        entry: Held-out set of b structures with energies.
        prediction: Prediction of these structures.
    """
    test = entry.test
    assert test.energy is not None
    error = (test.energy - prediction.mean).detach()
    latent, observed = (
        _z_scores(error, variance.detach())
        for variance in (prediction.variance, prediction.predictive_variance)
    )
    least = torch.finfo(error.dtype).tiny  # ranks of zero variances are those of equal ones
    rank = float(spearman(Residuals(error, prediction.variance.detach().clamp(min=least))))
    forces = _force_scores(test, prediction)
    return HeldOutScores(
        kind=entry.kind,
        method=method,
        n_train=len(entry.train),
        n=len(test),
        energy_mae=float((error.abs() / test.counts).mean() * MILLI),
        latent_z2_median=json_finite(median_z2(latent)),
        latent_z2=_mean_square(latent),
        observed_z2_median=json_finite(median_z2(observed)),
        observed_z2=_mean_square(observed),
        within_1_sigma=central_coverage(latent, ONE_SIGMA_LEVEL),
        rank_correlation=json_finite(rank),
        rising=rising_fraction(prediction.variance.detach(), entry.scan_length),
        max_abs_z=json_finite(max(abs(z) for z in latent)),
        force_mae=forces.get("mae"),
        force_z2_median=forces.get("z2_median"),
        force_z2=forces.get("z2"),
    )


def rising_fraction(variance: Tensor, scan_length: int) -> float | None:
    """Return the fraction of the steps of scans in which a variance does not fall.

    Args:
        variance: Variance of each structure, one scan after the other, `[b]` eV².
        scan_length: Number of structures of a scan; 0 for no scan, and None is returned.

    >>> rising_fraction(torch.tensor([1.0, 2.0, 1.5]), 3)
    0.5
    """
    if scan_length < 2:
        return None
    sigma = variance.clamp(min=0).sqrt().reshape(-1, scan_length)
    return float((sigma[:, 1:] >= sigma[:, :-1] * (1 - SIGMA_RTOL)).double().mean())


def held_out_table(scores: Sequence[HeldOutScores]) -> RenderableType:
    """Return the scores as a table for a terminal, with the sentences of methods that refused."""
    frame = data_frame([_cells(row) for row in scores], COLUMNS)
    table = terminal_table(frame, left=("kind", "method"), group="kind")
    refused = [f"{row.method}, {row.kind}: {row.failure}" for row in scores if row.failure]
    return Group(table, Text(NOTE), *map(Text, refused))


def write_held_out(scores: Sequence[HeldOutScores], out: Path) -> None:
    """Write `held_out.json`, `held_out.csv` and `held_out.md`.

    Args:
        scores: Scores of all methods and kinds.
        out: Folder, which is made where it does not exist.

    Raises:
        LogError: a file cannot be written.
    """
    make_folder(out)
    values = {"versions": package_versions(), "scores": [asdict(row) for row in scores]}
    write_json(values, out / "held_out.json")
    write_csv(dataclass_frame(HeldOutScores, scores), out / "held_out.csv")
    text = markdown_table(data_frame([_cells(row) for row in scores], COLUMNS))
    write_atomically(out / "held_out.md", f"{text}\n\n{NOTE}\n".encode())


def _cells(row: HeldOutScores) -> tuple[str, ...]:
    """Return the scores of one row as texts."""

    def number(value: float | None, digits: int = 2) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    return (
        row.kind,
        row.method,
        str(row.n),
        number(row.energy_mae),
        number(row.force_mae, 3),
        number(row.latent_z2_median),
        number(row.latent_z2),
        number(row.observed_z2_median),
        number(row.observed_z2),
        "" if row.within_1_sigma is None else f"{row.within_1_sigma:.0%}",
        number(row.rank_correlation),
        number(row.force_z2_median),
        number(row.force_z2),
        "" if row.rising is None else f"{row.rising:.0%}",
        "" if row.rising is None else number(row.max_abs_z, 1),
    )


def _predict(model: Any, structures: Structures) -> Prediction:  # noqa: ANN401 - any model
    """Return the prediction with variances of forces where the model has them."""
    bare = structures.without_results()
    try:
        prediction: Prediction = model.predict(bare, force_variance=True)
    except TypeError:  # no such keyword
        prediction = model.predict(bare)
    return prediction


def _force_scores(structures: Structures, prediction: Prediction) -> dict[str, float | None]:
    """Return the scores of forces; empty where they are unknown."""
    if prediction.forces is None or structures.forces is None:
        return {}
    mask = structures.forces.isfinite() & ~structures.fixed.unsqueeze(-1)
    error = (structures.forces - prediction.forces.detach())[mask]
    scores: dict[str, float | None] = {"mae": float(error.abs().mean())}
    if prediction.force_variance is not None:
        z = _z_scores(error, prediction.force_variance.detach()[mask])
        scores |= {"z2_median": json_finite(median_z2(z)), "z2": _mean_square(z)}
    return scores


def _z_scores(error: Tensor, variance: Tensor) -> list[float]:
    """Return errors over σ; 0 for no error, infinite for one where σ is zero."""
    z = error / variance.clamp(min=0).sqrt()
    values: list[float] = torch.where(error == 0, torch.zeros_like(z), z).tolist()
    return [value if not math.isnan(value) else math.inf for value in values]


def _mean_square(z: Sequence[float]) -> float | None:
    mean: float | None = json_finite(math.fsum(value * value for value in z) / len(z))
    return mean
