"""ASE calculators as evaluators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, final

import numpy as np

from bostruct.errors import InputError, check_positive, error_message
from bostruct.evaluators.base import (
    MAX_ENERGY_PER_ATOM,
    MAX_FORCE,
    Evaluation,
    Evaluator,
    Failure,
    cell_volume,
    check_evaluation,
    evaluation_limits,
)
from bostruct.evaluators.calculator_instances import CalculatorInstances
from bostruct.evaluators.evaluation_context import current_context
from bostruct.evaluators.initial_moments import check_magnetic_moments, set_magnetic_moments
from bostruct.evaluators.quarantine import ValidRange, check_valid_range
from bostruct.evaluators.vacuum_box import vacuum_box
from bostruct.runtime.callable_name import qualified_name, to_json_value
from bostruct.structures import Structures, to_ase

if TYPE_CHECKING:
    from ase import Atoms


@final
class Calculator:
    """Energies, forces and stresses of an ASE calculator.

    The calculator is made at the first call, once in each process and thread, and never travels
    between them: the factory does. One that has raised is made anew. In a campaign it writes its
    files into the working folder of the trial.

    It sees the structure with all that this carries: fixed atoms, tags, initial magnetic moments
    and charges, and `charge` and `spin` in `atoms.info`.

    Args:
        factory: Calculator class, or a function that returns a calculator. A calculator itself is
            refused, as workers could not share it; so is an evaluator.
        with_forces: True to compute forces too; without them the surrogate is trained on energies
            alone.
        with_stress: True to read the stress too, where the structure is periodic and the calculator
            has one; a campaign asks for it where the cell varies. Without stresses the cell is
            learnt from energies and forces alone.
        maximum_energy: Largest valid |energy|, eV per atom; beyond it the evaluation fails.
        maximum_force: Largest valid force on an atom, eV/Å; beyond it the evaluation fails.
        valid_range: Least and greatest valid energy, eV per atom, None where there is no bound;
            outside of it the evaluation fails. None for no bounds.
        magnetic_moments: Initial moment by element, μB, of atoms that carry none of their own, as
            in `{"Ni": 0.6}`; other elements have none.
        info: Entries of `atoms.info` for calculators that read them, as in
            `{"charge": 1, "spin": 2}`; those of the structure itself come first.
        vacuum: Least vacuum in Å on each side of a structure that is not periodic along three
            axes, for codes that need a box, such as plane-wave codes; None hands it on as it is.
            The box is the same for all structures of a formula, but for very long ones.
        **arguments: Arguments of the factory.

    Raises:
        InputError: an argument is invalid.

    >>> from ase.calculators.emt import EMT
    >>> Calculator(EMT).description()["factory"]
    'ase.calculators.emt.EMT'
    """

    def __init__(
        self,
        factory: Callable[..., Any],
        *,
        with_forces: bool = True,
        with_stress: bool = True,
        maximum_energy: float = MAX_ENERGY_PER_ATOM,
        maximum_force: float = MAX_FORCE,
        valid_range: ValidRange | None = None,
        magnetic_moments: Mapping[str, float] | None = None,
        info: Mapping[str, Any] | None = None,
        vacuum: float | None = None,
        **arguments: object,
    ) -> None:
        is_instance = hasattr(factory, "get_potential_energy") and not isinstance(factory, type)
        is_evaluator = isinstance(factory, Evaluator)
        if is_instance or is_evaluator or not callable(factory):
            way_out = (
                "Pass the class and its arguments, Calculator(EMT, ...), or a function "
                "that returns a calculator: each worker makes its own."
            )
            if is_evaluator:
                way_out = (
                    "It is an evaluator: use it as it is, or pass the class of its calculator."
                )
            condition, value = "be a calculator class or a function", type(factory).__name__
            raise InputError(error_message("factory", condition, value, way_out))
        self.factory = factory
        self.with_forces = with_forces
        self.with_stress = with_stress
        self.maximum_energy = check_positive("maximum_energy", maximum_energy)
        self.maximum_force = check_positive("maximum_force", maximum_force)
        self.magnetic_moments = check_magnetic_moments(magnetic_moments)
        if info is not None and not isinstance(info, Mapping):
            way_out, value = 'As in {"charge": 1, "spin": 2}.', type(info).__name__
            raise InputError(error_message("info", "hold entries by name", value, way_out))
        self.info = dict(info or {})
        hint = "It is the width of the vacuum on each side, Å."
        self.vacuum = None if vacuum is None else check_positive("vacuum", vacuum, hint)
        self.valid_range = None
        if valid_range is not None:
            name = "the energy, eV per atom"
            self.valid_range = check_valid_range("valid_range", valid_range, name)
        self.arguments = arguments
        self._instances = CalculatorInstances(factory, arguments)
        # One that was set up without stress computes all again when asked for it.
        self._lacks_stress = False

    def __call__(self, structures: Structures) -> Evaluation | Failure:
        """Return energy, forces and stress of one structure."""
        atoms = self.prepare_atoms(structures)
        forces, stress = None, None
        with self._instances.lend() as calculator:
            atoms.calc = calculator
            try:
                energy = atoms.get_potential_energy()
            except np.linalg.LinAlgError as error:
                if atoms.cell.rank == 3:
                    raise
                way_out = "it may need a box: Calculator(..., vacuum=10.0)"
                raise RuntimeError(f"{error}; the structure has no cell, {way_out}") from error
            if self.with_forces:
                with suppress(NotImplementedError):  # ASE's PropertyNotImplementedError is one
                    forces = atoms.get_forces(apply_constraint=False)
            if self._reads_stress(structures, atoms):
                try:
                    stress = calculator.get_stress(atoms)  # in any shape: it is checked below
                except NotImplementedError:
                    self._lacks_stress = True
        provenance = {"calculator": qualified_name(type(calculator))}
        if self.vacuum is not None:
            lengths = " ".join(f"{length:.3f}" for length in atoms.cell.lengths())
            provenance["box"] = f"{lengths} Å"
        evaluation = Evaluation(energy, forces, provenance=provenance, stress=stress)
        volume = cell_volume(structures)
        return check_evaluation(evaluation, len(atoms), volume=volume, **evaluation_limits(self))

    def _reads_stress(self, structures: Structures, atoms: Atoms) -> bool:
        """Return whether the stress of one structure is read; never that of a vacuum box."""
        context = current_context()
        is_of_use = context is None or context.with_stress
        is_boxed = tuple(atoms.pbc.tolist()) != tuple(structures.pbc[0].tolist())
        has_cell = cell_volume(structures) is not None
        is_asked = self.with_stress and not self._lacks_stress
        return is_asked and is_of_use and has_cell and not is_boxed

    def prepare_atoms(self, structures: Structures) -> Atoms:
        """Return one structure as the calculator sees it, in its box and with initial moments."""
        atoms = to_ase(structures)[0]
        set_magnetic_moments(atoms, structures, self.magnetic_moments)
        atoms.info = {**self.info, **atoms.info}
        return atoms if self.vacuum is None else vacuum_box(atoms, self.vacuum)

    def description(self) -> dict[str, Any]:
        """Return the arguments that identify the evaluator, as JSON values."""
        preparation = {
            "magnetic_moments": self.magnetic_moments,
            "info": to_json_value(self.info),
            "vacuum": self.vacuum,
        }
        return {
            "type": "Calculator",
            "factory": qualified_name(self.factory),
            "arguments": to_json_value(self.arguments),
            "with_forces": self.with_forces,
            "maximum_energy": self.maximum_energy,
            "maximum_force": self.maximum_force,
            **{name: value for name, value in preparation.items() if value},
            **({} if self.with_stress else {"with_stress": False}),
            **({} if self.valid_range is None else {"valid_range": list(self.valid_range)}),
        }
