import json
import math
import pickle

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.calculators.emt import EMT
from ase.calculators.fd import FiniteDifferenceCalculator
from ase.calculators.lj import LennardJones

from bostruct.errors import InputError
from bostruct.evaluators import (
    AlloyProperties,
    Calculator,
    Evaluation,
    Evaluator,
    Failure,
    evaluate,
    price_per_kg,
    quarantined_properties,
    trusted_properties,
)
from bostruct.objectives import Constraint, Objective, OptimizationConfig
from bostruct.structures import from_ase

ENTHALPY = "mixing_enthalpy_eV_per_atom"
VOLUME = "volume_A3_per_atom"
BULK = "bulk_modulus_GPa"
PRICE = "price_usd_per_kg_2013"
GIVEN = {"Cu": -0.007036, "Au": -0.000135}  # EMT's, so that no reference is computed
METALS = ("Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au")


class Watched(EMT):
    """Counts calls and remembers how near to a face of the cell an atom came."""

    calls = 0
    margin = 1.0

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        Watched.calls += 1
        fractions = self.atoms.get_scaled_positions(wrap=False)
        near = float(np.minimum(fractions % 1, 1 - fractions % 1).min())
        Watched.margin = min(Watched.margin, near)


class Stumbling(EMT):
    """NaN from the third call on."""

    calls = 0

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        Stumbling.calls += 1
        if Stumbling.calls > 2:
            self.results["forces"] = np.full((len(self.atoms), 3), np.nan)


class Poisoned(EMT):
    """Garbage in one place, found by what is asked there."""

    def __init__(self, where, what):
        super().__init__()
        self.where, self.what = where, what

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        count = len(self.atoms)
        volume = self.atoms.get_volume() / count
        angles = np.abs(self.atoms.cell.angles() - 90).max()
        place = {
            "compressed": volume < 11.2,
            "expanded": volume > 12.0,
            "sheared": angles > 0.1,
            "everywhere": True,
        }[self.where]
        if not place:
            return
        if self.what == "raises":
            raise RuntimeError("the queue is full")
        if self.what == "stress":
            self.results["stress"] = self.results["stress"] + 0.3 * np.arange(6)
        else:
            self.results["energy"] += float(self.what) * count


@pytest.fixture(autouse=True)
def _fresh():
    Watched.calls, Watched.margin, Stumbling.calls = 0, 1.0, 0


def poisoned(where, what, **settings):
    calculator = Calculator(Poisoned, where=where, what=what)
    return AlloyProperties(calculator, references=GIVEN, **settings)


def emt():
    """Of which nothing is known before it is called."""
    return EMT()


def copper(a=3.59):
    return from_ase([bulk("Cu", cubic=True, a=a)])


def ordered(symbols, a=3.7):
    atoms = bulk("Cu", cubic=True, a=a)
    atoms.set_chemical_symbols(symbols)
    return atoms


def decorated(host, guest, matrix, a):
    atoms = make_supercell(bulk(host, a=a), matrix)
    atoms.symbols[0] = guest
    return from_ase([atoms])


@pytest.mark.parametrize("symbol", METALS)
def test_a_pure_element_mixes_with_nothing(symbol):
    atoms = bulk("Cu", cubic=True)
    atoms.set_chemical_symbols([symbol] * 4)
    found = AlloyProperties(EMT)(from_ase([atoms]))
    assert trusted_properties(found)[ENTHALPY] == 0.0, "else a bound at 0 hangs on rounding"
    assert quarantined_properties(found) == {}


def test_a_pure_element_is_feasible_however_rough_the_relaxation():
    goals = OptimizationConfig((Objective(BULK, "maximize"),), (Constraint(ENTHALPY, upper=0.0),))
    atoms = bulk("Cu", cubic=True, a=4.0)
    atoms.set_chemical_symbols(["Ag"] * 4)
    found = AlloyProperties(EMT, fmax=0.02)(from_ase([atoms]))
    Y = torch.tensor([goals.outcome_vector(trusted_properties(found))], dtype=torch.float64)
    assert goals.is_feasible(Y).tolist() == [True]


