"""How honest the σ of a campaign has been: a pure function of its log.

Every structure that a model chose was predicted before its energy was known: mean, and
the variance s2 of an observed energy. With z = (E - mean) / s, these one-step-ahead
predictions are data left out of the fit, and what is said of a step rests on those
alone whose energies were known when it was planned.

    alpha2 = mean z²     (26) of Grasselli et al., Digital Discovery 4, 2654 (2025)
    q(eps)               the ⌈(n + 1)(1 - eps)⌉th smallest |z|, infinite without one

alpha times s is a calibrated σ. mean ± q s is an interval that the next energy would
miss with a probability of at most eps, were it exchangeable with those before. It is
not quite: a search looks where its model promises most, so the energies tend to come
out above their means (the optimist's curse; `bias` says how far), each new one changes
the model, and steps move on to other structures. So both numbers rest on the last
twenty predictions: the first few, of models of a handful of structures, are the worst
by far, and where σ becomes worse again it is soon widened. Both are about structures
that a search chose, not about any structure; what the intervals have held is counted,
see `foretold`. The search itself uses neither.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import scipy
import torch
from scipy.special import chdtri

from bostruct.campaign.analysis.z_scores import z_score
from bostruct.campaign.records import Trial
from bostruct.errors import check_count
from bostruct.uncertainty.calibration.conformal import (
    ConformalPredictor,
    conformal_rank,
)
from bostruct.uncertainty.calibration.residuals import Residuals
from bostruct.uncertainty.calibration.scaling import MIN_POINTS, calibrate

MISCOVERAGE = 0.1
"""Share of the intervals that may miss, where nothing else is asked for."""

ALPHA_CONFIDENCE = 0.9
"""Of the confidence interval of alpha."""

N_RECENT = 20
"""Predictions that alpha and q rest on, the last ones."""

PRIOR_WEIGHT = 4.0
"""Predictions that a σ which is right from the start is worth, before `LEAST`."""

MAX_Z2 = 25.0
"""Before `LEAST`, a larger z² counts as this."""

CALIBRATION_PREFIX = "calibration_"
"""How the names begin that a step logs among its hyperparameters."""


@final
@dataclass(frozen=True)
class CalibratedPrediction:
    """What is to be expected of an energy, or of a difference between two.

    Attributes:
        mean: Predicted, eV.
        sigma: Its standard deviation as the model said, eV.
        calibrated_sigma: The same times the factor of `Calibrated`, eV.
        low: Lower end of the conformal interval, eV; None while it is infinite.
        high: Upper end.
    """

    mean: float
    sigma: float
    calibrated_sigma: float
    low: float | None
    high: float | None

    def covers(self, energy: float | None) -> bool | None:
        """Return whether an energy is in the interval; None without one of the two."""
        if self.low is None or self.high is None or energy is None:
            return None
        return self.low <= energy <= self.high


@final
@dataclass(frozen=True)
class OnlineCalibration:
    """What the predictions of a campaign have been worth.

    Attributes:
        z: (E - mean) / σ of every energy that had been predicted, in the order asked.
        n_recent: On how many of the last ones alpha and the intervals rest, at most.

    Raises:
        InputError: `n_recent` is below 1.
    """

    z: tuple[float, ...]
    n_recent: int = N_RECENT

    def __post_init__(self) -> None:
        check_count("n_recent", self.n_recent)

    @property
    def recent_z(self) -> tuple[float, ...]:
        """Those that alpha and the intervals rest on."""
        return self.z[-self.n_recent :]

    @property
    def n(self) -> int:
        """Predictions that were tested."""
        return len(self.z)

    @property
    def bias(self) -> float | None:
        """Mean z; above 0, energies were higher than the model had promised."""
        return math.fsum(self.z) / self.n if self.n else None

    @property
    def mean_z2(self) -> float | None:
        """Mean z², 1 where σ is right."""
        return _mean_square(self.z) if self.n else None

    @cached_property
    def alpha(self) -> float | None:
        """What σ is to be multiplied by, (26); None before there are 8 predictions."""
        if len(self.recent_z) < MIN_POINTS or not any(self.recent_z):
            return None
        return float(calibrate(self._residuals()).alpha)

    @property
    def alpha_interval(self) -> tuple[float, float] | None:
        """Where alpha lies with 90 % confidence.

        Mean z² is taken for a χ² variable over its degrees of freedom, as many as its
        own scatter tells (Satterthwaite) and n at most: n if errors are Gaussian,
        fewer if a few outliers make up the mean. Of 8 or more Gaussian errors it holds
        the truth as often as it says; where one error in ten is three times the
        others, 77 to 81 % of the time.
        """
        return None if self.alpha is None else _alpha_interval(self.recent_z)

    @property
    def sigma_factor(self) -> float:
        """What the σ of the next predictions is multiplied by, known or not.

        alpha; before there are 8 predictions, something that widens σ at most: the
        root of the mean z² with four predictions that were right among them.
        """
        if self.alpha is not None:
            return self.alpha
        squares = [min(z * z, MAX_Z2) for z in self.recent_z]
        mean = (PRIOR_WEIGHT + math.fsum(squares)) / (PRIOR_WEIGHT + len(squares))
        return max(1.0, math.sqrt(mean))

    def coverage(self, n_sigma: float = 1.0) -> tuple[float, float, float] | None:
        """Return the share of energies within so many σ, and its interval of 95 %.

        The interval is Wilson's. None without predictions.
        """
        if not self.n:
            return None
        count = sum(abs(z) <= n_sigma for z in self.z)
        return (
            count / self.n,
            *scipy.stats.binomtest(count, self.n).proportion_ci(method="wilson"),
        )

    def quantile(self, eps: float = MISCOVERAGE) -> float:
        """Return by how many σ a new energy is off, except with probability eps.

        Infinite before there are 1 / eps - 1 predictions, see `needed`.

        Raises:
            InputError: eps outside 0 to 1.
        """
        if len(self.recent_z) < min_predictions(eps):
            return math.inf
        return ConformalPredictor.from_residuals(self._residuals(), normalized=True).quantile(eps)

    def predict(
        self, mean: float, variance: float, eps: float = MISCOVERAGE
    ) -> CalibratedPrediction:
        """Return what is to be expected of an energy that a step predicts.

        Args:
            mean: eV.
            variance: Of an observed energy, eV², as predicted.
            eps: Share of the intervals that may miss.

        Raises:
            InputError: eps outside 0 to 1.
        """
        sigma, q = math.sqrt(variance), self.quantile(eps)
        known = math.isfinite(q)
        return CalibratedPrediction(
            mean=mean,
            sigma=sigma,
            calibrated_sigma=self.sigma_factor * sigma,
            low=mean - q * sigma if known else None,
            high=mean + q * sigma if known else None,
        )

    def _residuals(self) -> Residuals:
        """Return the errors that alpha and q rest on, in units of their σ."""
        z = torch.tensor(self.recent_z, dtype=torch.float64)
        return Residuals(z, torch.ones_like(z))

    @property
    def notes(self) -> tuple[str, ...]:
        """What is still missing, a sentence each."""
        tested = f"{self.n} prediction{'' if self.n == 1 else 's'} tested"
        found = []
        if self.n < MIN_POINTS:
            found.append(
                f"{tested}: calibrating σ takes {MIN_POINTS}, until then it is only widened"
            )
        elif self.alpha is None:
            found.append("every prediction was exact: nothing to calibrate by")
        if self.n < min_predictions(MISCOVERAGE):
            found.append(
                f"{tested}: intervals of {1 - MISCOVERAGE:.0%} need at least {min_predictions(MISCOVERAGE)}"
            )
        return tuple(found)

    def logged_values(self) -> dict[str, float]:
        """Return what is logged with a step, before its energies are asked for."""
        found = {"factor": self.sigma_factor, "tested": float(self.n)}
        if self.alpha_interval is not None:
            found["low"], found["high"] = self.alpha_interval
        if math.isfinite(q := self.quantile()):
            found["conformal"] = q
        return {f"{CALIBRATION_PREFIX}{name}": value for name, value in found.items()}


def trial_z_scores(trials: Sequence[Trial]) -> dict[int, float]:
    """Return z by the number of its trial, of all that were predicted and evaluated."""
    found = ((trial.number, z_score(trial)) for trial in trials)
    return {number: z for number, z in found if z is not None}


def online_calibration(trials: Sequence[Trial]) -> OnlineCalibration:
    """Return what the predictions of some trials, in the order asked, were worth."""
    return OnlineCalibration(tuple(trial_z_scores(trials).values()))


def calibration_at_step(
    z_scores: Mapping[int, float], training_trials: Iterable[int]
) -> OnlineCalibration:
    """Return what predictions were worth to a step, from what was known to it alone.

    Args:
        z_scores: z by the number of its trial, later ones too.
        training_trials: The trials that the step was planned from, in the order asked.
    """
    return OnlineCalibration(
        tuple(z_scores[number] for number in training_trials if number in z_scores)
    )


def min_predictions(eps: float) -> int:
    """Return how many predictions an interval takes that may miss in a share of eps.

    >>> needed(0.1), needed(0.05)
    (9, 19)

    Raises:
        InputError: eps outside 0 to 1.
    """
    conformal_rank(1, eps)
    count = max(1, math.floor(1 / eps) - 2)
    while conformal_rank(count, eps) > count:
        count += 1
    return count


def _mean_square(z: Sequence[float]) -> float:
    return math.fsum(each * each for each in z) / len(z)


def _alpha_interval(z: Sequence[float]) -> tuple[float, float]:
    """Return the interval of the root of mean z², of two or more, not all zero."""
    n, mean = len(z), _mean_square(z)
    scatter = math.fsum((each * each - mean) ** 2 for each in z) / (n - 1)
    freedom = n if scatter == 0 else min(float(n), 2 * n * mean**2 / scatter)
    tails = ((1 - ALPHA_CONFIDENCE) / 2, (1 + ALPHA_CONFIDENCE) / 2)
    low, high = (mean * freedom / float(chdtri(freedom, tail)) for tail in tails)
    return math.sqrt(low), math.sqrt(high)
