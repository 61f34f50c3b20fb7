"""Requirements of every evaluator."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import cloudpickle
import pytest
import torch
from torch import Tensor

from bostruct.evaluators import Evaluation, Evaluator, Failure, evaluate
from bostruct.evaluators.base import cell_volume
from bostruct.structures import Structures
from bostruct.structures.strain import from_voigt
from bostruct.structures.structures import ATOM_FIELDS
from bostruct.testing.central_differences import assert_gradient
from bostruct.testing.random_generator import seeded_generator


class EvaluatorContract:
    """Requirements of every evaluator; subclasses give fixtures `evaluator` and `structures`.

    `structures` holds at least two structures that the evaluator can compute, without symmetry.

    Attributes:
        deterministic: False if repeated calls may differ by more than `energy_tolerance`.
        conservative: False if forces are not the gradient of the energy.
        permutation_invariant: False if the energy depends on the order of the atoms.
        picklable: False if the evaluator cannot be sent to worker processes.
        energy_tolerance: Difference between energies that should be equal, eV.
        force_tolerance: Difference between forces that should be equal, eV/Å.
        gradient_step: Displacement per coordinate of the central difference, Å.
    """

    deterministic: ClassVar[bool] = True
    conservative: ClassVar[bool] = True
    permutation_invariant: ClassVar[bool] = True
    picklable: ClassVar[bool] = True
    energy_tolerance: ClassVar[float] = 1e-8
    force_tolerance: ClassVar[float] = 1e-6
    gradient_step: ClassVar[float] = 1e-4

    @pytest.fixture
    def failing_structure(self, structures: Structures) -> Structures:
        """A structure that cannot be computed; by default one with positions that are NaN."""
        bad = structures[0]
        return Structures.unchecked(**{**vars(bad), "positions": bad.positions * torch.nan})

    def evaluation(self, evaluator: Evaluator, structure: Structures) -> Evaluation:
        """Return the evaluation of one structure, which must not fail."""
        outcome = evaluate(evaluator, structure)
        assert isinstance(outcome, Evaluation), outcome
        return outcome

    def test_evaluates_a_batch_of_one(self, evaluator: Evaluator, structures: Structures) -> None:
        """One structure gives an energy and forces of its atoms, and is not changed."""
        assert isinstance(evaluator, Evaluator)
        for structure in structures:
            before = structure.positions.clone()
            evaluation = self.evaluation(evaluator, structure)
            assert torch.equal(structure.positions, before)
            assert evaluation.forces is None or evaluation.forces.shape == before.shape

    def test_same_structure_same_result(self, evaluator: Evaluator, structures: Structures) -> None:
        """The result depends on the structure alone, not on earlier calls."""
        if not self.deterministic:
            return
        assert len(structures) > 1, "`structures` must hold at least two"
        first = self.evaluation(evaluator, structures[0])
        self.evaluation(evaluator, structures[1])
        self._assert_same(first, self.evaluation(evaluator, structures[0]))

    def test_forces_are_minus_the_gradient(
        self, evaluator: Evaluator, structures: Structures
    ) -> None:
        """Central differences of the energy give minus the forces, where there are forces."""
        structure = structures[0].without_results()
        evaluation = self.evaluation(evaluator, structure)
        forces = evaluation.forces
        if evaluation.energy is None or forces is None or not self.conservative:
            return

        def moved(positions: Tensor) -> Structures:
            return replace(structure, positions=positions)

        self._assert_gradient(evaluator, moved, structure.positions, -forces)

    def test_stress_is_the_gradient_by_strain(
        self, evaluator: Evaluator, structures: Structures
    ) -> None:
        """Central differences by the strain give the stress times the volume, where there is one.

        At fixed fractional coordinates, as everywhere in bostruct.
        """
        for structure in structures.without_results():
            evaluation, volume = self.evaluation(evaluator, structure), cell_volume(structure)
            if evaluation.energy is not None and evaluation.stress is not None and volume:
                self._assert_stress(evaluator, structure, volume * evaluation.stress)

    def _assert_stress(self, evaluator: Evaluator, structure: Structures, virial: Tensor) -> None:
        """Compare the virial of one structure, `[6]` eV, with central differences."""
        if not self.conservative:
            return

        def strained(strain: Tensor) -> Structures:
            F = torch.eye(3, dtype=strain.dtype) + (strain + strain.T) / 2
            return replace(structure, positions=structure.positions @ F, cell=structure.cell @ F)

        zero = structure.cell.new_zeros(3, 3)
        self._assert_gradient(evaluator, strained, zero, from_voigt(virial))

    def _assert_gradient(
        self,
        evaluator: Evaluator,
        changed: Callable[[Tensor], Structures],
        x: Tensor,
        gradient: Tensor,
    ) -> None:
        """Compare a gradient of the energy with central differences at x."""

        def energy(x: Tensor) -> Tensor:
            return torch.tensor(self.evaluation(evaluator, changed(x)).energy, dtype=torch.float64)

        atol = max(1e-5, 2 * self.energy_tolerance / self.gradient_step)
        assert_gradient(energy, x, gradient, step=self.gradient_step, rtol=1e-4, atol=atol)

    def test_permuting_atoms_permutes_forces(
        self, evaluator: Evaluator, structures: Structures
    ) -> None:
        """The order of the atoms changes the order of the forces, and nothing else."""
        structure = structures[0].without_results()
        order = torch.randperm(len(structure.positions), generator=seeded_generator(0))
        if not self.permutation_invariant:
            return
        values = {name: getattr(structure, name) for name in ATOM_FIELDS}
        permuted = replace(structure, **{k: v[order] for k, v in values.items() if v is not None})
        evaluation = self.evaluation(evaluator, structure)
        if evaluation.forces is not None:
            evaluation = replace(evaluation, forces=evaluation.forces[order])
        self._assert_same(evaluation, self.evaluation(evaluator, permuted))

    def test_failures_are_returned(
        self, evaluator: Evaluator, failing_structure: Structures
    ) -> None:
        """A structure that cannot be computed is a `Failure` with a reason in one line."""
        outcome = evaluate(evaluator, failing_structure)
        assert isinstance(outcome, Failure)
        assert outcome.reason
        assert "\n" not in outcome.reason

    def test_description_is_json(self, evaluator: Evaluator) -> None:
        """The description survives being written down, and names the class."""
        description = evaluator.description()
        assert json.loads(json.dumps(description, allow_nan=False)) == description
        assert description["type"] == type(evaluator).__name__

    def test_travels_to_workers(self, evaluator: Evaluator, structures: Structures) -> None:
        """A pickled copy describes itself equally and gives the same result."""
        if not self.picklable:
            return
        copy: Evaluator = cloudpickle.loads(cloudpickle.dumps(evaluator))
        assert copy.description() == evaluator.description()
        if self.deterministic:
            first = self.evaluation(evaluator, structures[0])
            self._assert_same(first, self.evaluation(copy, structures[0]))

    def _assert_same(self, first: Evaluation, second: Evaluation) -> None:
        assert (first.energy is None) == (second.energy is None)
        if first.energy is not None and second.energy is not None:
            assert abs(first.energy - second.energy) <= self.energy_tolerance
        assert (first.forces is None) == (second.forces is None)
        if first.forces is not None and second.forces is not None:
            assert (first.forces - second.forces).abs().max() <= self.force_tolerance
        assert (first.stress is None) == (second.stress is None)
        assert list(first.properties) == list(second.properties)