def test_an_element_in_another_crystal_has_an_enthalpy():
    hexagonal = bulk("Cu", "hcp", a=2.5)
    found = AlloyProperties(EMT, relaxation="cell")(from_ase([hexagonal]))
    assert trusted_properties(found)[ENTHALPY] == pytest.approx(-0.00094, abs=5e-5)


# The seven fcc orderings of AuCu3 with four atoms; the last is D0_22.
ORDERINGS = [
    [[1, 0, 0], [0, 1, 0], [0, 0, 4]],
    [[1, 0, 0], [0, 2, 0], [0, 0, 2]],
    [[1, 0, 0], [0, 2, 0], [0, 1, 2]],
    [[1, 0, 0], [0, 4, 0], [0, 1, 1]],
    [[1, 0, 0], [0, 4, 0], [0, 3, 1]],
    [[2, 0, 0], [0, 2, 0], [1, 1, 1]],
    [[2, 0, 0], [1, 2, 0], [0, 1, 1]],
]


@pytest.mark.parametrize(
    "orderings", [ORDERINGS[5:], pytest.param(ORDERINGS, marks=pytest.mark.slow)]
)
def test_the_lowest_ordering_of_copper_and_gold(orderings):
    evaluator = AlloyProperties(EMT, relaxation="cell")
    found = [evaluator(decorated("Cu", "Au", m, 3.7)) for m in orderings]
    enthalpies = [trusted_properties(one)[ENTHALPY] for one in found]
    assert min(enthalpies) == enthalpies[-1] == pytest.approx(-0.0106, abs=5e-5)
    assert enthalpies[-2] == pytest.approx(-0.0102, abs=5e-5)  # L1_2


def test_the_lowest_ordering_of_copper_and_palladium():
    evaluator = AlloyProperties(EMT, relaxation="cell")
    layers = [[1, 0, 0], [0, 1, 0], [0, 0, 2]], [[1, 0, 0], [0, 2, 0], [0, 1, 1]]
    found = [
        trusted_properties(evaluator(decorated("Cu", "Pd", m, 3.75)))[ENTHALPY] for m in layers
    ]
    assert found[1] == pytest.approx(-0.0354, abs=5e-5)  # L1_0
    assert found[0] > found[1]


def test_all_properties_of_a_cubic_alloy():
    found = evaluate(AlloyProperties(EMT, elastic="cubic"), from_ase([ordered("AuCu3")]))
    values = trusted_properties(found)
    assert set(values) == {
        "energy_eV_per_atom",
        ENTHALPY,
        VOLUME,
        "density_g_per_cm3",
        PRICE,
        BULK,
        "bulk_modulus_error_GPa",
        "C11_GPa",
        "C12_GPa",
        "C44_GPa",
        "elastic_error_GPa",
        "shear_modulus_GPa",
        "pugh_ratio",
        "cauchy_pressure_GPa",
    }
    own = (values["C11_GPa"] + 2 * values["C12_GPa"]) / 3
    assert own == pytest.approx(values[BULK], rel=0.02)
    assert values["pugh_ratio"] == pytest.approx(own / values["shear_modulus_GPa"])
    mass = (3 * 63.546 + 196.96657) / 4
    density = 1.66053907 * mass / values[VOLUME]
    assert values["density_g_per_cm3"] == pytest.approx(density)
    assert values[PRICE] == pytest.approx(price_per_kg({"Cu": 3, "Au": 1}))
    assert "2013 reference price" in found.provenance["price"]
    assert found.provenance["reference.Cu"] == "-0.007036 eV per atom"
    assert "hydrostatic, " in found.provenance["relaxation"]


def test_energy_and_forces_are_of_the_structure_as_it_came():
    atoms = ordered("AuCu3", a=3.8)
    atoms.rattle(0.05, seed=0)
    found = AlloyProperties(EMT)(from_ase([atoms]))
    atoms.calc = EMT()
    assert found.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    assert np.allclose(found.forces, atoms.get_forces(), atol=1e-9)
    assert trusted_properties(found)["energy_eV_per_atom"] < found.energy / 4 - 0.001


