"""Online calibration of the predicted σ, a pure function of the log.

Every structure that a model selected was predicted before its energy was known: mean, and the
variance s² of an observed energy. With z = (E - mean) / s, these one-step-ahead predictions are
data left out of the fit, and the calibration of a step rests only on those whose energies were
known when it was planned.

    alpha² = mean z²     (26) of Grasselli et al., Digital Discovery 4, 2654 (2025)
    q(eps)               the ⌈(n + 1)(1 - eps)⌉th smallest |z|, infinite without one

alpha s is a calibrated σ. mean ± q s is an interval that the next energy would miss with a
probability of at most eps, were it exchangeable with those before. It is not quite: a search
selects where its model is most optimistic, so the energies tend to lie above their means (the
optimizer's curse; `bias` measures it), each new one changes the model, and the search moves on. So
both numbers rest on the last twenty predictions: the first few, of models of a handful of
structures, are by far the worst, and where σ becomes worse again it is soon widened. Both concern
structures that a search selected, not any structure; the coverage of the intervals is counted, see
`predictions`. The search itself uses neither, but the `recalibration`, which forgets sooner, is
robust, and corrects for the curse too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch

from bostruct.campaign.analysis.recalibration import NO_RECALIBRATION, Recalibration
from bostruct.campaign.analysis.z_scores import z_score
from bostruct.campaign.records import Trial
from bostruct.errors import check_count
from bostruct.uncertainty.calibration.conformal import ConformalPredictor, conformal_rank
from bostruct.uncertainty.calibration.residuals import Residuals
from bostruct.uncertainty.calibration.scaling import MIN_POINTS, calibrate

MISCOVERAGE = 0.1
"""Default miscoverage of conformal intervals."""

ALPHA_CONFIDENCE = 0.9
"""Confidence of the interval of alpha."""

N_RECENT = 20
"""Number of the most recent predictions that alpha and q rest on."""

PRIOR_WEIGHT = 4.0
"""Number of correct predictions added to the mean z² before alpha is known."""

MAX_Z2 = 25.0
"""Upper limit of z² before alpha is known."""

CALIBRATION_PREFIX = "calibration_"
"""Prefix of the values that a step logs among its hyperparameters."""


@final
@dataclass(frozen=True)
class CalibratedPrediction:
    """Predicted energy, or difference of two, with calibrated σ and conformal interval.

    Attributes:
        mean: Mean, eV.
        sigma: Standard deviation of the model, eV.
        calibrated_sigma: Standard deviation times `OnlineCalibration.sigma_factor`, eV.
        low: Lower end of the conformal interval, eV; None while it is infinite.
        high: Upper end of the conformal interval, eV; None while it is infinite.
        recalibration: Correction of mean and σ that the search has made.
    """

    mean: float
    sigma: float
    calibrated_sigma: float
    low: float | None
    high: float | None
    recalibration: Recalibration = NO_RECALIBRATION

    @property
    def stated_mean(self) -> float:
        """Mean as the search states it, eV."""
        return self.mean + self.recalibration.shift * self.sigma

    @property
    def stated_sigma(self) -> float:
        """Standard deviation as the search states it, eV."""
        return self.recalibration.scale * self.sigma

    def covers(self, energy: float | None) -> bool | None:
        """Return whether the interval covers an energy; None without one of the two."""
        if self.low is None or self.high is None or energy is None:
            return None
        return self.low <= energy <= self.high


@final
@dataclass(frozen=True)
class OnlineCalibration:
    """Calibration of the predictions of a campaign.

    Attributes:
        z: (E - mean) / σ of every predicted and evaluated energy, in order.
        n_recent: Maximum number of recent predictions that alpha and the intervals rest on.

    Raises:
        InputError: `n_recent` is below 1.
    """

    z: tuple[float, ...]
    n_recent: int = N_RECENT

    def __post_init__(self) -> None:
        check_count("n_recent", self.n_recent)

    @property
    def recent_z(self) -> tuple[float, ...]:
        """Scores z that alpha and the intervals rest on."""
        return self.z[-self.n_recent :]

    @property
    def n(self) -> int:
        """Number of predictions that were tested."""
        return len(self.z)

    @property
    def bias(self) -> float | None:
        """Mean z, above 0 where energies are higher than predicted."""
        return math.fsum(self.z) / self.n if self.n else None

    @property
    def mean_z2(self) -> float | None:
        """Mean z², 1 where σ is right."""
        return _mean_square(self.z) if self.n else None

    @cached_property
    def alpha(self) -> float | None:
        """Calibrated factor on σ, (26); None before there are 8 predictions."""
        if len(self.recent_z) < MIN_POINTS or not any(self.recent_z):
            return None
        return float(calibrate(self._residuals()).alpha)

    @property
    def alpha_interval(self) -> tuple[float, float] | None:
        """Confidence interval of alpha, 90 %.

        Mean z² is taken as a χ² variable over its degrees of freedom, estimated from its variance
        (Satterthwaite) and n at most: n for Gaussian errors, fewer if a few outliers dominate the
        mean. For 8 or more Gaussian errors the coverage is nominal; where one error in ten is three
        times the others it is 77 to 81 %.
        """
        return None if self.alpha is None else _alpha_interval(self.recent_z)

    @property
    def sigma_factor(self) -> float:
        """Factor on the σ of the next predictions.

        alpha; before there are 8 predictions a factor of at least 1: the root of the mean z² with
        four correct predictions added.
        """
        if self.alpha is not None:
            return self.alpha
        squares = [min(z * z, MAX_Z2) for z in self.recent_z]
        mean = (PRIOR_WEIGHT + math.fsum(squares)) / (PRIOR_WEIGHT + len(squares))
        return max(1.0, math.sqrt(mean))

    @cached_property
    def recalibration(self) -> Recalibration:
        """Shift and scale of the next predictions, as the search uses and states them."""
        return Recalibration.from_z_scores(self.z)

    def coverage(self, n_sigma: float = 1.0) -> tuple[float, float, float] | None:
        """Return the fraction of energies within `n_sigma` σ with its 95 % Wilson interval.

        None without predictions.
        """
        if not self.n:
            return None
        count = sum(abs(z) <= n_sigma for z in self.z)
        return (count / self.n, *wilson_interval(count, self.n))

    def quantile(self, eps: float = MISCOVERAGE) -> float:
        """Return the half width of the conformal intervals of miscoverage eps, in σ.

        Infinite before there are 1 / eps - 1 predictions, see `min_predictions`.

        Raises:
            InputError: eps outside 0 to 1.
        """
        if len(self.recent_z) < min_predictions(eps):
            return math.inf
        return ConformalPredictor.from_residuals(self._residuals(), normalized=True).quantile(eps)

    def predict(
        self, mean: float, variance: float, eps: float = MISCOVERAGE
    ) -> CalibratedPrediction:
        """Return the calibrated prediction of an energy.

        Args:
            mean: Predicted mean, eV.
            variance: Predicted variance of an observed energy, eV².
            eps: Miscoverage of the interval.

        Raises:
            InputError: eps outside 0 to 1.
        """
        sigma, q = math.sqrt(variance), self.quantile(eps)
        is_finite = math.isfinite(q)
        return CalibratedPrediction(
            mean=mean,
            sigma=sigma,
            calibrated_sigma=self.sigma_factor * sigma,
            low=mean - q * sigma if is_finite else None,
            high=mean + q * sigma if is_finite else None,
            recalibration=self.recalibration,
        )

    def _residuals(self) -> Residuals:
        """Return the recent errors in units of their σ."""
        z = torch.tensor(self.recent_z, dtype=torch.float64)
        return Residuals(z, torch.ones_like(z))

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what is still missing."""
        tested = f"{self.n} prediction{'' if self.n == 1 else 's'} tested"
        notes = []
        if self.n < MIN_POINTS:
            notes.append(
                f"{tested}: calibrating σ takes {MIN_POINTS}, until then it is only widened"
            )
        elif self.alpha is None:
            notes.append("every prediction was exact: nothing to calibrate by")
        if self.n < (needed := min_predictions(MISCOVERAGE)):
            notes.append(f"{tested}: intervals of {1 - MISCOVERAGE:.0%} need at least {needed}")
        return tuple(notes)

    def logged_values(self) -> dict[str, float]:
        """Return the values that a step logs before its structures are evaluated."""
        values = {"factor": self.sigma_factor, "tested": float(self.n)}
        if self.alpha_interval is not None:
            values["low"], values["high"] = self.alpha_interval
        if math.isfinite(q := self.quantile()):
            values["conformal"] = q
        return {f"{CALIBRATION_PREFIX}{name}": value for name, value in values.items()}


