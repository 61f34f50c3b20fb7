"""What a stop rule leaves: for the search, and for the check after it."""

from __future__ import annotations

from dataclasses import dataclass

from bostruct.campaign.relaxation.final_relaxation import Check
from bostruct.campaign.stop import Progress, Stop

SHARE = 4
"""The search leaves a check at most one part in so many of the budget."""


@dataclass(frozen=True)
class Budget:
    """How many evaluations may still be asked for.

    Args:
        reason: Why the search is over; None while it is not.
        room: How many more may be asked for, None for any number.
        due: Whether what is left is the check's, as far as it needs it.
    """

    reason: str | None
    room: int | None
    due: bool = False


def budget(
    stop: Stop, progress: Progress, check: Check | None, seconds: float
) -> Budget:
    """Return what is left.

    Args:
        stop: The rule. The time is up where it ends a run that has no energies.
        progress: Of the run.
        check: What comes after the search.
        seconds: That an evaluation takes.
    """
    reason, room = stop.reason(progress), stop.room(progress)
    if check is None:
        return Budget(reason, room)
    passed = progress.seconds
    total = len(progress.energies) + (room or 0)
    due = room is not None and room <= min(check.most, total // SHARE)
    kept = min(check.most * seconds, passed / (SHARE - 1))
    due = due or stop.reason(Progress(seconds=passed + kept)) is not None
    if stop.reason(Progress(seconds=passed)) is not None:
        room = 0
    return Budget(reason, room, due)
