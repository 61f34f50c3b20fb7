"""Best trials of a campaign without doubts and duplicates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bostruct.campaign.atom_matching import is_duplicate
from bostruct.campaign.energy_above_hull import SystemHull, trial_ranks
from bostruct.campaign.records import Trial
from bostruct.spaces import Space


def best_trials(
    trials: Sequence[Trial],
    count: int,
    space: Space | None,
    ranks: Sequence[float] | None = None,
    hull: SystemHull | None = None,
) -> list[Trial]:
    """Return the trials of the best structures, best first, without doubts and duplicates.

    Args:
        trials: Trials in the order of their numbers, of which those with an energy count.
        count: Maximum number of structures.
        space: Space that tells duplicates; None keeps them.
        ranks: `trial_ranks` of the trials, where they are at hand.
        hull: Hull of all trials, where the energy above it is minimized.
    """
    ranked = np.array(trial_ranks(trials, hull) if ranks is None else ranks)
    best: list[Trial] = []
    for i in ranked.argsort(kind="stable").tolist():
        if len(best) == count or ranked[i] == math.inf:
            break
        trial = trials[i]
        if space is None or not is_duplicate(space, trial.X, [other.X for other in best]):
            best.append(trial)
    return best