def test_a_larger_cell_of_the_same_crystal_is_the_same():
    evaluator = AlloyProperties(EMT, elastic="cubic")
    small = trusted_properties(evaluator(from_ase([ordered("AuCu3")])))
    large = trusted_properties(evaluator(from_ase([ordered("AuCu3").repeat((2, 2, 1))])))
    assert small.keys() == large.keys()
    for name, value in small.items():
        assert large[name] == pytest.approx(value, rel=1e-3, abs=1e-4), name


def test_results_do_not_depend_on_earlier_calls():
    evaluator = AlloyProperties(EMT)
    alloy, other = from_ase([ordered("AuCu3")]), from_ase([ordered("Au2Cu2")])
    first = evaluator(alloy)
    evaluator(other)
    assert evaluator(alloy).properties == first.properties


def test_the_calculator_sees_no_atom_on_a_face_of_the_cell():
    AlloyProperties(Watched, elastic="cubic")(from_ase([ordered("AuCu3")]))
    assert Watched.calls > 20
    assert Watched.margin > 0.2


def test_an_implausible_equation_of_state_is_quarantined_alone():
    for where in ("compressed", "expanded"):
        found = evaluate(poisoned(where, -5), copper())
        assert set(quarantined_properties(found)) == {BULK, "bulk_modulus_error_GPa"}
        assert {ENTHALPY, VOLUME, PRICE} <= set(trusted_properties(found))
        assert BULK not in trusted_properties(found)


def test_a_quarantined_modulus_keeps_its_value():
    class Inverted(EMT):
        """Every well is a hill: what is lost on a face is lost at every volume."""

        def calculate(self, *args, **kwargs):
            super().calculate(*args, **kwargs)
            volume = self.atoms.get_volume()
            strained = abs(volume / 46.26 - 1) > 0.005
            self.results["energy"] -= 40 * (volume / 46.26 - 1) ** 2 * 46 * strained

    evaluator = AlloyProperties(Inverted, references=GIVEN)
    found = evaluate(evaluator, copper())
    assert quarantined_properties(found)[BULK].value < -1000
    assert BULK not in trusted_properties(found)


@pytest.mark.parametrize("what", ["raises", math.nan])
def test_a_failed_equation_of_state_has_a_reason(what):
    found = evaluate(poisoned("expanded", what), copper())
    assert BULK in quarantined_properties(found)
    expected = "RuntimeError: the queue is full" if what == "raises" else "not finite"
    assert expected in quarantined_properties(found)[BULK].reason
    assert {ENTHALPY, VOLUME, PRICE} <= set(trusted_properties(found))


def test_an_implausible_stress_of_a_sheared_cell_is_quarantined():
    found = evaluate(poisoned("sheared", "stress", elastic="cubic"), copper())
    assert {"C44_GPa", "pugh_ratio"} <= set(quarantined_properties(found))
    assert {ENTHALPY, VOLUME, BULK} <= set(trusted_properties(found))
    raised = evaluate(poisoned("sheared", "raises", elastic="cubic"), copper())
    assert "the queue is full" in quarantined_properties(raised)["C44_GPa"].reason
    assert BULK in trusted_properties(raised)


def test_an_absurd_energy_is_a_failure():
    found = evaluate(poisoned("everywhere", -300), copper())
    assert isinstance(found, Failure)
    assert "below the valid range of mixing_enthalpy_eV_per_atom, -2 eV" in found.reason
    assert isinstance(evaluate(poisoned("everywhere", math.nan), copper()), Failure)


def test_an_absurd_enthalpy_is_quarantined_with_the_energy_it_came_from():
    found = evaluate(poisoned("everywhere", 7), copper())
    assert quarantined_properties(found)[ENTHALPY].value == pytest.approx(7.0, abs=1e-3)
    assert "computed from" in quarantined_properties(found)["energy_eV_per_atom"].reason
    assert {VOLUME, BULK, PRICE} <= set(trusted_properties(found))


