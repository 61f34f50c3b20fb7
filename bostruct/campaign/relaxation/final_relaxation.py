"""The final check: the best structures are relaxed with the evaluator itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, final

from bostruct.errors import InputError, check_count, check_positive, error_message
from bostruct.evaluators import Evaluator


@final
@dataclass(frozen=True)
class FinalRelaxation:
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
        n_structures: Structures of the lowest energies, no two of them the same.
        fmax: Largest force on a movable atom of a relaxed structure, eV/Å.
        max_steps: The most evaluations for each structure.
        interval: Evaluations of the search after which there is a check as well; None for
            the one at the end alone.

    Raises:
        InputError: a number is out of range.
    """

    n_structures: int = 1
    fmax: float = 0.05
    max_steps: int = 20
    interval: int | None = None

    def __post_init__(self) -> None:
        check_count("n_structures", self.n_structures)
        check_positive("fmax", self.fmax, "In eV/Å.")
        check_count("max_steps", self.max_steps)
        if self.interval is not None:
            check_count("interval", self.interval)

    @property
    def max_evaluations(self) -> int:
        """The most evaluations that one check takes."""
        return self.n_structures * self.max_steps

    def description(self) -> dict[str, Any]:
        """Return what identifies the check, ready for JSON."""
        return asdict(self)


def check_final_relaxation(
    final_relaxation: object, evaluator: Evaluator
) -> FinalRelaxation | None:
    """Return the check, if the evaluator has the forces for it.

    Raises:
        InputError: it is no check, or there are no forces.
    """
    if final_relaxation is None:
        return None
    if not isinstance(final_relaxation, FinalRelaxation):
        kind = type(final_relaxation).__name__
        raise InputError(
            error_message("final_relaxation", "be a Check", kind, "For example Check(best=1).")
        )
    factory = getattr(evaluator, "factory", None)
    offered = getattr(factory, "implemented_properties", ("forces",))
    if not getattr(evaluator, "with_forces", True) or "forces" not in offered:
        raise InputError(missing_forces_message("one without"))
    return final_relaxation


def missing_forces_message(found: str) -> str:
    """Return the sentence for an evaluator that has no forces."""
    way_out = "A check relaxes structures: leave it out, or return forces."
    return error_message("evaluator", "return forces for the check", found, way_out)
