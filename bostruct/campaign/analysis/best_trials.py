"""Best trials of a campaign by energy, or enthalpy, without doubts and duplicates."""

from __future__ import annotations

from collections.abc import Sequence

from bostruct.campaign.atom_matching import is_duplicate
from bostruct.campaign.records import Trial
from bostruct.spaces import Space


def best_trials(trials: Sequence[Trial], count: int, space: Space | None) -> list[Trial]:
    """Return the trials of the best structures, best first, without doubts and duplicates.

    Args:
        trials: Trials, of which those with an energy count.
        count: Maximum number of structures.
        space: Space that tells duplicates; None keeps them.
    """
    done = [(t.enthalpy, t.number, t) for t in trials if t.enthalpy is not None and not t.doubt]
    best: list[Trial] = []
    for _, _, trial in sorted(done, key=lambda item: item[:2]):
        if len(best) == count:
            break
        if space is None or not is_duplicate(space, trial.X, [other.X for other in best]):
            best.append(trial)
    return best