def test_a_failed_relaxation_keeps_energy_and_price():
    evaluator = AlloyProperties(EMT, references=GIVEN, max_steps=1, elastic="cubic")
    found = evaluate(evaluator, copper(a=3.8))
    assert isinstance(found, Evaluation)
    assert set(trusted_properties(found)) == {PRICE}
    assert "ended after 1 steps" in quarantined_properties(found)[ENTHALPY].reason
    assert "ended after 1 steps" in quarantined_properties(found)[BULK].reason
    assert "ended after 1 steps" in quarantined_properties(found)["C44_GPa"].reason


def test_a_calculator_that_raises_in_the_relaxation_is_a_failure():
    found = evaluate(poisoned("everywhere", "raises"), copper())
    assert "RuntimeError: the queue is full" in found.reason
    stumbling = AlloyProperties(Stumbling, references=GIVEN)
    assert isinstance(evaluate(stumbling, copper(a=3.7)), Failure)
    assert Stumbling.calls > 2


def test_the_valid_range_of_the_calculator_holds():
    evaluator = AlloyProperties(Calculator(EMT, valid_range=(1.0, None)))
    outcome = evaluate(evaluator, from_ase(bulk("Cu")))
    assert isinstance(outcome, Failure)
    assert "is outside its valid range, 1 and more" in outcome.reason


@pytest.mark.parametrize("make", [AlloyProperties, Calculator])
def test_refuses_an_evaluator_in_place_of_a_calculator(make):
    with pytest.raises(
        InputError, match=r"`factory` must be .*got AlloyProperties\. It is an eval"
    ):
        make(AlloyProperties(EMT))


def test_valid_ranges_are_the_users():
    evaluator = AlloyProperties(EMT, valid_ranges={BULK: (150.0, None)})
    found = evaluator(copper())
    assert "outside its valid range, 150 and more" in quarantined_properties(found)[BULK].reason
    assert AlloyProperties(EMT).valid_ranges[BULK] == (1.0, 600.0)


def test_lower_symmetry_has_a_reason_or_is_averaged():
    structures = from_ase([ordered("Au2Cu2", a=3.9)])
    refused = AlloyProperties(EMT, elastic="cubic")(structures)
    assert "tetragonal" in quarantined_properties(refused)["C11_GPa"].reason
    averaged = AlloyProperties(EMT, elastic="average")(structures)
    assert quarantined_properties(averaged) == {}


def test_atoms_relax_under_strain_where_asked():
    atoms = ordered("Au2Cu2", a=3.9).repeat((2, 1, 1))
    atoms.symbols[0] = "Cu"
    structures = from_ase([atoms])
    clamped = trusted_properties(AlloyProperties(EMT)(structures))
    relaxed = trusted_properties(AlloyProperties(EMT, ions="relaxed")(structures))
    assert relaxed[VOLUME] == clamped[VOLUME]
    assert 0.9 * clamped[BULK] < relaxed[BULK] < clamped[BULK]


@pytest.mark.parametrize(
    ("atoms", "match"),
    [
        (bulk("Fe"), "hold elements that the calculator has, got Fe. It has Ag, Al"),
        (Atoms("X", cell=[3] * 3, pbc=True), "that the calculator has, got X"),
        (Atoms("Cu", cell=[3] * 3), "be periodic in three directions"),
        (Atoms("Cu2", [[0] * 3, [1, 0, 0]], cell=[9] * 3, pbc=True), "at 1.00 Å"),
        (Atoms("CuO", [[0] * 3, [2, 0, 0]], cell=[9] * 3, pbc=True), "got none of O"),
    ],
)
def test_invalid_structures_do_not_call_the_calculator(atoms, match):
    elements = [*METALS, "O"]
    evaluator = AlloyProperties(Watched, elements=elements)
    found = evaluator(from_ase([atoms]))
    assert isinstance(found, Failure)
    assert match in found.reason
    assert Watched.calls == 0
    with pytest.raises(InputError, match=r"It is structure 1\.$"):
        evaluator.validate(from_ase([bulk("Cu"), atoms]))


