"""ASE calculator that counts evaluations and ends the search at the target or the limit.

Energy, forces and stress of one structure are one evaluation, as in a campaign. Under a pressure
enthalpies are counted, and end the search; to relaxations ASE's filters of cells add p V.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, final

import numpy as np
import torch

from bostruct.bench.single_objective.interatomic_potentials import FloatArray
from bostruct.evaluators import Evaluation, Evaluator, Failure, evaluate
from bostruct.structures import Structures, to_ase


class SearchFinished(Exception):  # noqa: N818 - no error
    """The task is solved, or the limit of evaluations is reached."""


class EvaluationFailed(Exception):  # noqa: N818 - the search goes on
    """The evaluator has failed, and this relaxation cannot continue."""


@final
class CountingCalculator:
    """Evaluator in the form of an ASE calculator, with a count of its calls.

    Args:
        evaluator: Evaluator of the true energy.
        target_energy: Energy at or below which the search ends, eV.
        max_evaluations: Limit of evaluations.
        pressure: Pressure, eV/Å³.

    Attributes:
        energies: Energies or enthalpies in the order of evaluation, eV; None where the evaluator
            failed.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        target_energy: float,
        max_evaluations: int,
        pressure: float = 0.0,
    ) -> None:
        self.evaluator, self.pressure = evaluator, pressure
        self.target_energy = target_energy
        self.max_evaluations = max_evaluations
        self.energies: list[float | None] = []
        self._template: Structures | None = None
        self._last_result: tuple[FloatArray, Evaluation] | None = None

    @property
    def is_done(self) -> bool:
        """True if the task is solved, or the limit of evaluations is reached."""
        last = self.energies[-1] if self.energies else None
        solved = last is not None and last <= self.target_energy
        return solved or len(self.energies) >= self.max_evaluations

    def attach(self, structure: Structures) -> Any:  # noqa: ANN401 - ASE
        """Return one structure as `ase.Atoms` with this calculator."""
        self._template = structure
        self._last_result = None
        (atoms,) = to_ase(structure)
        atoms.calc = self
        return atoms

    def get_potential_energy(
        self,
        atoms: Any,  # noqa: ANN401 - ASE
        force_consistent: bool = False,
    ) -> float:
        """Return the energy, eV."""
        energy = self._evaluate(atoms).energy
        assert energy is not None
        return energy

    def get_forces(self, atoms: Any) -> FloatArray:  # noqa: ANN401 - ASE
        """Return the forces, eV/Å."""
        return self._known(self._evaluate(atoms).forces)

    def get_stress(self, atoms: Any) -> FloatArray:  # noqa: ANN401 - ASE
        """Return the stress in Voigt order, eV/Å³."""
        return self._known(self._evaluate(atoms).stress)

    def _known(self, values: torch.Tensor | None) -> FloatArray:
        if values is None:
            raise EvaluationFailed
        array: FloatArray = values.numpy().copy()
        return array

    def _evaluate(self, atoms: Any) -> Evaluation:  # noqa: ANN401 - ASE
        vectors: FloatArray = np.concatenate((atoms.positions, atoms.cell[:]), dtype=np.float64)
        if self._last_result is not None and np.array_equal(self._last_result[0], vectors):
            return self._last_result[1]
        if len(self.energies) >= self.max_evaluations:
            raise SearchFinished
        assert self._template is not None
        tensor = torch.from_numpy(vectors).to(self._template.positions)
        if not bool(tensor.isfinite().all()):
            raise EvaluationFailed
        positions, cell = tensor[:-3], tensor[-3:].unsqueeze(0)
        moved = replace(self._template, positions=positions, cell=cell)
        outcome = evaluate(self.evaluator, moved)
        if isinstance(outcome, Failure) or outcome.energy is None:
            self.energies.append(None)
            raise EvaluationFailed
        enthalpy = outcome.energy + self.pressure * float(torch.linalg.det(cell[0]).abs())
        self.energies.append(enthalpy)
        if enthalpy <= self.target_energy:
            raise SearchFinished
        if outcome.forces is None:
            raise EvaluationFailed
        self._last_result = vectors, outcome
        return outcome
