"""What was predicted of each structure that a model chose, as it stood at its step.

The calibrated σ and the interval of a trial rest on the outcomes that were known when
its step was planned. So how many of the intervals held is a fair count, of the very
thing that the exchangeability of the conformal intervals is doubted for.
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
    """The prediction of one energy, from before it was asked for.

    Attributes:
        trial: Its number.
        prediction: With the variance of an observed energy.
        energy: What came true, eV; None while it is not known, or if it failed.
    """

    trial: int
    prediction: CalibratedPrediction
    energy: float | None

    @property
    def covered(self) -> bool | None:
        """Whether the energy was in the interval; None without one of the two."""
        return self.prediction.covers(self.energy)


def logged_predictions(
    trials: Sequence[Trial],
    steps: Sequence[Step],
    z_scores: Mapping[int, float],
    eps: float = MISCOVERAGE,
) -> list[LoggedPrediction]:
    """Return what was predicted of some trials, in their order.

    Args:
        trials: Those without a prediction are left out.
        steps: All of the campaign.
        z_scores: Of all of its trials, see `calibration.scores`.
        eps: Share of the intervals that may miss.

    Raises:
        InputError: eps outside 0 to 1.
    """
    known = {step.number: step.training_trials for step in steps}
    seen: dict[int, OnlineCalibration] = {}
    found = []
    for trial in trials:
        if trial.mean is None or not trial.predictive_variance:
            continue
        if trial.step not in seen:
            seen[trial.step] = calibration_at_step(z_scores, known[trial.step])
        expected = seen[trial.step].predict(trial.mean, trial.predictive_variance, eps)
        found.append(LoggedPrediction(trial.number, expected, trial.energy))
    return found
