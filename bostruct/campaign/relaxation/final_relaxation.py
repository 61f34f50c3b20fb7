"""The final check: the best structures are relaxed with the evaluator itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, final

from bostruct.errors import InputError, check_count, check_positive, must
from bostruct.evaluators import Evaluator


@final
@dataclass(frozen=True)
class Check:
    """Relax the best structures with the evaluator when the search has ended.

    Each is relaxed by ASE's `BFGSLineSearch`, one after the other, until its forces are
    below the tolerance; one whose forces are already is left as it is. Every step is an
    evaluation as others are: it is counted, logged with the origin "check", and learnt
    from if the search goes on.

    The check stays within the stop rule: of `Evaluations(n)` the search leaves it
    `best * steps`, but at most a quarter of n; of `WallTime` the time of as many, but
    at most a quarter. What the check does not need the search may use. Where a budget
    ends in the middle of a relaxation, a run with a larger one goes on there.

    Args:
        best: Structures of the lowest energies, no two of them the same.
        tolerance: Largest force on a movable atom of a relaxed structure, eV/Å.
        steps: The most evaluations for each structure.
        every: Evaluations of the search after which there is a check as well; None for
            the one at the end alone.

    Raises:
        InputError: a number is out of range.
    """

    best: int = 1
    tolerance: float = 0.05
    steps: int = 20
    every: int | None = None

    def __post_init__(self) -> None:
        check_count("best", self.best)
        check_positive("tolerance", self.tolerance, "In eV/Å.")
        check_count("steps", self.steps)
        if self.every is not None:
            check_count("every", self.every)

    @property
    def most(self) -> int:
        """The most evaluations that one check takes."""
        return self.best * self.steps

    def description(self) -> dict[str, Any]:
        """Return what identifies the check, ready for JSON."""
        return asdict(self)


def suited(check: object, evaluator: Evaluator) -> Check | None:
    """Return the check, if the evaluator has the forces for it.

    Raises:
        InputError: it is no check, or there are no forces.
    """
    if check is None:
        return None
    if not isinstance(check, Check):
        kind = type(check).__name__
        raise InputError(
            must("check", "be a Check", kind, "For example Check(best=1).")
        )
    factory = getattr(evaluator, "factory", None)
    offered = getattr(factory, "implemented_properties", ("forces",))
    if not getattr(evaluator, "with_forces", True) or "forces" not in offered:
        raise InputError(without_forces("one without"))
    return check


def without_forces(found: str) -> str:
    """Return the sentence for an evaluator that has no forces."""
    way_out = "A check relaxes structures: leave it out, or return forces."
    return must("evaluator", "return forces for the check", found, way_out)
