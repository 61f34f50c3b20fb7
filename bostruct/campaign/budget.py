"""What a stop rule leaves: for the search, and for the check after it."""

from __future__ import annotations

from dataclasses import dataclass

from bostruct.campaign.relaxation.final_relaxation import FinalRelaxation
from bostruct.campaign.stop import Progress, StoppingCriterion

RELAXATION_BUDGET_DIVISOR = 4
"""The search leaves a check at most one part in so many of the budget."""


@dataclass(frozen=True)
class Budget:
    """How many evaluations may still be asked for.

    Args:
        reason: Why the search is over; None while it is not.
        remaining: How many more may be asked for, None for any number.
        is_relaxation_due: Whether what is left is the check's, as far as it needs it.
    """

    reason: str | None
    remaining: int | None
    is_relaxation_due: bool = False


def remaining_budget(
    stop: StoppingCriterion,
    progress: Progress,
    final_relaxation: FinalRelaxation | None,
    evaluation_seconds: float,
) -> Budget:
    """Return what is left.

    Args:
        stop: The rule. The time is up where it ends a run that has no energies.
        progress: Of the run.
        final_relaxation: What comes after the search.
        evaluation_seconds: That an evaluation takes.
    """
    reason, room = stop.reason(progress), stop.remaining(progress)
    if final_relaxation is None:
        return Budget(reason, room)
    passed = progress.seconds
    total = len(progress.energies) + (room or 0)
    due = room is not None and room <= min(
        final_relaxation.max_evaluations, total // RELAXATION_BUDGET_DIVISOR
    )
    kept = min(
        final_relaxation.max_evaluations * evaluation_seconds,
        passed / (RELAXATION_BUDGET_DIVISOR - 1),
    )
    due = due or stop.reason(Progress(seconds=passed + kept)) is not None
    if stop.reason(Progress(seconds=passed)) is not None:
        room = 0
    return Budget(reason, room, due)
