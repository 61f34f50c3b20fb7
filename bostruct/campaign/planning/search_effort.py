"""How thoroughly a step searches: the dearer an energy, the longer.

A surrogate often knows the answer before it has been found in it, so a longer search
saves energies. Levels are coarse, and a function of times that are in the log, so a
step that was interrupted is planned again with the level it had.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Protocol, Self, runtime_checkable

from bostruct.campaign.records import Step, Trial

MAX_EFFORT = 6
"""Of the levels: 64 times the rounds of the lowest."""


@runtime_checkable
class SupportsEffort(Protocol):
    """A search that can be made more thorough."""

    @property
    def max_time_fraction(self) -> float:
        """The share of the time of an energy that the search may take."""
        ...

    def with_effort(self, effort: int) -> Self:
        """Return the search, about 2^level times as long."""
        ...


def choose_effort(search: object, trials: Sequence[Trial], steps: Sequence[Step]) -> int:
    """Return how thorough the next search is, from 0.

    It is the largest one that is expected to take less than `search.share` of the
    median time of an energy.

    Args:
        search: Of the campaign; level 0 unless it `Scales`.
        trials: All so far; the failed and the unfinished ones do not count.
        steps: All so far.
    """
    energies = [trial.seconds for trial in trials if trial.state == "done"]
    searches = [step.seconds["search"] / 2**step.effort for step in steps if step.kind == "model"]
    if not isinstance(search, SupportsEffort) or not energies or not searches:
        return 0
    affordable = search.max_time_fraction * median(energies) / max(median(searches), 1e-3)
    return min(MAX_EFFORT, max(0, math.floor(math.log2(max(affordable, 1.0)))))
