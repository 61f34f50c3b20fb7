"""Final relaxation of the best structures with the evaluator itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, final

from bostruct.errors import InputError, check_count, check_positive, error_message
from bostruct.evaluators import Evaluator


@final
@dataclass(frozen=True)
class FinalRelaxation:
    """Relaxation of the best structures with the evaluator at the end of the search.

    Structures are relaxed by ASE's `BFGSLineSearch`, one after the other, until the forces are
    below `fmax`; one that is relaxed already is left as it is. Where the cell varies it is relaxed
    with the atoms, under the pressure of the space; without stresses it stays as it is. Every step
    is an evaluation like the others: counted, logged with the generator "relaxation", and training
    data if the search goes on.

    Where structures follow from named coordinates these are relaxed, and `fmax` is in eV per radian
    (or per range over 2 π) of a coordinate. Of `Conformers` all atoms are relaxed, each structure
    in a campaign of its own in the folder `relaxations` of the run folder; those of an `interval`
    move the dihedral angles.

    The relaxation stays within the stopping criterion: of `Evaluations(n)` the search leaves it
    `n_structures * max_steps`, at most a quarter of n; of `WallTime` the time of as many, at most a
    quarter. The search may use the rest. Where a budget ends in the middle of a relaxation, a run
    with a larger one resumes it.

    Args:
        n_structures: Number of structures of the lowest energies, no two of them equal; where
            compositions vary, of the lowest energies above the convex hull.
        fmax: Largest force on a movable atom of a relaxed structure, eV/Å. The force on the cell,
            derivative of the enthalpy by the strain over a length of the space, is below it too.
        max_steps: Maximum number of evaluations for each structure.
        interval: Number of evaluations of the search after which there is a relaxation as well;
            None relaxes at the end only.

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
        """Maximum number of evaluations of one relaxation of all structures."""
        return self.n_structures * self.max_steps

    def description(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return asdict(self)


def check_final_relaxation(
    final_relaxation: object, evaluator: Evaluator
) -> FinalRelaxation | None:
    """Return the final relaxation, if the evaluator returns forces.

    Raises:
        InputError: the argument is no `FinalRelaxation`, or there are no forces.
    """
    if final_relaxation is None:
        return None
    if not isinstance(final_relaxation, FinalRelaxation):
        value = type(final_relaxation).__name__
        hint = "For example FinalRelaxation(n_structures=1)."
        raise InputError(error_message("final_relaxation", "be a FinalRelaxation", value, hint))
    factory = getattr(evaluator, "factory", None)
    properties = getattr(factory, "implemented_properties", ("forces",))
    if not getattr(evaluator, "with_forces", True) or "forces" not in properties:
        raise InputError(missing_forces_message("one without"))
    return final_relaxation


def missing_forces_message(value: str) -> str:
    """Return the error sentence for an evaluator without forces."""
    hint = "Leave `final_relaxation` out, or return forces."
    return error_message("evaluator", "return forces for the final relaxation", value, hint)
