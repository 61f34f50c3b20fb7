import json
import pickle
from typing import ClassVar

import cloudpickle
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator as ASECalculator
from ase.calculators.calculator import all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms
from ase.stress import voigt_6_to_full_3x3_stress

from bostruct.errors import InputError
from bostruct.evaluators import (
    Calculator,
    Evaluation,
    EvaluationContext,
    Failure,
    Function,
    evaluate,
)
from bostruct.structures import from_ase

PAIR = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.5]])


class Broken(ASECalculator):
    """Answers what it is told to."""

    implemented_properties = ("energy", "forces")

    def __init__(self, energy=0.0, forces=((0.0,) * 3,) * 2):
        super().__init__()
        self.answer = {"energy": energy, "forces": np.array(forces)}

    def calculate(self, atoms=None, properties=(), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = dict(self.answer)


class EnergyOnly(ASECalculator):
    implemented_properties = ("energy",)

    def calculate(self, atoms=None, properties=(), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 1.5}


def test_emt_agrees_with_ase():
    found = Calculator(EMT)(from_ase([PAIR]))
    atoms = PAIR.copy()
    atoms.calc = EMT()
    assert found.energy == atoms.get_potential_energy()
    assert np.array_equal(found.forces, atoms.get_forces())
    assert found.provenance == {"calculator": "ase.calculators.emt.EMT"}


def squeezed_copper():
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell @ np.array([[0.96, 0.02, 0], [0, 1.01, 0.03], [0, 0, 1.02]]), True)
    return atoms


def test_the_stress_of_a_crystal_is_that_of_ase():
    atoms = squeezed_copper()
    found = Calculator(EMT)(from_ase([atoms]))
    atoms.calc = EMT()
    assert np.array_equal(found.stress, atoms.get_stress())
    assert Calculator(EMT, with_stress=False)(from_ase([atoms])).stress is None
    assert Calculator(EMT, with_stress=False).description()["with_stress"] is False
    assert "with_stress" not in Calculator(EMT).description()


def test_a_campaign_asks_for_stresses_where_the_cell_varies():
    crystal = from_ase([squeezed_copper()])
    fixed, varies = EvaluationContext(0), EvaluationContext(0, with_stress=True)
    assert evaluate(Calculator(EMT), crystal, context=fixed).stress is None
    assert evaluate(Calculator(EMT), crystal, context=varies).stress is not None


def test_a_calculator_without_stress_is_no_failure():
    crystal = from_ase([squeezed_copper()])
    found = evaluate(Calculator(EnergyOnly), crystal)
    assert (found.energy, found.stress) == (1.5, None)


class SetUpWithoutStress(EnergyOnly):
    """Implements stress, but was set up without it, as plane-wave codes may be."""

    implemented_properties = ("energy", "stress")
    n_calls = 0

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        SetUpWithoutStress.n_calls += 1


def test_a_calculator_set_up_without_stress_is_asked_once():
    crystals = from_ase([squeezed_copper(), bulk("Cu"), bulk("Au")])
    evaluator = Calculator(SetUpWithoutStress)
    assert [evaluator(crystal).energy for crystal in crystals] == [1.5] * 3
    assert SetUpWithoutStress.n_calls == 4


def test_a_vacuum_box_has_no_stress():
    assert Calculator(EMT, vacuum=8.0)(from_ase([PAIR])).stress is None
    slab = bulk("Cu", cubic=True)
    slab.pbc = (True, True, False)
    assert Calculator(EMT, vacuum=8.0)(from_ase([slab])).stress is None


def test_forces_on_fixed_atoms_are_those_of_the_potential():
    atoms = PAIR.copy()
    atoms.set_constraint(FixAtoms([0]))
    found = Calculator(EMT)(from_ase([atoms]))
    assert found.forces[0].norm() > 0.1


def test_arguments_reach_the_calculator():
    near = Calculator(LennardJones, sigma=1.0, epsilon=2.0, rc=100.0, smooth=False)
    far = Calculator(LennardJones, sigma=1.0, epsilon=1.0, rc=100.0, smooth=False)
    one = from_ase([Atoms("Ar2", positions=[[0, 0, 0], [0, 0, 1.3]])])
    assert near(one).energy == pytest.approx(2 * far(one).energy)


def test_made_once_and_never_sent():
    made = []

    def factory():
        made.append(1)
        return EMT()

    evaluator = Calculator(factory)
    assert made == []
    evaluator(from_ase([PAIR]))
    evaluator(from_ase([PAIR]))
    assert made == [1]
    copy = cloudpickle.loads(cloudpickle.dumps(evaluator))
    copy(from_ase([PAIR]))
    assert made == [1]  # the copy has its own factory
    assert pickle.loads(pickle.dumps(Calculator(EMT))).factory is EMT


