import math
from dataclasses import replace

import pytest
from ase.units import GPa

from bostruct.evaluators.alloys.elastic_constants import Elastic
from bostruct.evaluators.alloys.equation_of_state import Curve
from bostruct.evaluators.alloys.property_checks import (
    BULK,
    C11,
    C12,
    C44,
    CAUCHY,
    DENSITY,
    ENTHALPY,
    GPA,
    MODULI,
    PRICE,
    PUGH,
    RESTS,
    SHEAR,
    VOLUME,
    WINDOWS,
    compressed,
    own,
    priced,
    rested,
    stretched,
)
from bostruct.evaluators.alloys.relaxation import Rest
from bostruct.evaluators.quarantine import outside

REST = Rest(energy=-14.4, force=0.0, pressure=0.0, steps=3, reason="")
CURVE = Curve(volume=47.0, energy=-14.4, modulus=0.9, error=0.001)


def constants(c11, c12, c44, error=0.0):
    return Elastic(c11 / GPA, c12 / GPA, c44 / GPA, error / GPA)


COPPER = constants(168.4, 121.4, 75.4)


def test_units():
    assert pytest.approx(1 / GPa, rel=1e-6) == GPA
    # Copper: 63.546 g/mol, 8.96 g/cm³, so 11.78 Å³ of an atom.
    values, doubts = rested(REST, -14.3, 4 * 11.777, 4 * 63.546, 4, -14.0)
    assert values[DENSITY] == pytest.approx(8.96, abs=0.005)
    assert values[VOLUME] == pytest.approx(11.777)
    assert values[ENTHALPY] == pytest.approx(-0.1)
    assert doubts == {}


def test_what_is_not_at_rest_has_no_enthalpy_and_no_volume():
    lost = Rest(-14.4, 1.0, 9.0, 300, "it did not rest")
    doubts = rested(lost, -14.3, 47.0, 254.0, 4, -14.0)[1]
    assert doubts == {ENTHALPY: "it did not rest", VOLUME: "it did not rest"}


def test_a_relaxation_that_goes_uphill_is_not_believed():
    doubts = rested(REST, -14.8, 47.0, 254.0, 4, -14.0)[1]
    assert doubts[VOLUME] == "the relaxation raised the energy by 0.1 eV per atom"


def test_every_property_has_a_window_with_the_metals_inside():
    values = rested(REST, -14.3, 47.1, 254.2, 4, -14.0)[0]
    values |= (
        compressed(CURVE, REST, 47.0, 4, 0.1)[0] | stretched(COPPER, 137.0, 0.1)[0]
    )
    values |= priced({"Cu": 1})[0]
    assert set(values) == set(WINDOWS)
    assert not any(outside(value, WINDOWS[name]) for name, value in values.items())
    assert set(RESTS) <= set(WINDOWS)
    for value in (1761.0, -2992.0, 1059.0):
        assert outside(value, WINDOWS[BULK])


def test_a_price_that_is_not_known_is_told():
    assert priced({"Cu": 1})[0][PRICE] == pytest.approx(8.9507572)
    values, doubts = priced({"Og": 1})
    assert values == {}
    assert "got Og" in doubts[PRICE]


def test_a_smooth_equation_of_state_is_believed():
    values, doubts = compressed(CURVE, REST, 47.0, 4, 0.1)
    assert values[BULK] == pytest.approx(144.2, abs=0.1)
    assert doubts == {}


@pytest.mark.parametrize(
    ("state", "match"),
    [
        (Curve(reason="no fit"), "no fit"),
        (Curve(52.0, -14.4, 0.9, 0.001), "at rest at 52 Å³, the crystal at 47 Å³"),
        (Curve(47.0, -14.4, 0.9, 0.2), "has a standard error of 32 GPa"),
        (Curve(47.0, -14.4, 0.9, math.nan), "has a standard error of nan GPa"),
    ],
)
def test_an_equation_of_state_that_contradicts_itself_is_not(state, match):
    assert match in compressed(state, REST, 47.0, 4, 0.1)[1][BULK]


def test_a_rest_that_is_not_the_bottom_of_the_well_is_doubted_with_it():
    deep = replace(REST, energy=-15.6)
    doubts = compressed(CURVE, deep, 47.0, 4, 0.1)[1]
    assert set(doubts) == {BULK, ENTHALPY}
    assert "is -0.3 eV per atom from the least energy" in doubts[ENTHALPY]


def test_constants_of_copper():
    values, doubts = stretched(COPPER, 137.0, 0.1)
    assert values[C11] == pytest.approx(168.4)
    assert values[CAUCHY] == pytest.approx(46.0)
    assert values[SHEAR] == pytest.approx(47.3, abs=0.1)
    assert values[PUGH] == pytest.approx(2.90, abs=0.01)
    assert doubts == {}
    assert stretched(COPPER, None, 0.1)[1] == {}


def test_no_constants_have_one_reason():
    values, doubts = stretched(Elastic(reason="not cubic"), 137.0, 0.1)
    assert values == {}
    assert doubts == dict.fromkeys(MODULI, "not cubic")


def test_two_bulk_moduli_that_differ_are_both_doubted():
    doubts = stretched(COPPER, 200.0, 0.1)[1]
    assert set(doubts) == {BULK, C11, C12}
    assert doubts[BULK] == (
        "(C11 + 2 C12) / 3 is 137.1 GPa, the equation of state says 200 GPa"
    )


def test_constants_that_violate_symmetry_are_doubted():
    doubts = stretched(constants(168.4, 121.4, 75.4, error=20.0), 137.0, 0.1)[1]
    assert doubts == dict.fromkeys((C11, C12, C44), "C violates its symmetry by 20 GPa")


def test_opposite_strains_that_do_not_mirror_are_doubted():
    doubts = stretched(replace(COPPER, bend=20.0 / GPA), 137.0, 0.1)[1]
    assert doubts[C44] == "opposite strains differ in stress by 20 GPa per strain"


def test_an_unstable_crystal_keeps_its_constants_but_is_no_polycrystal():
    values, doubts = stretched(constants(149.0, 155.0, 101.0), 153.0, 0.1)
    assert {C11, C12, C44, CAUCHY} <= set(values)
    assert set(doubts) == {SHEAR, PUGH}
    assert doubts[PUGH] == "the crystal is not stable: it violates C11 > C12"


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
def test_an_element_is_its_reference_within_what_relaxing_leaves(
    enthalpy, force, wanted
):
    assert own(enthalpy, force) == wanted
    assert math.isnan(own(math.nan, force))
