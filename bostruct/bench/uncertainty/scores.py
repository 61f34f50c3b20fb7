"""All scores of one quantity on one set, before and after calibration.

Scores and their sources are those of `bostruct.uncertainty`. The factor (26) and the
conformal intervals come from the calibration set, all else from the set that is judged.

Points of one structure are not independent: confidence intervals resample structures,
and conformal intervals take structures as the units that are exchangeable.

Notation
    n, b     points (structures, or components of forces), structures
    zeta     [n]  1   error over σ
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
"""Conformal intervals may miss as many."""

CONFIDENCE_LEVEL = 0.95
"""Of confidence intervals and of the band of the conformal coverage."""

MAX_BINS = 10
MIN_POINTS_PER_BIN = 10
"""Points that a bin is to hold: smaller sets have fewer bins."""

N_BOOTSTRAP = 2000
"""Resamples behind a confidence interval."""


@final
@dataclass(frozen=True)
class Scores:
    """What variances of one quantity are worth on one set.

    Energies in meV/atom, forces in eV/Å; NLL in nats of that unit. What ends in
    `before` has the variances as they were predicted, all else the calibrated ones.

    Attributes:
        n_structures: How many.
        n_points: Points.
        rmse: Root mean squared error.
        mae: Mean absolute error.
        alpha: (26), the factor of σ from the calibration set.
        alpha_robust: The same from the mean of |zeta|, less swayed by outliers.
        z2_before: Mean zeta², ideally 1; above, σ is too small.
        z2: The same after.
        z2_low: Lower end of its 95 % interval; the calibration set's scatter is in it.
        z2_high: Upper end.
        ence_before: (28).
        ence: The same after.
        ence_floor: What calibrated Gaussian errors would give.
        n_bins: Of the ENCE.
        miscalibration_area_before: Signed miscalibration area of intervals; negative: overconfident.
        miscalibration_area: The same after.
        sharpness_before: Root mean variance.
        sharpness: The same after.
        dispersion: C_v, sd(σ) / mean(σ).
        nll_before: Negative log-likelihood (19), of a point.
        nll: The same after.
        crps_before: Continuous ranked probability score.
        crps: The same after.
        spearman: Rank correlation of |error| and σ; None if all σ are equal.
        coverage_50_before: Share within the central 50 % interval, likewise below.
        coverage_90_before: 90 %.
        coverage_95_before: 95 %.
        coverage_50: After calibration, likewise below.
        coverage_90: 90 %.
        coverage_95: 95 %.
        conformal_coverage: Share within conformal 90 % intervals of width proportional to σ.
        conformal_coverage_low: Lower end of what 95 % of all calibration and test sets of these
            sizes would give if they were exchangeable.
        conformal_coverage_high: Upper end.
        conformal_half_width: Mean half width of these intervals.
        unnormalized_half_width: That of conformal intervals of one width, without σ.
        n_floored: Variances that had been lifted to the floor.
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
    """Return what variances are worth on one set, calibrated on another.

    Args:
        calibration: Residuals that the factor and the intervals come from.
        test: Residuals of the same quantity on the set to be judged.

    Raises:
        InputError: fewer than 8 points to calibrate with or 2 to judge.
    """
    raw = test.residuals
    factor = calibrate(calibration.residuals)
    after = raw.scaled(factor.alpha2)
    low, high = _z2_confidence_interval(calibration, test)
    bins = max(1, min(MAX_BINS, raw.n_points // MIN_POINTS_PER_BIN))
    error = ence(after, bins)
    inside_before, inside = (
        coverage(raw, COVERAGE_LEVELS),
        coverage(after, COVERAGE_LEVELS),
    )
    rank = float(spearman(raw))
    own = ConformalPredictor.from_residuals(
        calibration.residuals,
        normalized=True,
        structure_ids=calibration.structure_index.double(),
    )
    plain = ConformalPredictor.from_residuals(
        calibration.residuals, structure_ids=calibration.structure_index.double()
    )
    multiple = own.quantile(CONFORMAL_MISCOVERAGE)
    caught = (raw.z.abs() <= multiple).double()
    b = int(test.structure_index.unique().numel())
    least, most = conformal_coverage_band(own.n_units, b)
    return Scores(
        n_structures=b,
        n_points=raw.n_points,
        rmse=float(raw.error.square().mean().sqrt()),
        mae=float(raw.error.abs().mean()),
        alpha=float(factor.alpha),
        alpha_robust=float(calibrate(calibration.residuals, "absolute").alpha),
        z2_before=float(raw.z.square().mean()),
        z2=float(after.z.square().mean()),
        z2_low=low,
        z2_high=high,
        ence_before=float(ence(raw, bins).value),
        ence=float(error.value),
        ence_floor=error.floor,
        n_bins=bins,
        miscalibration_area_before=float(miscalibration_area(raw).signed_area),
        miscalibration_area=float(miscalibration_area(after).signed_area),
        sharpness_before=float(sharpness(raw)),
        sharpness=float(sharpness(after)),
        dispersion=float(dispersion(raw)),
        nll_before=float(nll(raw)),
        nll=float(nll(after)),
        crps_before=float(crps(raw)),
        crps=float(crps(after)),
        spearman=rank if math.isfinite(rank) else None,
        coverage_50_before=float(inside_before[0]),
        coverage_90_before=float(inside_before[1]),
        coverage_95_before=float(inside_before[2]),
        coverage_50=float(inside[0]),
        coverage_90=float(inside[1]),
        coverage_95=float(inside[2]),
        conformal_coverage=float(_structure_means(caught, test.structure_index)[0].mean()),
        conformal_coverage_low=least,
        conformal_coverage_high=most,
        conformal_half_width=multiple * float(raw.std.mean()),
        unnormalized_half_width=plain.quantile(CONFORMAL_MISCOVERAGE),
        n_floored=raw.n_floored,
    )


def conformal_coverage_band(n_calibration: int, n_test: int) -> tuple[float, float]:
    """Return between which shares 95 % of conformal coverages lie, by chance alone.

    The coverage of one calibration set is drawn from Beta(k, n + 1 - k), and the number
    of test structures that it catches is binomial of that: beta-binomial together. For
    components of forces, of which a structure may have some inside, it is an upper
    bound of the scatter.

    Args:
        n_calibration: n, structures that the intervals come from.
        n_test: Structures that they are judged by.

    Raises:
        InputError: there are none to calibrate with.
    """
    k = conformal_rank(n_calibration, CONFORMAL_MISCOVERAGE)
    if k > n_calibration:
        return 1.0, 1.0
    law = betabinom(n_test, k, n_calibration + 1 - k)
    tails = ((1 - CONFIDENCE_LEVEL) / 2, (1 + CONFIDENCE_LEVEL) / 2)
    low, high = (float(law.ppf(tail)) / n_test for tail in tails)
    return low, high


def _z2_confidence_interval(calibration: SetResiduals, test: SetResiduals) -> tuple[float, float]:
    """Return the 95 % interval of mean zeta² after calibration.

    Structures of both sets are resampled, and the ratio of their mean zeta² is taken.
    """
    generator = torch.Generator().manual_seed(0)
    ratio = _bootstrap_mean_z2(test, generator) / _bootstrap_mean_z2(calibration, generator)
    tails = ratio.new_tensor([(1 - CONFIDENCE_LEVEL) / 2, (1 + CONFIDENCE_LEVEL) / 2])
    low, high = torch.quantile(ratio, tails).tolist()
    return low, high


def _bootstrap_mean_z2(set_residuals: SetResiduals, generator: torch.Generator) -> Tensor:
    """Return the mean zeta² of resamples of the structures, `[DRAWS]`."""
    mean, count = _structure_means(
        set_residuals.residuals.z.square(), set_residuals.structure_index
    )
    b = len(mean)
    drawn = torch.randint(b, (N_BOOTSTRAP, b), generator=generator)
    total: Tensor = (mean * count)[drawn].sum(-1)
    return total / count[drawn].sum(-1)


def _structure_means(value: Tensor, structure_index: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of each structure and its number of points, `[b]` each."""
    _, place, count = structure_index.unique(return_inverse=True, return_counts=True)
    total = value.new_zeros(len(count)).index_add(0, place, value)
    return total / count, count.to(value)
