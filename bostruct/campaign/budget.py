"""Budget of evaluations for the search and for the final relaxation after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bostruct.campaign.relaxation.final_relaxation import FinalRelaxation
from bostruct.campaign.stop import Progress, StoppingCriterion

RELAXATION_BUDGET_DIVISOR = 4
"""Inverse of the largest fraction of the budget that the search leaves to the relaxation."""


@dataclass(frozen=True)
class Budget:
    """Evaluations that a stopping criterion still allows.

    Args:
        reason: Reason for which the search is over; None while it is not.
        remaining: Number of further evaluations, None for any number.
        is_relaxation_due: True if the final relaxation has precedence over the search.
    """

    reason: str | None
    remaining: int | None
    is_relaxation_due: bool = False

    def of_search(self) -> Budget:
        """Return the budget of a search that leaves the final relaxation to be run apart."""
        if self.reason is None and not self.is_relaxation_due:
            return self
        return Budget(self.reason or "what is left being kept for the final relaxation", 0)


def remaining_budget(
    stop: StoppingCriterion,
    progress: Progress,
    final_relaxation: FinalRelaxation | None,
    evaluation_seconds: Callable[[], float],
    n_open: int = 0,
) -> Budget:
    """Return the remaining budget.

    Args:
        stop: Stopping criterion. The time is up where it would end a run without energies.
        progress: Progress of the run.
        final_relaxation: Relaxation after the search, if any.
        evaluation_seconds: Function that gives the typical wall time of an evaluation, s.
        n_open: Number of trials of the search that will still use a part of the budget.
    """
    reason, remaining = stop.reason(progress), stop.remaining(progress)
    if final_relaxation is None:
        return Budget(reason, remaining)
    seconds, most = progress.seconds, final_relaxation.max_evaluations
    total = len(progress.energies) + (remaining or 0)
    reserved_evaluations = min(most, total // RELAXATION_BUDGET_DIVISOR)
    is_due = remaining is not None and remaining - n_open <= reserved_evaluations
    reserved = min(most * evaluation_seconds(), seconds / (RELAXATION_BUDGET_DIVISOR - 1))
    is_due = is_due or stop.reason(Progress(seconds=seconds + reserved)) is not None
    if stop.reason(Progress(seconds=seconds)) is not None:
        remaining = 0
    return Budget(reason, remaining, is_due)
