"""What the predictions of a campaign have been worth: pure functions of its log.

Every structure that a model chose was predicted before its energy was known. With
z = (E - mean) / σ, σ² the variance of an observed energy, a z far above 0 says that the
model promised too much. What the z say of σ is in `calibration`.
"""

from __future__ import annotations

import math

from bostruct.campaign.records import Trial


def z_score(trial: Trial) -> float | None:
    """Return z of an energy that was predicted; None if one of the two is missing."""
    if trial.energy is None or trial.mean is None or not trial.predictive_variance:
        return None
    return (trial.energy - trial.mean) / math.sqrt(trial.predictive_variance)
