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

from bostruct.bench.uncertainty.method_predictions import Part
from bostruct.uncertainty import (
    Conformal,
    calibrate,
    conformal_rank,
    coverage,
    crps,
    dispersion,
    ence,
    miscalibration,
    nll,
    sharpness,
    spearman,
)

LEVELS = (0.5, 0.9, 0.95)
EPS = 0.1
"""Conformal intervals may miss as many."""

BAND = 0.95
"""Of confidence intervals and of the band of the conformal coverage."""

BINS = 10
EACH = 10
"""Points that a bin is to hold: smaller sets have fewer bins."""

DRAWS = 2000
"""Resamples behind a confidence interval."""


@final
@dataclass(frozen=True)
class Scores:
    """What variances of one quantity are worth on one set.

    Energies in meV/atom, forces in eV/Å; NLL in nats of that unit. What ends in
    `before` has the variances as they were predicted, all else the calibrated ones.

    Attributes:
        structures: How many.
        n: Points.
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
        bins: Of the ENCE.
        area_before: Signed miscalibration area of intervals; negative: overconfident.
        area: The same after.
        sharpness_before: Root mean variance.
        sharpness: The same after.
        dispersion: C_v, sd(σ) / mean(σ).
        nll_before: Negative log-likelihood (19), of a point.
        nll: The same after.
        crps_before: Continuous ranked probability score.
        crps: The same after.
        spearman: Rank correlation of |error| and σ; None if all σ are equal.
        inside50_before: Share within the central 50 % interval, likewise below.
        inside90_before: 90 %.
        inside95_before: 95 %.
        inside50: After calibration, likewise below.
        inside90: 90 %.
        inside95: 95 %.
        conformal: Share within conformal 90 % intervals of width proportional to σ.
        conformal_low: Lower end of what 95 % of all calibration and test sets of these
            sizes would give if they were exchangeable.
        conformal_high: Upper end.
        half_width: Mean half width of these intervals.
        half_width_plain: That of conformal intervals of one width, without σ.
        floored: Variances that had been lifted to the floor.
    """

    structures: int
    n: int
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
    bins: int
    area_before: float
    area: float
    sharpness_before: float
    sharpness: float
    dispersion: float
    nll_before: float
    nll: float
    crps_before: float
    crps: float
    spearman: float | None
    inside50_before: float
    inside90_before: float
    inside95_before: float
    inside50: float
    inside90: float
    inside95: float
    conformal: float
    conformal_low: float
    conformal_high: float
    half_width: float
    half_width_plain: float
    floored: int


def score(calibration: Part, judged: Part) -> Scores:
    """Return what variances are worth on one set, calibrated on another.

    Args:
        calibration: Residuals that the factor and the intervals come from.
        judged: Residuals of the same quantity on the set to be judged.

    Raises:
        InputError: fewer than 8 points to calibrate with or 2 to judge.
    """
    raw = judged.held
    factor = calibrate(calibration.held)
    after = raw.scaled(factor.alpha2)
    low, high = _interval(calibration, judged)
    bins = max(1, min(BINS, raw.n // EACH))
    error = ence(after, bins)
    inside_before, inside = coverage(raw, LEVELS), coverage(after, LEVELS)
    rank = float(spearman(raw))
    own = Conformal.of(
        calibration.held, normalised=True, structure=calibration.structure.double()
    )
    plain = Conformal.of(calibration.held, structure=calibration.structure.double())
    multiple = own.quantile(EPS)
    caught = (raw.z.abs() <= multiple).double()
    b = int(judged.structure.unique().numel())
    least, most = band(own.units, b)
    return Scores(
        structures=b,
        n=raw.n,
        rmse=float(raw.error.square().mean().sqrt()),
        mae=float(raw.error.abs().mean()),
        alpha=float(factor.alpha),
        alpha_robust=float(calibrate(calibration.held, "absolute").alpha),
        z2_before=float(raw.z.square().mean()),
        z2=float(after.z.square().mean()),
        z2_low=low,
        z2_high=high,
        ence_before=float(ence(raw, bins).value),
        ence=float(error.value),
        ence_floor=error.floor,
        bins=bins,
        area_before=float(miscalibration(raw).signed),
        area=float(miscalibration(after).signed),
        sharpness_before=float(sharpness(raw)),
        sharpness=float(sharpness(after)),
        dispersion=float(dispersion(raw)),
        nll_before=float(nll(raw)),
        nll=float(nll(after)),
        crps_before=float(crps(raw)),
        crps=float(crps(after)),
        spearman=rank if math.isfinite(rank) else None,
        inside50_before=float(inside_before[0]),
        inside90_before=float(inside_before[1]),
        inside95_before=float(inside_before[2]),
        inside50=float(inside[0]),
        inside90=float(inside[1]),
        inside95=float(inside[2]),
        conformal=float(_by_structure(caught, judged.structure)[0].mean()),
        conformal_low=least,
        conformal_high=most,
        half_width=multiple * float(raw.std.mean()),
        half_width_plain=plain.quantile(EPS),
        floored=raw.floored,
    )


def band(units: int, judged: int) -> tuple[float, float]:
    """Return between which shares 95 % of conformal coverages lie, by chance alone.

    The coverage of one calibration set is drawn from Beta(k, n + 1 - k), and the number
    of test structures that it catches is binomial of that: beta-binomial together. For
    components of forces, of which a structure may have some inside, it is an upper
    bound of the scatter.

    Args:
        units: n, structures that the intervals come from.
        judged: Structures that they are judged by.

    Raises:
        InputError: there are none to calibrate with.
    """
    k = conformal_rank(units, EPS)
    if k > units:
        return 1.0, 1.0
    law = betabinom(judged, k, units + 1 - k)
    tails = ((1 - BAND) / 2, (1 + BAND) / 2)
    low, high = (float(law.ppf(tail)) / judged for tail in tails)
    return low, high


def _interval(calibration: Part, judged: Part) -> tuple[float, float]:
    """Return the 95 % interval of mean zeta² after calibration.

    Structures of both sets are resampled, and the ratio of their mean zeta² is taken.
    """
    generator = torch.Generator().manual_seed(0)
    ratio = _resampled(judged, generator) / _resampled(calibration, generator)
    tails = ratio.new_tensor([(1 - BAND) / 2, (1 + BAND) / 2])
    low, high = torch.quantile(ratio, tails).tolist()
    return low, high


def _resampled(part: Part, generator: torch.Generator) -> Tensor:
    """Return the mean zeta² of resamples of the structures, `[DRAWS]`."""
    mean, count = _by_structure(part.held.z.square(), part.structure)
    b = len(mean)
    drawn = torch.randint(b, (DRAWS, b), generator=generator)
    total: Tensor = (mean * count)[drawn].sum(-1)
    return total / count[drawn].sum(-1)


def _by_structure(value: Tensor, structure: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of each structure and its number of points, `[b]` each."""
    _, place, count = structure.unique(return_inverse=True, return_counts=True)
    total = value.new_zeros(len(count)).index_add(0, place, value)
    return total / count, count.to(value)
