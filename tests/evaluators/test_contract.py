"""Every evaluator meets the contract."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from bostruct.evaluators import AlloyProperties, Calculator, Function
from bostruct.structures import from_ase
from bostruct.testing import EvaluatorContract

ELEMENT_ENERGIES = {"Cu": -0.01, "Au": 0.0}


def harmonic(atoms, stiffness):
    """Energy and forces of springs between all pairs."""
    gaps = atoms.positions[:, None] - atoms.positions
    return stiffness * (gaps**2).sum() / 4, -stiffness * gaps.sum(1)


def spins(atoms):
    """Energy and forces of springs between all pairs, with moments for their stiffness."""
    moments = atoms.get_initial_magnetic_moments()
    gaps = atoms.positions[:, None] - atoms.positions
    weighted = np.outer(moments, moments)[..., None] * gaps
    return (weighted * gaps).sum() / 4, -weighted.sum(1)


@pytest.fixture
def structures():
    rng = np.random.default_rng(0)
    trimer = Atoms("CuAuCu", [[0, 0, 0], [2.6, 0, 0], [0.9, 2.4, 0.3]])
    crystal = bulk("Cu", cubic=True)
    crystal.symbols[0] = "Au"
    crystal.positions += rng.uniform(-0.1, 0.1, (4, 3))
    return from_ase([trimer, crystal])


class TestCalculator(EvaluatorContract):
    @pytest.fixture
    def evaluator(self):
        return Calculator(EMT)


class TestCalculatorWithoutForces(EvaluatorContract):
    @pytest.fixture
    def evaluator(self):
        return Calculator(EMT, with_forces=False)


class TestFunction(EvaluatorContract):
    @pytest.fixture
    def evaluator(self):
        return Function(harmonic, {"stiffness": 0.7})


class TestFunctionOfMoments(EvaluatorContract):
    @pytest.fixture
    def evaluator(self):
        return Function(spins)

    @pytest.fixture
    def structures(self, structures):
        moments = torch.tensor([1.0, 2.0, -0.5, 0.3, 0.1, 4.0, 2.0], dtype=torch.float64)
        return replace(structures, magnetic_moments=moments)


class TestAlloyProperties(EvaluatorContract):
    @pytest.fixture
    def evaluator(self):
        return AlloyProperties(EMT, references=ELEMENT_ENERGIES, fmax=0.05)

    @pytest.fixture
    def structures(self, structures):
        return structures[[1, 1]]


class Wrong:
    """An evaluator with one fault."""

    def __init__(self, fault):
        self.fault, self.calls = fault, 0

    def __call__(self, structures):
        self.calls += self.fault == "memory"
        inner = Function(harmonic, {"stiffness": 1.0 + self.calls})(structures)
        forces = inner.forces if self.fault != "forces" else 2 * inner.forces
        energy = inner.energy
        if self.fault == "order":
            energy += float(structures.positions[0].sum())
        return replace(inner, energy=energy, forces=forces)

    def description(self):
        return {"type": "Right"} if self.fault == "description" else {"type": "Wrong"}


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        ("memory", "same_structure_same_result"),
        ("forces", "forces_are_minus_the_gradient"),
        ("order", "permuting_atoms_permutes_forces"),
        ("description", "description_is_json"),
    ],
)
def test_faults_are_seen(fault, test, structures):
    test = getattr(EvaluatorContract(), f"test_{test}")
    arguments = () if fault == "description" else (structures,)
    test(Wrong("none"), *arguments)
    with pytest.raises(AssertionError):
        test(Wrong(fault), *arguments)