def test_without_forces():
    assert Calculator(EMT, with_forces=False)(from_ase([PAIR])).forces is None
    found = Calculator(EnergyOnly)(from_ase([PAIR]))
    assert isinstance(found, Evaluation)
    assert found.forces is None


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"energy": np.nan}, "energy is not finite"),
        ({"energy": 1e9}, "energy is absurd"),
        ({"forces": np.full((2, 3), np.inf)}, "not finite"),
        ({"forces": np.full((2, 3), 1e6)}, "forces are absurd"),
        ({"forces": np.zeros((1, 3))}, "wrong shape"),
    ],
)
def test_implausible_results_are_failures(arguments, reason):
    found = evaluate(Calculator(Broken, **arguments), from_ase([PAIR]))
    assert isinstance(found, Failure)
    assert reason in found.reason


@pytest.mark.parametrize("shape", [(9,), (1, 6), ()])
def test_stresses_of_a_wrong_shape_are_failures(shape):
    class Other(EMT):
        def get_stress(self, atoms):
            return np.ones(shape)

    found = evaluate(Calculator(Other), from_ase([bulk("Cu")]))
    assert "the stress has the wrong shape" in found.reason


def test_a_matrix_is_a_stress():
    class Matrix(EMT):
        def get_stress(self, atoms):
            return voigt_6_to_full_3x3_stress(EMT.get_stress(self, atoms))

    crystal = from_ase([bulk("Cu", a=3.5)])
    stress = evaluate(Calculator(Matrix), crystal).stress
    assert torch.equal(stress, evaluate(Calculator(EMT), crystal).stress)


def test_evaluate_uses_the_limits_of_the_evaluator():
    generous = Calculator(Broken, energy=1e9, maximum_energy=1e10)
    assert evaluate(generous, from_ase([PAIR])).energy == 1e9
    strict = Calculator(Broken, energy=10.0, maximum_energy=1.0)
    assert "absurd" in evaluate(strict, from_ase([PAIR])).reason
    strict = Calculator(Broken, forces=np.ones((2, 3)), maximum_force=1.0)
    assert "absurd" in evaluate(strict, from_ase([PAIR])).reason


def test_an_unknown_element_is_a_failure():
    found = evaluate(Calculator(EMT), from_ase([Atoms("Xe")]))
    assert "NotImplementedError: No EMT-potential for Xe" in found.reason


def test_description():
    found = Calculator(LennardJones, sigma=2.0).description()
    assert found["arguments"] == {"sigma": 2.0}
    assert found != Calculator(LennardJones).description()


@pytest.mark.parametrize("factory", [EMT(), None, "EMT"])
def test_refuses_calculator_instances(factory):
    with pytest.raises(InputError, match="`factory` must be a calculator class"):
        Calculator(factory)


@pytest.mark.parametrize("factory", [Calculator(EMT), Function(len), Calculator])
def test_refuses_evaluators(factory):
    with pytest.raises(InputError, match=r"`factory` must be .* It is an evaluator: use it as it"):
        Calculator(factory)
    with pytest.raises(InputError, match=r"`function` must be .* It is an evaluator: use it as it"):
        Function(factory)


@pytest.mark.parametrize("info", ["charge", 1, ["charge"]])
def test_refuses_info_without_names(info):
    with pytest.raises(InputError, match="`info` must hold entries by name, got"):
        Calculator(EMT, info=info)


def test_refuses_limits_that_are_not_positive():
    with pytest.raises(InputError, match="`maximum_force` must be positive"):
        Calculator(EMT, maximum_force=0.0)
    with pytest.raises(InputError, match="`maximum_energy` must be positive"):
        Calculator(EMT, maximum_energy=-1.0)


def test_energies_outside_of_the_valid_range_are_failures():
    """Per atom: a dimer of copper in EMT has 2.4 eV per atom."""
    dimer = from_ase(Atoms("Cu2", [(0, 0, 0), (2.2, 0, 0)]))
    energy = Calculator(EMT)(dimer).energy / 2
    for valid_range in ((energy - 0.1, energy + 0.1), (None, 10), (-10.0, None), [0, 10]):
        assert isinstance(Calculator(EMT, valid_range=valid_range)(dimer), Evaluation)
    for valid_range in ((energy + 0.1, None), (None, energy - 0.1), (-energy, 0.0)):
        evaluator = Calculator(EMT, valid_range=valid_range)
        for result in (evaluator(dimer), evaluate(evaluator, dimer)):
            assert isinstance(result, Failure)
            assert result.reason.startswith("the energy per atom is not valid: ")
            assert "is outside its valid range, " in result.reason
            assert result.reason.endswith(" eV per atom")