def trial_z_scores(trials: Sequence[Trial]) -> dict[int, float]:
    """Return z by the number of the trial, of all that were predicted and evaluated."""
    scores = ((trial.number, z_score(trial)) for trial in trials)
    return {number: z for number, z in scores if z is not None}


def online_calibration(trials: Sequence[Trial]) -> OnlineCalibration:
    """Return the calibration of the predictions of some trials, in order."""
    return OnlineCalibration(tuple(trial_z_scores(trials).values()))


def calibration_at_step(
    z_scores: Mapping[int, float], training_trials: Iterable[int]
) -> OnlineCalibration:
    """Return the calibration from the results known to a step.

    Args:
        z_scores: z by the number of the trial; later trials are ignored.
        training_trials: Numbers of the trials that the step was planned from, in order.
    """
    return OnlineCalibration(
        tuple(z_scores[number] for number in training_trials if number in z_scores)
    )


def min_predictions(eps: float) -> int:
    """Return the smallest number of predictions for an interval of miscoverage eps.

    >>> min_predictions(0.1), min_predictions(0.05)
    (9, 19)

    Raises:
        InputError: eps outside 0 to 1.
    """
    conformal_rank(1, eps)
    count = max(1, math.floor(1 / eps) - 2)
    while conformal_rank(count, eps) > count:
        count += 1
    return count


def wilson_interval(count: int, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a proportion; 0 to 1 without an observation.

    J. Am. Stat. Assoc. 22, 209 (1927).

    >>> [round(value, 3) for value in wilson_interval(0, 10)]
    [0.0, 0.278]
    """
    from scipy.stats import binomtest

    if n == 0:
        return 0.0, 1.0
    interval = binomtest(count, n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _mean_square(z: Sequence[float]) -> float:
    return math.fsum(value * value for value in z) / len(z)


def _alpha_interval(z: Sequence[float]) -> tuple[float, float]:
    """Return the interval of the root of mean z², from two or more that are not all zero."""
    from scipy.stats import chi2

    n, mean = len(z), _mean_square(z)
    variance = math.fsum((value * value - mean) ** 2 for value in z) / (n - 1)
    dof = n if variance == 0 else min(float(n), 2 * n * mean**2 / variance)
    tails = ((1 - ALPHA_CONFIDENCE) / 2, (1 + ALPHA_CONFIDENCE) / 2)
    low, high = (mean * dof / float(chi2.isf(tail, dof)) for tail in tails)
    return math.sqrt(low), math.sqrt(high)
