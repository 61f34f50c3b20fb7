"""Logged predictions of the structures that a model selected, calibrated as at their step.

The calibrated σ and the interval of a trial rest on the results that were known when its step was
planned. So the coverage of the intervals is a fair test of the exchangeability that conformal
intervals assume.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from bostruct.campaign.analysis.calibration import (
    MISCOVERAGE,
    CalibratedPrediction,
    OnlineCalibration,
    calibration_at_step,
)
from bostruct.campaign.records import Step, Trial


@final
@dataclass(frozen=True)
class LoggedPrediction:
    """Prediction of one energy from before its evaluation.

    Attributes:
        trial: Number of the trial.
        prediction: Prediction with the variance of an observed energy.
        energy: Energy, eV; None while it is unknown, after a failure, and where it is doubted or
            retracted.
    """

    trial: int
    prediction: CalibratedPrediction
    energy: float | None

    @property
    def covered(self) -> bool | None:
        """True if the interval covers the energy; None without one of the two."""
        return self.prediction.covers(self.energy)

    @property
    def stated_z(self) -> float | None:
        """(E - mean) / σ with mean and σ as stated; None without the energy."""
        if self.energy is None:
            return None
        return (self.energy - self.prediction.stated_mean) / self.prediction.stated_sigma

    def held(self, level: float) -> bool | None:
        """Return whether the energy lies in the central interval as stated; None without it.

        Args:
            level: Probability of the interval, between 0 and 1.
        """
        z = self.stated_z
        return None if z is None else abs(z) <= self.prediction.recalibration.half_width(level)


def logged_predictions(
    trials: Sequence[Trial],
    steps: Sequence[Step],
    z_scores: Mapping[int, float],
    eps: float = MISCOVERAGE,
) -> list[LoggedPrediction]:
    """Return the logged predictions of some trials, in their order.

    Args:
        trials: Trials; those without a prediction are ignored.
        steps: Steps of the campaign.
        z_scores: z scores of all trials before any was retracted or doubted, see `trial_z_scores`.
        eps: Miscoverage of the intervals.

    Raises:
        InputError: eps outside 0 to 1.
    """
    training_trials = {step.number: step.training_trials for step in steps}
    calibrations: dict[int, OnlineCalibration] = {}
    predictions = []
    for trial in trials:
        if trial.mean is None or not trial.predictive_variance:
            continue
        if trial.step not in calibrations:
            calibrations[trial.step] = calibration_at_step(z_scores, training_trials[trial.step])
        prediction = calibrations[trial.step].predict(trial.mean, trial.predictive_variance, eps)
        energy = None if trial.doubt else trial.energy
        predictions.append(LoggedPrediction(trial.number, prediction, energy))
    return predictions
