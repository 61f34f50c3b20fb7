import pytest

from bostruct.campaign.report.labels import (
    axis_label,
    format_number,
    format_objective,
    split_unit,
)
from bostruct.objectives import Constraint, Objective, OptimizationConfig


@pytest.mark.parametrize(
    ("name", "unit", "found"),
    [
        ("mixing_enthalpy_eV_per_atom", "", ("mixing enthalpy", "eV/atom")),
        ("bulk_modulus_GPa", "GPa", ("bulk modulus", "GPa")),
        ("density_g_per_cm3", "", ("density", "g/cm³")),
        ("energy", "", ("energy", "")),
        ("energy", "eV", ("energy", "eV")),
        ("energy_above_hull_eV", "", ("energy above hull", "eV")),
    ],
)
def test_words(name, unit, found):
    assert split_unit(name, unit) == found


def test_title():
    goals = OptimizationConfig(
        (Objective("price", "minimize", "EUR/kg"), Objective("n", "maximize"))
    )
    assert axis_label("price", goals) == "price (EUR/kg)"
    assert axis_label("n", goals) == "n"


def test_aim():
    assert format_objective(Objective("price", "maximize")) == "maximize price"
    both = Constraint("x", upper=2.0, lower=1.0, unit="eV")
    assert format_objective(both) == "x >= 1 and <= 2 eV"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1e-13, "0"),
        (1234567.0, "1.235e+06"),
        (-0.00001234, "-1.234e-05"),
        (0.5, "0.50000"),
        (9.99, "9.9900"),
        (-160.123, "-160.12"),
        (None, "-"),
    ],
)
def test_shown(value, text):
    assert format_number(value) == text
