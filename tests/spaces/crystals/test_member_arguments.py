import pytest

from bostruct.errors import InputError
from bostruct.spaces import ChemicalSystem
from bostruct.spaces.crystals.member_arguments import member_arguments


def test_volumes_by_formula_and_between_elements():
    space = ChemicalSystem("Cu-Au", max_atoms=2, volume={"Cu": 12.0, "Au": 17.0, "CuAu": 14.0})
    assert {m.formula: m.volume for m in space.members} == {
        "Cu": 12.0, "Cu2": 12.0, "Au": 17.0, "Au2": 17.0, "CuAu": 14.0,
    }  # fmt: skip
    mean = ChemicalSystem(["Cu3Au", "Cu"], volume={"Cu": 12.0, "Au": 16.0})
    assert mean.members[0].volume == pytest.approx(13.0)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"atomic_radii": {"Ag": 1.4}}, "atomic_radii.*elements that occur"),
        ({"min_distance": {"Cu-Ag": 1.4}}, "min_distance.*elements that occur"),
        ({"volume": {"Cu": -1.0}}, "volume"),
        ({"volume": {"Cu": 12.0, "Ag": 17.0}}, "volume.*elements that occur"),
        ({"volume": {"CuX": 12.0}}, "`volume` must name elements that exist"),
        ({"symmetry": 999}, "symmetry"),
        ({"cell": [3, 3, 3]}, "`cell` must be left out .* searches one formula in a given cell"),
        ({"periodic": (True, True, False)}, "`periodic` must be left out .*, or layers"),
        ({"max_atom": 4}, "`max_atom` must be left out .* are system, max_atoms, "),
    ],
)
def test_refuses_arguments(arguments, match):
    with pytest.raises(InputError, match=match):
        ChemicalSystem(["Cu", "CuAu"], **arguments)


def test_members_take_the_space_groups_that_hold_them():
    space = ChemicalSystem(["Cu2", "Cu3Au"], symmetry=[194, 221])
    assert [member.symmetry for member in space.members] == [(194, 221), (221,)]


def test_members_take_what_concerns_their_elements():
    radii, distances = {"Ti": 1.5, "O": 0.7}, {"O-O": 2.0, "O-Ti": 1.6}
    titanium, oxide = member_arguments(["Ti", "TiO2"], None, None, radii, distances)
    assert titanium["atomic_radii"] == {"Ti": 1.5}
    assert titanium["min_distance"] == {}
    assert oxide["atomic_radii"] == radii
    assert oxide["min_distance"] == distances
    assert oxide["volume"] is None
