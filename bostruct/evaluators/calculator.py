"""ASE calculators as evaluators."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, final

from bostruct.errors import InputError, check_positive, error_message
from bostruct.evaluators.base import (
    MAX_ENERGY_PER_ATOM,
    MAX_FORCE,
    Evaluation,
    Failure,
    check_evaluation,
    evaluation_limits,
)
from bostruct.evaluators.calculator_instances import CalculatorInstances
from bostruct.evaluators.quarantine import ValidRange, check_valid_range
from bostruct.runtime.callable_name import qualified_name, to_json_value
from bostruct.structures import Structures, to_ase


@final
class Calculator:
    """Energies and forces of an ASE calculator.

    The calculator is made at the first call, once in each process and thread, and never travels
    between them: the factory does. One that has raised is made anew. In a campaign it writes its
    files into the working folder of the trial.

    Args:
        factory: Calculator class, or a function that returns a calculator. A calculator itself is
            refused: workers could not share it.
        with_forces: True to compute forces too; without them the surrogate is trained on energies
            alone.
        maximum_energy: Largest valid |energy|, eV per atom; beyond it the evaluation fails.
        maximum_force: Largest valid force on an atom, eV/Å; beyond it the evaluation fails.
        valid_range: Least and greatest valid energy, eV per atom, None where there is no bound;
            outside of it the evaluation fails. None for no bounds.
        **arguments: Arguments of the factory.

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
        valid_range: ValidRange | None = None,
        **arguments: object,
    ) -> None:
        is_instance = hasattr(factory, "get_potential_energy") and not isinstance(factory, type)
        if is_instance or not callable(factory):
            way_out = (
                "Pass the class and its arguments, Calculator(EMT, ...), or a function "
                "that returns a calculator: each worker makes its own."
            )
            condition, value = "be a calculator class or a function", type(factory).__name__
            raise InputError(error_message("factory", condition, value, way_out))
        self.factory = factory
        self.with_forces = with_forces
        self.maximum_energy = check_positive("maximum_energy", maximum_energy)
        self.maximum_force = check_positive("maximum_force", maximum_force)
        self.valid_range = None
        if valid_range is not None:
            name = "the energy, eV per atom"
            self.valid_range = check_valid_range("valid_range", valid_range, name)
        self.arguments = arguments
        self._instances = CalculatorInstances(factory, arguments)

    def __call__(self, structures: Structures) -> Evaluation | Failure:
        """Return energy and forces of one structure."""
        atoms = to_ase(structures)[0]
        forces = None
        with self._instances.lend() as calculator:
            atoms.calc = calculator
            energy = atoms.get_potential_energy()
            if self.with_forces:
                with suppress(NotImplementedError):  # ASE's PropertyNotImplementedError is one
                    forces = atoms.get_forces(apply_constraint=False)
        provenance = {"calculator": qualified_name(type(calculator))}
        evaluation = Evaluation(energy, forces, provenance=provenance)
        return check_evaluation(evaluation, len(atoms), **evaluation_limits(self))

    def description(self) -> dict[str, Any]:
        """Return the arguments that identify the evaluator, as JSON values."""
        return {
            "type": "Calculator",
            "factory": qualified_name(self.factory),
            "arguments": to_json_value(self.arguments),
            "with_forces": self.with_forces,
            "maximum_energy": self.maximum_energy,
            "maximum_force": self.maximum_force,
            **({} if self.valid_range is None else {"valid_range": list(self.valid_range)}),
        }
