"""z scores of logged predictions.

z = (E - mean) / σ, with σ² the predicted variance of an observed energy, is far above 0 where the
model was too optimistic. `calibration` is computed from the z scores.
"""

from __future__ import annotations

from bostruct.campaign.records import Trial


def z_score(trial: Trial) -> float | None:
    """Return z of a trial; None without an energy that is not doubted, or a prediction."""
    return trial.z_score
