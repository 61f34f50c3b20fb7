import pytest

from bostruct.errors import InputError
from bostruct.spaces.crystals.formula_units import cell_formulas


def test_all_formulas_of_elements():
    assert cell_formulas("Cu-Au", 2) == ["Cu", "Au", "Cu2", "CuAu", "Au2"]
    assert len(cell_formulas("Cu-Au", 8)) == sum(n + 1 for n in range(1, 9))
    assert len(cell_formulas("Cu-Au-Pd", 5)) == sum((n + 1) * (n + 2) // 2 for n in range(1, 6))
    assert cell_formulas("Cu-Au", 3, 3) == ["Cu3", "Cu2Au", "CuAu2", "Au3"]


def test_bounds_of_fractions():
    found = cell_formulas("Cu-Au", 4, bounds={"Au": (0.25, 0.5)})
    assert found == ["CuAu", "Cu2Au", "Cu3Au", "Cu2Au2"]
    assert cell_formulas("Cu-Au", 2, bounds={"Au": (0.0, 0.4)}) == ["Cu", "Cu2"]


def test_ranges_and_lists_of_formula_units():
    assert cell_formulas("TiO2", formula_units=(1, 3)) == ["TiO2", "(TiO2)2", "(TiO2)3"]
    assert cell_formulas("TiO2", formula_units=[1, 3]) == ["TiO2", "(TiO2)3"]
    assert cell_formulas(["Cu", "Au"], formula_units=2) == ["(Cu)2", "(Au)2"]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("Cu-Au",), "max_atoms"),
        (("Cu-Cu", 3), "different elements"),
        (("Cu-Au", 2, 3), "min_atoms"),
        (("Cu-Au", 3, 1, 2), "formula_units"),
        ((["Cu", "Au"], 3), "max_atoms"),
        (([],), "hold a formula"),
        (("Cu-Au", 2, 1, None, {"Au": (0.6, 0.9)}), "leave several formulas"),
        (("Cu-Au", 2, 1, None, {"Ag": (0.1, 0.9)}), "name elements of the space"),
        ((["Cu", "Au"], None, 1, None, {"Au": (0.1, 0.9)}), "bounds"),
        (("Cu",), "Crystal"),
        ((["CuAu", "AuCu"],), "each formula once"),
        (("Cu", None, 1, [1, 1]), "different numbers"),
        (("Cu", None, 1, [0, 1]), "formula_units"),
        (("Cu-Au-Ag-Pd", 40), "at most 1000"),
        ((3,), "be a list"),
    ],
)
def test_refuses(arguments, match):
    with pytest.raises(InputError, match=match):
        cell_formulas(*arguments)
