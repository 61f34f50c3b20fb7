"""Adaptive weight of the uncertainty, from what earlier predictions were worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, Self, runtime_checkable

from bostruct.campaign.analysis.z_scores import z_score
from bostruct.campaign.records import Trial

INITIAL_KAPPA_FACTOR = 0.5
"""Boldness before anything is known: a model of a few structures is bold by itself."""


KAPPA_FACTOR_RANGE = (0.25, 2.0)
"""Of the boldness."""


DECREASE_FACTOR, INCREASE_FACTOR = 0.7, 1.25
"""Factors after a broken promise, and after one that was kept but did not pay."""


MIN_IMPROVEMENT = 1e-3
"""eV; a lower energy is better by at least this."""


@runtime_checkable
class SupportsKappaScaling(Protocol):
    """An acquisition whose weight of the uncertainty follows what it has paid."""

    def scaled(self, kappa_factor: float) -> Self:
        """Return the acquisition with that much of its usual weight."""
        ...


def adapt_kappa_factor(trials: Sequence[Trial]) -> float:
    """Return the factor on the weight of the uncertainty in the next step.

    An energy more than one σ above its prediction, and no new best, means that the
    uncertain was looked at in vain: less of it. One as predicted, and no new best,
    means that the model has nothing new to show where it is sure: more of it.

    Args:
        trials: All so far, in the order asked.
    """
    factor, best = INITIAL_KAPPA_FACTOR, math.inf
    for trial in trials:
        if trial.energy is None:
            continue
        z = z_score(trial)
        if z is not None and trial.energy >= best - MIN_IMPROVEMENT:
            factor *= DECREASE_FACTOR if z > 1 else INCREASE_FACTOR
            factor = min(max(factor, KAPPA_FACTOR_RANGE[0]), KAPPA_FACTOR_RANGE[1])
        best = min(best, trial.energy)
    return factor
