"""Sentences on contradictions of stresses."""

import math

import pytest
from ase.units import Bohr, GPa, Hartree, Rydberg

from bostruct.surrogates.stress_consistency import StressConsistency

UNITS = {
    "GPa": GPa,
    "kbar": 0.1 * GPa,
    "MPa": 1e-3 * GPa,
    "Hartree/Bohr³": Hartree / Bohr**3,
    "Rydberg/Bohr³": Rydberg / Bohr**3,
}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("error", [0.9, 1.0, 1.1])
def test_the_unit_is_named(unit, error):
    factor = error * UNITS[unit]
    assert f"are they in {unit}?" in StressConsistency(1.0, factor).sentence()
    compressed = StressConsistency(-1.0, -factor).sentence()
    assert f"are they in {unit}, and positive under compression?" in compressed


def test_sign_and_others():
    assert "are they positive under compression" in StressConsistency(-0.95, -1.1).sentence()
    assert "are they virials" in StressConsistency(-0.95, -1 / 30).sentence()
    assert "is a unit or a conversion wrong?" in StressConsistency(0.95, 1 / 30).sentence()


@pytest.mark.parametrize(("correlation", "factor"), [(1, 1.2), (0.5, -9), (0, 1), (-0.8, -1)])
def test_no_contradiction(correlation, factor):
    assert StressConsistency(correlation, factor).sentence() == ""
    assert math.isfinite(factor)