def test_validation_does_not_call_the_calculator():
    AlloyProperties(Watched).validate(from_ase([bulk("Cu"), ordered("AuCu3")]))
    assert Watched.calls == 0


def test_two_structures_are_a_failure():
    found = AlloyProperties(EMT)(from_ase([bulk("Cu")] * 2))
    assert "must hold exactly one structure" in found.reason


def test_a_vacancy_is_no_atom():
    atoms = ordered(["Cu", "X", "Cu", "Cu"])
    found = AlloyProperties(emt)(from_ase([atoms]))
    assert found.reason == (
        "`structures` must hold atoms, got the dummy X. Leave vacant sites out."
    )


def test_an_element_that_the_calculator_lacks_is_a_failure():
    found = AlloyProperties(emt)(from_ase([bulk("Fe")]))
    assert "must have the energy of Fe by itself, got " in found.reason
    assert "references={'Fe': eV per atom}" in found.reason
    assert found.retryable  # what is wrong is not this structure


def test_the_elements_of_emt_are_known():
    assert AlloyProperties(EMT).elements >= set(METALS)
    assert AlloyProperties(emt).elements is None


def test_calculators_without_stresses_are_refused():
    class Blind(LennardJones):
        implemented_properties = ("energy", "forces")

    def blind():
        return Blind()

    match = "`calculator` must have stresses, got one without. .*FiniteDifference"
    with pytest.raises(InputError, match=match):
        AlloyProperties(Blind)
    found = AlloyProperties(blind, elements=["Cu"])(copper())
    assert "must have stresses" in found.reason


@pytest.mark.slow
def test_stresses_may_be_finite_differences():
    def differences():
        return FiniteDifferenceCalculator(EMT(), eps_disp=1e-5, eps_strain=1e-5)

    settings = {"references": GIVEN, "fmax": 0.01}
    primitive = from_ase([bulk("Cu", a=3.6)])
    ours = trusted_properties(AlloyProperties(EMT, **settings)(primitive))
    theirs = trusted_properties(AlloyProperties(differences, **settings)(primitive))
    assert theirs[VOLUME] == pytest.approx(ours[VOLUME], rel=1e-3)
    assert theirs[BULK] == pytest.approx(ours[BULK], rel=1e-2)


def test_it_is_an_evaluator_and_pickles():
    evaluator = AlloyProperties(EMT, references={"Cu": "fcc"}, elastic="average")
    assert isinstance(evaluator, Evaluator)
    first = evaluator(copper())
    copy = pickle.loads(pickle.dumps(evaluator))
    assert copy.description() == evaluator.description()
    assert copy(copper()).properties == first.properties


def test_the_description_is_json_and_differs_between_settings():
    settings = [
        {},
        {"relaxation": "cell"},
        {"elastic": "cubic"},
        {"ions": "relaxed"},
        {"references": {"Cu": -3.5}},
        {"elements": ["Cu"]},
        {"valid_ranges": {BULK: (2.0, 600.0)}},
        {"max_relative_error": 0.2},
        {"min_distance_factor": 0.5},
        {"fmax": 0.01},
        {"max_steps": 100},
    ]
    texts = [
        json.dumps(AlloyProperties(EMT, **one).description(), allow_nan=False) for one in settings
    ]
    assert len(set(texts)) == len(settings)


