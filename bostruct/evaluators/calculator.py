"""Any ASE calculator as an evaluator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch

from bostruct.errors import InputError, check_positive, error_message
from bostruct.evaluators.base import (
    MAX_ENERGY_PER_ATOM,
    MAX_FORCE,
    Evaluation,
    Failure,
    check_evaluation,
)
from bostruct.runtime.callable_name import qualified_name, to_json_value
from bostruct.structures import Structures, to_ase


@final
class Calculator:
    """Energies and forces of an ASE calculator.

    The calculator is made when the first energy is asked for, once in each process,
    and never travels between processes: what travels is the factory.

    Args:
        factory: A calculator class, or a function that returns a calculator. Not a
            calculator: workers could not share it.
        with_forces: Whether to ask for forces too; without them the surrogate learns
            from energies alone.
        maximum_energy: A larger |energy| is a failure, eV per atom.
        maximum_force: A larger force on an atom is a failure, eV/Å.
        **arguments: Passed to the factory.

    >>> from ase.calculators.emt import EMT
    >>> Calculator(EMT).description()["factory"]
    'ase.calculators.emt.EMT'
    """

    def __init__(
        self,
        factory: Callable[..., Any],
        *,
        with_forces: bool = True,
        maximum_energy: float = MAX_ENERGY_PER_ATOM,
        maximum_force: float = MAX_FORCE,
        **arguments: object,
    ) -> None:
        made = hasattr(factory, "get_potential_energy") and not isinstance(factory, type)
        if made or not callable(factory):
            found = type(factory).__name__
            way_out = (
                "Pass the class and its arguments, Calculator(EMT, ...), or a function "
                "that returns a calculator: each worker makes its own."
            )
            condition = "be a calculator class or a function"
            raise InputError(error_message("factory", condition, found, way_out))
        self.factory = factory
        self.with_forces = with_forces
        self.maximum_energy = check_positive("maximum_energy", maximum_energy)
        self.maximum_force = check_positive("maximum_force", maximum_force)
        self.arguments = arguments
        self._calculator: Any = None

    def __call__(self, structures: Structures) -> Evaluation | Failure:
        """Return energy and forces of one structure."""
        if self._calculator is None:
            self._calculator = self.factory(**self.arguments)
        atoms = to_ase(structures)[0]
        atoms.calc = self._calculator
        energy = atoms.get_potential_energy()
        forces = None
        if self.with_forces:
            try:
                forces = atoms.get_forces(apply_constraint=False)
            except NotImplementedError:  # ASE's PropertyNotImplementedError is one
                forces = None
        outcome = Evaluation(
            energy,
            None if forces is None else torch.as_tensor(forces),
            provenance={"calculator": qualified_name(type(self._calculator))},
        )
        return check_evaluation(
            outcome,
            len(atoms),
            maximum_energy=self.maximum_energy,
            maximum_force=self.maximum_force,
        )

    def description(self) -> dict[str, Any]:
        """Return what identifies the evaluator, ready for JSON."""
        return {
            "type": "Calculator",
            "factory": qualified_name(self.factory),
            "arguments": to_json_value(self.arguments),
            "with_forces": self.with_forces,
            "maximum_energy": self.maximum_energy,
            "maximum_force": self.maximum_force,
        }

    def __getstate__(self) -> dict[str, Any]:
        """Leave the calculator behind: the other process makes its own."""
        return {**self.__dict__, "_calculator": None}
