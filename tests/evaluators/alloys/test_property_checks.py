import math
from dataclasses import replace

import pytest
from ase.units import GPa

from bostruct.evaluators.alloys.elastic_constants import ElasticConstants
from bostruct.evaluators.alloys.equation_of_state import EquationOfStateFit
from bostruct.evaluators.alloys.property_checks import (
    BULK_MODULUS,
    C11,
    C12,
    C44,
    CAUCHY_PRESSURE,
    DENSITY,
    DERIVED_FROM,
    ELASTIC_PROPERTIES,
    GPA_PER_EV_PER_A3,
    MIXING_ENTHALPY,
    PRICE,
    PUGH_RATIO,
    SHEAR_MODULUS,
    VALID_RANGES,
    VOLUME,
    elastic_properties,
    element_enthalpy,
    eos_properties,
    price_property,
    relaxed_properties,
)
from bostruct.evaluators.alloys.relaxation import RelaxedCrystal
from bostruct.evaluators.quarantine import range_violation

REST = RelaxedCrystal(energy=-14.4, max_force=0.0, residual_pressure=0.0, n_steps=3, reason="")
CURVE = EquationOfStateFit(volume=47.0, energy=-14.4, bulk_modulus=0.9, bulk_modulus_error=0.001)


def constants(c11, c12, c44, error=0.0):
    return ElasticConstants(
        c11 / GPA_PER_EV_PER_A3,
        c12 / GPA_PER_EV_PER_A3,
        c44 / GPA_PER_EV_PER_A3,
        error / GPA_PER_EV_PER_A3,
    )


COPPER = constants(168.4, 121.4, 75.4)


def test_units():
    assert pytest.approx(1 / GPa, rel=1e-6) == GPA_PER_EV_PER_A3
    # Copper: 63.546 g/mol, 8.96 g/cm³, so 11.78 Å³ of an atom.
    values, doubts = relaxed_properties(REST, -14.3, 4 * 11.777, 4 * 63.546, 4, -14.0)
    assert values[DENSITY] == pytest.approx(8.96, abs=0.005)
    assert values[VOLUME] == pytest.approx(11.777)
    assert values[MIXING_ENTHALPY] == pytest.approx(-0.1)
    assert doubts == {}


def test_unrelaxed_crystals_have_a_doubtful_enthalpy_and_volume():
    lost = RelaxedCrystal(-14.4, 1.0, 9.0, 300, "it did not rest")
    doubts = relaxed_properties(lost, -14.3, 47.0, 254.0, 4, -14.0)[1]
    assert doubts == {MIXING_ENTHALPY: "it did not rest", VOLUME: "it did not rest"}


def test_a_relaxation_that_raises_the_energy_is_doubtful():
    doubts = relaxed_properties(REST, -14.8, 47.0, 254.0, 4, -14.0)[1]
    assert doubts[VOLUME] == "the relaxation raised the energy by 0.1 eV per atom"


def test_every_property_has_a_valid_range_that_includes_the_metals():
    values = relaxed_properties(REST, -14.3, 47.1, 254.2, 4, -14.0)[0]
    values |= (
        eos_properties(CURVE, REST, 47.0, 4, 0.1)[0] | elastic_properties(COPPER, 137.0, 0.1)[0]
    )
    values |= price_property({"Cu": 1})[0]
    assert set(values) == set(VALID_RANGES)
    assert not any(range_violation(value, VALID_RANGES[name]) for name, value in values.items())
    assert set(DERIVED_FROM) <= set(VALID_RANGES)
    for value in (1761.0, -2992.0, 1059.0):
        assert range_violation(value, VALID_RANGES[BULK_MODULUS])


def test_an_unknown_price_has_a_reason():
    assert price_property({"Cu": 1})[0][PRICE] == pytest.approx(8.9507572)
    values, doubts = price_property({"Og": 1})
    assert values == {}
    assert "got Og" in doubts[PRICE]


def test_a_smooth_equation_of_state_is_trusted():
    values, doubts = eos_properties(CURVE, REST, 47.0, 4, 0.1)
    assert values[BULK_MODULUS] == pytest.approx(144.2, abs=0.1)
    assert doubts == {}


