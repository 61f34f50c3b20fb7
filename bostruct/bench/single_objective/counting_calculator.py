"""ASE calculator that counts evaluations and ends the search at the target or the limit.

Energy and forces of one structure are one evaluation, as in a campaign.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from bostruct.evaluators import Evaluator, Failure, evaluate
from bostruct.structures import Structures, to_ase

FloatArray = NDArray[np.float64]


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

    Attributes:
        energies: Energies in the order of evaluation, eV; None where the evaluator failed.
    """

    def __init__(self, evaluator: Evaluator, target_energy: float, max_evaluations: int) -> None:
        self.evaluator = evaluator
        self.target_energy = target_energy
        self.max_evaluations = max_evaluations
        self.energies: list[float | None] = []
        self._template: Structures | None = None
        self._last_result: tuple[FloatArray, float, FloatArray] | None = None

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
        return self._evaluate(atoms)[1]

    def get_forces(self, atoms: Any) -> FloatArray:  # noqa: ANN401 - ASE
        """Return the forces, eV/Å."""
        return self._evaluate(atoms)[2].copy()

    def _evaluate(self, atoms: Any) -> tuple[FloatArray, float, FloatArray]:  # noqa: ANN401 - ASE
        positions: FloatArray = np.array(atoms.positions, dtype=np.float64)
        if self._last_result is not None and np.array_equal(self._last_result[0], positions):
            return self._last_result
        if len(self.energies) >= self.max_evaluations:
            raise SearchFinished
        assert self._template is not None
        tensor = torch.from_numpy(positions).to(self._template.positions)
        if not bool(tensor.isfinite().all()):
            raise EvaluationFailed
        outcome = evaluate(self.evaluator, replace(self._template, positions=tensor))
        if isinstance(outcome, Failure) or outcome.energy is None:
            self.energies.append(None)
            raise EvaluationFailed
        self.energies.append(outcome.energy)
        if outcome.energy <= self.target_energy:
            raise SearchFinished
        if outcome.forces is None:
            raise EvaluationFailed
        forces: FloatArray = outcome.forces.numpy()
        self._last_result = (positions, outcome.energy, forces)
        return self._last_result
