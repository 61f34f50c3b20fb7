import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from bostruct.errors import InputError
from bostruct.evaluators import Evaluation, Failure, Function, evaluate
from bostruct.structures import from_ase

PAIR = from_ase([Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.5]])])


def energy(atoms, scale=1.0):
    return scale * len(atoms)


def test_energy_alone():
    found = Function(energy)(PAIR)
    assert found.energy == 2.0
    assert found.forces is None


def test_arguments_are_passed_and_described():
    evaluator = Function(energy, {"scale": 3.0})
    assert evaluator(PAIR).energy == 6.0
    assert evaluator.description()["arguments"] == {"scale": 3.0}


def test_energy_and_forces():
    found = Function(lambda atoms: (1.0, -atoms.positions))(PAIR)
    assert np.array_equal(found.forces, [[0, 0, 0], [0, 0, -2.5]])
    assert Function(lambda atoms: (1.0, None))(PAIR).forces is None


def test_energy_forces_and_stress():
    crystal = from_ase(bulk("Cu"))
    forces, six = np.zeros((1, 3)), np.arange(6.0)
    found = evaluate(Function(lambda atoms: (1.0, forces, six)), crystal)
    assert np.array_equal(found.stress, six)
    answer = {"energy": 1.0, "stress": np.diag([1.0, 2.0, 3.0])}
    found = evaluate(Function(lambda atoms: answer), crystal)
    assert (found.stress.tolist(), found.properties) == ([1, 2, 3, 0, 0, 0], {})
    found = evaluate(Function(lambda atoms: {"energy": 1.0, "stress": 3.0}), crystal)
    assert (found.stress, found.properties) == (None, {"stress": 3.0})


def test_evaluations_and_failures_pass():
    assert Function(lambda atoms: Failure("no"))(PAIR) == Failure("no")
    assert Function(lambda atoms: Evaluation(2.0, seconds=7.0))(PAIR).seconds == 7.0


@pytest.mark.parametrize("answer", [(1.0, None, 3), (), None, "low", (1.0, [[1, 2]])])
def test_other_return_values_are_failures(answer):
    assert isinstance(evaluate(Function(lambda atoms: answer), PAIR), Failure)


def test_refuses_objects_that_are_not_callable():
    with pytest.raises(InputError, match="`function` must be callable, got float"):
        Function(3.0)


def test_refuses_the_class_of_a_calculator():
    message = r"`function` must be a function .*EMT\. Calculator\(EMT, \.\.\.\) computes with it"
    with pytest.raises(InputError, match=message):
        Function(EMT)


def test_dictionaries_of_properties():
    found = evaluate(Function(lambda atoms: {"energy": 1.0, "gap_eV": np.float32(0.5)}), PAIR)
    assert (found.energy, found.forces, found.properties) == (1.0, None, {"gap_eV": 0.5})
    found = evaluate(Function(lambda atoms: {"energy": 1, "forces": -atoms.positions}), PAIR)
    assert found.forces.shape == (2, 3)
    found = evaluate(Function(lambda atoms: {"gap_eV": 0.5}), PAIR)
    assert (found.energy, found.properties) == (None, {"gap_eV": 0.5})


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({}, "returned no energy"),
        ({"gap_eV": None}, "not a number"),
        ({"energy": np.nan, "gap_eV": 0.5}, "energy is not finite"),
    ],
)
def test_dictionaries_that_are_failures(answer, reason):
    found = evaluate(Function(lambda atoms: answer), PAIR)
    assert isinstance(found, Failure)
    assert reason in found.reason
