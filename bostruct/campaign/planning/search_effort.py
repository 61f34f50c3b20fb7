"""Effort of the search of a step, which grows with the time of an energy.

A surrogate often predicts the best structure before a search finds it, so a longer search
saves energies. Efforts are coarse, and a function of times that are in the log, so a
step that was interrupted is planned again with the effort it had.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Protocol, Self, runtime_checkable

from bostruct.campaign.records import Step, Trial

MAX_EFFORT = 6
"""The largest effort: 64 times the rounds of effort 0."""


@runtime_checkable
class SupportsEffort(Protocol):
    """A search that can be made more thorough."""

    @property
    def max_time_fraction(self) -> float:
        """The time of the search as a fraction of that of an energy."""
        ...

    def with_effort(self, effort: int) -> Self:
        """Return the search that takes about 2^effort times as long."""
        ...


def choose_effort(search: object, trials: Sequence[Trial], steps: Sequence[Step]) -> int:
    """Return the effort of the next search, from 0.

    It is the largest one that is expected to take less than `search.max_time_fraction` of the
    median time of an energy.

    Args:
        search: The search of the campaign; its effort is 0 unless it `SupportsEffort`.
        trials: All trials so far; initial data, failed and unfinished ones do not count.
        steps: All steps so far.
    """
    if not isinstance(search, SupportsEffort):
        return 0
    evaluation_seconds = [
        trial.seconds for trial in trials if trial.state == "done" and not trial.is_initial_data
    ]
    search_seconds = [
        step.seconds["search"] / 2**step.effort for step in steps if step.kind == "model"
    ]
    if not evaluation_seconds or not search_seconds:
        return 0
    affordable = search.max_time_fraction * median(evaluation_seconds)
    affordable /= max(median(search_seconds), 1e-3)
    return min(MAX_EFFORT, max(0, math.floor(math.log2(max(affordable, 1.0)))))
