"""Scores of the variances of one quantity on one set, before and after calibration.

Scores and their sources are those of `bostruct.uncertainty`; equation numbers are those of
Grasselli et al., Digital Discovery 4, 2654 (2025). The factor (26) and the conformal intervals come
from the calibration set, all else from the test set.

Points of one structure are not independent: confidence intervals resample structures, and
structures are the exchangeable units of conformal intervals.

Notation
    n, b     points (structures, or components of forces), structures
    z        [n]  1   error over σ
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from scipy.stats import betabinom
from torch import Tensor

from bostruct.bench.uncertainty.method_predictions import SetResiduals
from bostruct.uncertainty import (
    ConformalPredictor,
    calibrate,
    conformal_rank,
    coverage,
    crps,
    dispersion,
    ence,
    miscalibration_area,
    nll,
    sharpness,
    spearman,
)

COVERAGE_LEVELS = (0.5, 0.9, 0.95)
CONFORMAL_MISCOVERAGE = 0.1
"""Fraction of true values outside conformal intervals."""

CONFIDENCE_LEVEL = 0.95
"""Level of confidence intervals and of the band of the conformal coverage."""

MAX_BINS = 10
MIN_POINTS_PER_BIN = 10
"""Smallest mean number of points in a bin; smaller sets have fewer bins."""

N_BOOTSTRAP = 2000
"""Number of bootstrap samples of a confidence interval."""


@final
@dataclass(frozen=True)
class Scores:
    """Scores of the variances of one quantity on one set.

    Energies in meV/atom, forces in eV/Å; NLL in nats of that unit. Names that end in `before` are
    scores of the predicted variances, all others of the calibrated ones.

    Attributes:
        n_structures: Number of structures.
        n_points: Number of points.
        rmse: Root mean squared error.
        mae: Mean absolute error.
        alpha: Factor of σ from the calibration set (26).
        alpha_robust: Factor of σ from the mean of |z|, less sensitive to outliers.
        z2_before: Mean z² before calibration, ideally 1; above, σ is too small.
        z2: Mean z² after calibration.
        z2_low: Lower end of the 95 % interval of `z2`, with the scatter of the calibration set.
        z2_high: Upper end of the 95 % interval of `z2`.
        ence_before: Expected normalized calibration error (28) before calibration.
        ence: Expected normalized calibration error after calibration.
        ence_floor: Expected normalized calibration error of calibrated Gaussian errors.
        n_bins: Number of bins of the calibration error.
        miscalibration_area_before: Signed miscalibration area before calibration, negative for
            overconfidence.
        miscalibration_area: Signed miscalibration area after calibration.
        sharpness_before: Root mean variance before calibration.
        sharpness: Root mean variance after calibration.
        dispersion: Coefficient of variation of σ, sd(σ) / mean(σ).
        nll_before: Negative log-likelihood per point (19) before calibration.
        nll: Negative log-likelihood per point after calibration.
        crps_before: Continuous ranked probability score before calibration.
        crps: Continuous ranked probability score after calibration.
        spearman: Rank correlation of |error| and σ; None if all σ are equal.
        coverage_50_before: Coverage of central 50 % intervals before calibration.
        coverage_90_before: Coverage of central 90 % intervals before calibration.
        coverage_95_before: Coverage of central 95 % intervals before calibration.
        coverage_50: Coverage of central 50 % intervals after calibration.
        coverage_90: Coverage of central 90 % intervals after calibration.
        coverage_95: Coverage of central 95 % intervals after calibration.
        conformal_coverage: Coverage of conformal 90 % intervals with widths proportional to σ.
        conformal_coverage_low: Lower end of the 95 % band of that coverage for exchangeable
            calibration and test sets of these sizes.
        conformal_coverage_high: Upper end of that band.
        conformal_half_width: Mean half width of the conformal intervals.
        unnormalized_half_width: Half width of conformal intervals of one width, without σ.
        n_floored: Number of variances raised to the floor.
    """

    n_structures: int
    n_points: int
    rmse: float
    mae: float
    alpha: float
    alpha_robust: float
    z2_before: float
    z2: float
    z2_low: float
    z2_high: float
    ence_before: float
    ence: float
    ence_floor: float
    n_bins: int
    miscalibration_area_before: float
    miscalibration_area: float
    sharpness_before: float
    sharpness: float
    dispersion: float
    nll_before: float
    nll: float
    crps_before: float
    crps: float
    spearman: float | None
    coverage_50_before: float
    coverage_90_before: float
    coverage_95_before: float
    coverage_50: float
    coverage_90: float
    coverage_95: float
    conformal_coverage: float
    conformal_coverage_low: float
    conformal_coverage_high: float
    conformal_half_width: float
    unnormalized_half_width: float
    n_floored: int


def compute_scores(calibration: SetResiduals, test: SetResiduals) -> Scores:
    """Return the scores of variances on one set, calibrated on another.

    Args:
        calibration: Residuals of the calibration set.
        test: Residuals of the same quantity on the test set.

    Raises:
        InputError: fewer than 8 calibration points or 2 test points.
    """
    raw = test.residuals
    factor = calibrate(calibration.residuals)
    low, high = _z2_confidence_interval(calibration, test)
    bins = max(1, min(MAX_BINS, raw.n_points // MIN_POINTS_PER_BIN))
    rank = float(spearman(raw))
    normalized = ConformalPredictor.from_residuals(
        calibration.residuals, normalized=True, structure_ids=calibration.structure_index.double()
    )
    unnormalized = ConformalPredictor.from_residuals(
        calibration.residuals, structure_ids=calibration.structure_index.double()
    )
    quantile = normalized.quantile(CONFORMAL_MISCOVERAGE)
    covered = (raw.z.abs() <= quantile).double()
    b = int(test.structure_index.unique().numel())
    band = conformal_coverage_band(normalized.n_units, b)
    both: dict[str, float] = {}
    for suffix, residuals in (("_before", raw), ("", raw.scaled(factor.alpha2))):
        inside = coverage(residuals, COVERAGE_LEVELS).tolist()
        values = {
            "z2": residuals.z.square().mean(),
            "ence": ence(residuals, bins).value,
            "miscalibration_area": miscalibration_area(residuals).signed_area,
            "sharpness": sharpness(residuals),
            "nll": nll(residuals),
            "crps": crps(residuals),
            **{f"coverage_{p:.0%}"[:-1]: x for p, x in zip(COVERAGE_LEVELS, inside, strict=True)},
        }
        both |= {f"{name}{suffix}": float(value) for name, value in values.items()}
    return Scores(
        n_structures=b,
        n_points=raw.n_points,
        rmse=float(raw.error.square().mean().sqrt()),
        mae=float(raw.error.abs().mean()),
        alpha=float(factor.alpha),
        alpha_robust=float(calibrate(calibration.residuals, "absolute").alpha),
        z2_low=low,
        z2_high=high,
        ence_floor=ence(raw, bins).floor,
        n_bins=bins,
        dispersion=float(dispersion(raw)),
        spearman=rank if math.isfinite(rank) else None,
        conformal_coverage=float(_structure_means(covered, test.structure_index)[0].mean()),
        conformal_coverage_low=band[0],
        conformal_coverage_high=band[1],
        conformal_half_width=quantile * float(raw.std.mean()),
        unnormalized_half_width=unnormalized.quantile(CONFORMAL_MISCOVERAGE),
        n_floored=raw.n_floored,
        **both,
    )


def conformal_coverage_band(n_calibration: int, n_test: int) -> tuple[float, float]:
    """Return the 95 % band of the conformal coverage for exchangeable sets.

    The coverage of one calibration set follows Beta(k, n + 1 - k), and the number of covered test
    structures is binomial given that: a beta-binomial distribution (Angelopoulos and Bates, 2023).
    For components of forces, of which a structure may have some inside, the band is an upper bound.

    Args:
        n_calibration: Number n of calibration structures.
        n_test: Number of test structures.

    Raises:
        InputError: there are no calibration structures.
    """
    k = conformal_rank(n_calibration, CONFORMAL_MISCOVERAGE)
    if k > n_calibration:
        return 1.0, 1.0
    low, high = betabinom(n_test, k, n_calibration + 1 - k).interval(CONFIDENCE_LEVEL)
    return float(low) / n_test, float(high) / n_test


def _z2_confidence_interval(calibration: SetResiduals, test: SetResiduals) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of mean z² after calibration.

    Structures of both sets are resampled, and the ratio of their mean z² is taken.
    """
    generator = torch.Generator().manual_seed(0)
    ratio = _bootstrap_mean_z2(test, generator) / _bootstrap_mean_z2(calibration, generator)
    tails = ratio.new_tensor([(1 - CONFIDENCE_LEVEL) / 2, (1 + CONFIDENCE_LEVEL) / 2])
    low, high = torch.quantile(ratio, tails).tolist()
    return low, high


def _bootstrap_mean_z2(set_residuals: SetResiduals, generator: torch.Generator) -> Tensor:
    """Return mean z² of bootstrap samples of the structures, `[N_BOOTSTRAP]`."""
    mean, count = _structure_means(
        set_residuals.residuals.z.square(), set_residuals.structure_index
    )
    b = len(mean)
    sample = torch.randint(b, (N_BOOTSTRAP, b), generator=generator)
    total: Tensor = (mean * count)[sample].sum(-1)
    return total / count[sample].sum(-1)


def _structure_means(value: Tensor, structure_index: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the number of points of each structure, `[b]` each."""
    _, index, count = structure_index.unique(return_inverse=True, return_counts=True)
    total = value.new_zeros(len(count)).index_add(0, index, value)
    return total / count, count.to(value)
