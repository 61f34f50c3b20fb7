"""Best trials of a campaign by energy, or enthalpy, without doubts and duplicates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bostruct.campaign.atom_matching import is_duplicate
from bostruct.campaign.records import Trial
from bostruct.spaces import Space


def believed_energy(trial: Trial) -> float:
    """Return the energy of a trial, under a pressure its enthalpy, eV.

    It is infinite without one, or with a doubt about it.
    """
    return math.inf if trial.enthalpy is None or trial.doubt else trial.enthalpy


def best_trials(
    trials: Sequence[Trial],
    count: int,
    space: Space | None,
    energies: Sequence[float] | None = None,
) -> list[Trial]:
    """Return the trials of the best structures, best first, without doubts and duplicates.

    Args:
        trials: Trials in the order of their numbers, of which those with an energy count.
        count: Maximum number of structures.
        space: Space that tells duplicates; None keeps them.
        energies: `believed_energy` of each trial, where it is at hand.
    """
    ranked = np.array([believed_energy(t) for t in trials] if energies is None else energies)
    best: list[Trial] = []
    for i in ranked.argsort(kind="stable").tolist():
        if len(best) == count or ranked[i] == math.inf:
            break
        trial = trials[i]
        if space is None or not is_duplicate(space, trial.X, [other.X for other in best]):
            best.append(trial)
    return best