@pytest.mark.parametrize(
    ("state", "match"),
    [
        (EquationOfStateFit(reason="no fit"), "no fit"),
        (
            EquationOfStateFit(52.0, -14.4, 0.9, 0.001),
            "at rest at 52 Å³, the crystal at 47 Å³",
        ),
        (EquationOfStateFit(47.0, -14.4, 0.9, 0.2), "has a standard error of 32 GPa"),
        (
            EquationOfStateFit(47.0, -14.4, 0.9, math.nan),
            "has a standard error of nan GPa",
        ),
    ],
)
def test_an_inconsistent_equation_of_state_is_doubtful(state, match):
    assert match in eos_properties(state, REST, 47.0, 4, 0.1)[1][BULK_MODULUS]


def test_an_energy_below_the_equation_of_state_is_doubtful():
    deep = replace(REST, energy=-15.6)
    doubts = eos_properties(CURVE, deep, 47.0, 4, 0.1)[1]
    assert set(doubts) == {BULK_MODULUS, MIXING_ENTHALPY}
    assert "is -0.3 eV per atom from the least energy" in doubts[MIXING_ENTHALPY]


def test_constants_of_copper():
    values, doubts = elastic_properties(COPPER, 137.0, 0.1)
    assert values[C11] == pytest.approx(168.4)
    assert values[CAUCHY_PRESSURE] == pytest.approx(46.0)
    assert values[SHEAR_MODULUS] == pytest.approx(47.3, abs=0.1)
    assert values[PUGH_RATIO] == pytest.approx(2.90, abs=0.01)
    assert doubts == {}
    assert elastic_properties(COPPER, None, 0.1)[1] == {}


def test_no_constants_have_one_reason():
    values, doubts = elastic_properties(ElasticConstants(reason="not cubic"), 137.0, 0.1)
    assert values == {}
    assert doubts == dict.fromkeys(ELASTIC_PROPERTIES, "not cubic")


def test_different_bulk_moduli_are_both_doubtful():
    doubts = elastic_properties(COPPER, 200.0, 0.1)[1]
    assert set(doubts) == {BULK_MODULUS, C11, C12}
    assert doubts[BULK_MODULUS] == (
        "(C11 + 2 C12) / 3 is 137.1 GPa, the equation of state says 200 GPa"
    )


def test_constants_that_violate_symmetry_are_doubtful():
    doubts = elastic_properties(constants(168.4, 121.4, 75.4, error=20.0), 137.0, 0.1)[1]
    assert doubts == dict.fromkeys((C11, C12, C44), "C violates its symmetry by 20 GPa")


def test_nonlinear_stresses_are_doubtful():
    doubts = elastic_properties(replace(COPPER, nonlinearity=20.0 / GPA_PER_EV_PER_A3), 137.0, 0.1)[
        1
    ]
    assert doubts[C44] == "opposite strains differ in stress by 20 GPa per strain"


def test_an_unstable_crystal_has_constants_but_no_shear_modulus():
    values, doubts = elastic_properties(constants(149.0, 155.0, 101.0), 153.0, 0.1)
    assert {C11, C12, C44, CAUCHY_PRESSURE} <= set(values)
    assert set(doubts) == {SHEAR_MODULUS, PUGH_RATIO}
    assert doubts[PUGH_RATIO] == "the crystal is not stable: it violates C11 > C12"


@pytest.mark.parametrize(
    ("enthalpy", "force", "wanted"),
    [
        (-4e-6, 0.002, 0.0),
        (4.1e-6, 0.002, 4.1e-6),
        (-4.1e-6, 0.002, -4.1e-6),
        (1e-5, 0.02, 0.0),  # CHGNet's gold, relaxed to 0.02 eV/Å
        (5e-7, 1e-5, 0.0),  # single precision
        (2e-6, 1e-5, 2e-6),
    ],
)
def test_an_element_has_no_mixing_enthalpy_within_the_force_tolerance(enthalpy, force, wanted):
    assert element_enthalpy(enthalpy, force) == wanted
    assert math.isnan(element_enthalpy(math.nan, force))