def test_limits_are_those_of_the_calculator():
    evaluator = AlloyProperties(Calculator(EMT, maximum_force=0.5), references=GIVEN)
    atoms = ordered("AuCu3")
    atoms.rattle(0.2, seed=0)
    found = evaluate(evaluator, from_ase([atoms]))
    assert "the forces are absurd" in found.reason


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"relaxation": "none"}, "`relaxation` must be one of hydrostatic, cell"),
        ({"elastic": "hexagonal"}, "`elastic` must be one of None, cubic, average"),
        ({"ions": "free"}, "`ions` must be one of clamped, relaxed, got 'free'"),
        ({"elements": ["Cuu"]}, "`elements` must be chemical symbols, got Cuu"),
        ({"elements": []}, "`elements` must be chemical symbols, got none"),
        ({"max_relative_error": 0.0}, "`max_relative_error` must be positive"),
        ({"min_distance_factor": -1.0}, "`min_distance_factor` must be positive"),
        ({"fmax": math.nan}, "`fmax` must be positive"),
        ({"max_steps": 0}, "`max_steps` must be an integer of at least 1"),
        ({"valid_ranges": {"mass": (0, 1)}}, "`valid_ranges` must name properties, got mass"),
        ({"references": {"Cu": "fct"}}, "`references` must name a crystal"),
    ],
)
def test_invalid_settings_are_refused(settings, match):
    with pytest.raises(InputError, match=match):
        AlloyProperties(EMT, **settings)


class Spin(EMT):
    """As spin-polarized DFT: an initial moment finds the magnetic state, 0.3 eV/atom lower."""

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        moments = self.atoms.get_initial_magnetic_moments()
        gain = 0.3 * (np.abs(moments) > 0.1).sum()
        self.results["energy"] -= gain
        self.results["free_energy"] -= gain


def enthalpy(evaluator, atoms):
    found = evaluate(evaluator, from_ase(atoms))
    assert isinstance(found, Evaluation), found
    return trusted_properties(found)[ENTHALPY]


def nickel(*moments):
    atoms = bulk("Ni", cubic=True)
    atoms.set_initial_magnetic_moments(moments or None)
    return atoms


@pytest.mark.parametrize(
    "atoms",
    [nickel(), nickel(0.6, 0.6, 0.6, 0.6), nickel(1, -1, 1, -1), nickel(0, 0, 0, 0), bulk("Ni")],
)
def test_an_element_and_its_reference_begin_alike(atoms):
    assert enthalpy(AlloyProperties(Spin, relaxation="cell"), atoms) == 0


@pytest.mark.parametrize("moments", [{"Ni": 0.6}, {"Al": 0.6}, {"Ni": 0.6, "Al": 0.4}])
def test_moments_by_element_are_those_of_the_references(moments):
    """They shift the elements and the alloy alike, whichever way they are given."""
    ordered = nickel()
    ordered.symbols[0] = "Al"
    plain = enthalpy(AlloyProperties(Spin), ordered)
    for evaluator in (
        AlloyProperties(Spin, magnetic_moments=moments),
        AlloyProperties(Calculator(Spin, magnetic_moments=moments)),
    ):
        assert enthalpy(evaluator, ordered) == pytest.approx(plain, abs=1e-6)
        assert evaluator.magnetic_moments == moments
    carried = ordered.copy()
    carried.set_initial_magnetic_moments([moments.get(s, 0.0) for s in ordered.symbols])
    assert enthalpy(AlloyProperties(Spin), carried) == pytest.approx(plain, abs=1e-6)


def test_moments_by_element_are_described():
    assert "magnetic_moments" not in AlloyProperties(EMT).description()
    found = AlloyProperties(EMT, magnetic_moments={"Ni": 0.6}).description()
    assert found["magnetic_moments"] == {"Ni": 0.6}
    with pytest.raises(InputError, match="`magnetic_moments` must be of elements"):
        AlloyProperties(EMT, magnetic_moments={"Nickel": 0.6})


class Headed(EMT):
    """Reads a zero of energy from `atoms.info`, as models with several heads do."""

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        shift = self.atoms.info.get("shift", 0.0) * len(self.atoms)
        self.results["energy"] += shift
        self.results["free_energy"] += shift


def test_info_is_that_of_the_references():
    assert enthalpy(AlloyProperties(Calculator(Headed, info={"shift": 0.2})), bulk("Cu")) == 0