def test_the_valid_range_is_part_of_the_identity():
    assert Calculator(EMT, valid_range=(-9, None)).description()["valid_range"] == [-9, None]
    assert "valid_range" not in Calculator(EMT).description(), "older campaigns go on"


def test_the_valid_range_is_one_of_plain_numbers():
    found = Calculator(EMT, valid_range=(np.float32(-2), np.inf)).description()["valid_range"]
    assert json.loads(json.dumps(found, allow_nan=False)) == [-2.0, None]


@pytest.mark.parametrize(
    "valid_range",
    [(1.0, -1.0), (0.0, 0.0), (1.0,), 5.0, ("a", 2), "ab", ("1", "2"), (np.nan, 1), (np.inf, None)],
)
def test_refuses_what_is_no_range(valid_range):
    with pytest.raises(InputError, match=r"`valid_range` must hold .* of the energy, eV per atom"):
        Calculator(EMT, valid_range=valid_range)


def test_a_float32_structure():
    found = Calculator(EMT)(from_ase([PAIR], dtype=torch.float32))
    assert found.forces.dtype == torch.float64


class Carried(EMT):
    """Remembers what it was given."""

    seen: ClassVar[list] = []

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        Carried.seen.append(self.atoms.copy())


def seen_by(evaluator, atoms):
    Carried.seen.clear()
    found = evaluate(evaluator, from_ase(atoms))
    assert isinstance(found, Evaluation), found
    return Carried.seen[-1]


def test_what_a_structure_carries_reaches_the_calculator():
    atoms = PAIR.copy()
    atoms.set_initial_magnetic_moments([1.0, -1.0])
    atoms.set_initial_charges([0.5, 0.0])
    atoms.set_tags([3, 4])
    atoms.set_constraint(FixAtoms([1]))
    atoms.info |= {"charge": 1, "spin": 2}
    found = seen_by(Calculator(Carried), atoms)
    assert found == atoms
    assert found.info == atoms.info
    assert found.constraints[0].get_indices().tolist() == [1]


def test_moments_by_element_and_info():
    evaluator = Calculator(Carried, magnetic_moments={"Cu": 0.5}, info={"charge": -1, "head": "b"})
    found = seen_by(evaluator, PAIR)
    assert found.get_initial_magnetic_moments().tolist() == [0.5, 0.5]
    assert found.info == {"charge": -1, "head": "b"}
    own = PAIR.copy()
    own.set_initial_magnetic_moments([2.0, 0.0])
    own.info["charge"] = 2
    found = seen_by(evaluator, own)
    assert found.get_initial_magnetic_moments().tolist() == [2.0, 0.0]
    assert found.info == {"charge": 2, "head": "b"}


class NeedsCell(EMT):
    """Knows fractional coordinates only, as plane-wave codes do."""

    def calculate(self, atoms=None, *args, **kwargs):
        assert np.isfinite(np.linalg.solve(atoms.cell.T, atoms.positions.T)).all()
        assert atoms.pbc.all()
        super().calculate(atoms, *args, **kwargs)


def test_codes_that_need_a_box_get_one():
    bare = evaluate(Calculator(NeedsCell), from_ase(PAIR))
    assert "Singular matrix" in bare.reason
    assert "it may need a box: Calculator(..., vacuum=10.0)" in bare.reason
    boxed = evaluate(Calculator(NeedsCell, vacuum=10.0), from_ase(PAIR))
    free = evaluate(Calculator(EMT), from_ase(PAIR))
    assert boxed.energy == pytest.approx(free.energy, abs=1e-12)
    assert np.allclose(boxed.forces, free.forces, atol=1e-12)
    length = float(boxed.provenance["box"].split()[0])
    assert 22.5 < length < 30
    assert boxed.provenance["box"] == f"{length:.3f} {length:.3f} {length:.3f} Å"


def test_a_singular_matrix_of_a_crystal_is_no_missing_box():
    class Singular(EMT):
        def calculate(self, *args, **kwargs):
            raise np.linalg.LinAlgError("Singular matrix")

    assert "vacuum" not in evaluate(Calculator(Singular), from_ase(bulk("Cu"))).reason


def test_what_is_set_for_the_calculator_is_described():
    plain = Calculator(EMT).description()
    assert not {"vacuum", "magnetic_moments", "info"} & set(plain)
    found = Calculator(EMT, vacuum=5.0, magnetic_moments={"Ni": 0.6}, info={"spin": 2})
    assert found.description() == plain | {
        "vacuum": 5.0,
        "magnetic_moments": {"Ni": 0.6},
        "info": {"spin": 2},
    }


def test_refuses_a_vacuum_that_is_none():
    with pytest.raises(InputError, match="`vacuum` must be positive"):
        Calculator(EMT, vacuum=0.0)
