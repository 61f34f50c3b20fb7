import math

import pytest
import torch

from bostruct.spaces.crystals.atomic_volume import contact_lengths, default_volume, find_ions
from bostruct.spaces.formula import parse_formula, resolve_atomic_radii

EXPERIMENTAL = {
    **{"TiO2": 10.4, "SrTiO3": 11.9, "NaCl": 22.4, "MgO": 9.35, "CsCl": 35, "ZnO": 11.9},
    **{"Al2O3": 8.5, "SiO2": 12.6, "LiF": 8.15, "CaF2": 13.6, "GaN": 11.4, "MgAl2O4": 9.43},
    **{"ZrO2": 11.7, "Fe2O3": 10.06, "KBr": 35.9, "LiFePO4": 10.4, "MgCl2": 22.6, "TiN": 9.6},
    **{"SiC": 10.35, "GaAs": 22.6, "BN": 5.9, "InSb": 34, "PbTe": 33.7, "Si": 20, "C": 5.7},
    **{"CuPt": 13.2, "NiAl": 12.0, "CuAu": 14.2, "Cu": 11.8, "TiC": 10.1, "MgB2": 9.7},
    **{"H2O": 10.7, "CO2": 14.6, "NH3": 8.3},
}
"""Volume per atom of the stable crystals, Å³."""


def volume_of(formula, radii=None):
    numbers = parse_formula(formula, 1)
    return default_volume(numbers, resolve_atomic_radii(numbers, radii))


@pytest.mark.parametrize("formula", EXPERIMENTAL)
def test_volumes_of_known_crystals(formula):
    assert abs(math.log(volume_of(formula) / EXPERIMENTAL[formula])) < math.log(1.35)


@pytest.mark.parametrize(("formula", "volume"), {"Mn": 12.2, "U": 20.7, "Sm": 33.2}.items())
def test_metals_of_unusual_crystals_are_as_dense_as_others(formula, volume):
    assert abs(math.log(volume_of(formula) / volume)) < math.log(1.1)


def test_helium_is_as_large_as_its_atoms():
    """The solid at 25 atm takes 34.9 Å³ an atom, widened by zero-point motion."""
    assert 34.9 / 2 <= volume_of("He2") < volume_of("Ar2")


def test_half_of_the_volumes_are_right_to_a_tenth():
    errors = sorted(abs(volume_of(f) / v - 1) for f, v in EXPERIMENTAL.items())
    assert errors[len(errors) // 2] < 0.1


def test_custom_radii_are_those_of_touching_spheres():
    close_packed = (2 * 1.4) ** 3 / math.sqrt(2)
    assert volume_of("Ar4", {"Ar": 1.4}) == pytest.approx(close_packed * 0.7405 / 0.7, rel=1e-3)
    assert volume_of("Ar4", {"Ar": 2.8}) == pytest.approx(8 * volume_of("Ar4", {"Ar": 1.4}))


def test_ions_are_found_where_electronegativities_differ():
    ions = find_ions(parse_formula("LiFePO4"))
    assert ions.anions == {8}
    assert ions.cations == {3, 26, 15}
    for formula in ("CuPt", "SiC", "H2O", "Si8", "ArNe"):
        assert find_ions(parse_formula(formula)) is None


def test_like_ions_touch_at_the_corners_of_a_cube():
    numbers = parse_formula("CsCl")
    radii = torch.tensor([1.8, 1.2], dtype=torch.float64)
    distances = contact_lengths(numbers, radii, 30.0)
    edge = 2 / math.sqrt(3) * 3.0
    torch.testing.assert_close(distances, torch.tensor([[edge, 3.0], [3.0, edge]]).double())
    metals = contact_lengths(parse_formula("CuPt"), radii, 13.0)
    torch.testing.assert_close(metals, torch.tensor([[3.6, 3.0], [3.0, 2.4]]).double())


def test_noble_gases_touch_where_they_are_close_packed():
    radii = torch.tensor([1.06, 1.06], dtype=torch.float64)
    lengths = contact_lengths(parse_formula("Ar2"), radii, 2.8**3 / math.sqrt(2))
    torch.testing.assert_close(lengths, torch.full((2, 2), 2.8).double())
