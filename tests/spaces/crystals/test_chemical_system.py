import math

import pytest
import torch
from ase.build import bulk

from bostruct.errors import InputError
from bostruct.spaces import ChemicalSystem, Crystal
from bostruct.structures import Structures, from_ase
from bostruct.testing import SpaceContract, seeded_generator
from bostruct.testing.central_differences import assert_gradient

SYSTEMS = {
    "elements": lambda: ChemicalSystem("Cu-Au", max_atoms=3),
    "formulas": lambda: ChemicalSystem(["Ti", "Ti2O3", "TiO2"], min_distance={"O-O": 2.0}),
    "sizes": lambda: ChemicalSystem("NaCl", formula_units=(1, 3), pressure=0.05),
}


@pytest.fixture(params=SYSTEMS)
def space(request):
    return SYSTEMS[request.param]()


class TestChemicalSystem(SpaceContract):
    @pytest.fixture
    def space(self, request):
        return SYSTEMS["elements"]()


@pytest.fixture(scope="module")
def copper_gold():
    return ChemicalSystem("Cu-Au", max_atoms=4)


def formulas(space, X):
    return [space.members[i].formula for i in space.member_index(X).tolist()]


def test_members_decode_as_their_crystals(space):
    X = space.sample(12, seeded_generator(0))
    decoded = space.decode(X)
    for x, structure, m in zip(X, decoded, space.member_index(X).tolist(), strict=True):
        own = space.members[m].decode(space.coordinates.crop(m, x))
        assert torch.equal(structure.numbers, own.numbers)
        for name in ("positions", "cell"):
            torch.testing.assert_close(getattr(structure, name), getattr(own, name))
    assert isinstance(decoded, Structures)


def test_the_number_of_a_member_and_the_zeros_are_inert(space):
    X = space.sample(6, seeded_generator(1)).requires_grad_()

    def value(X):
        structures = space.decode(X)
        return structures.positions.pow(2).sum() + structures.cell.pow(3).sum()

    (gradient,) = torch.autograd.grad(value(X), X)
    dimensions = [space.members[m].dimension for m in space.member_index(X).tolist()]
    for row, d in zip(gradient, dimensions, strict=True):
        assert row[0] == 0
        assert (row[1 + d :] == 0).all()
        assert (row[1 : 1 + d] != 0).any()
    assert_gradient(value, X.detach(), gradient)


def test_projection_restores_number_and_zeros(space):
    X = space.sample(5, seeded_generator(2))
    bent = X + 1e-3
    assert not space.contains(bent).any()
    projected = space.project(bent)
    assert torch.equal(projected[:, 0], X[:, 0])
    for row, m in zip(projected, space.member_index(X).tolist(), strict=True):
        assert (row[1 + space.members[m].dimension :] == 0).all()


def test_a_cycle_of_samples_holds_each_composition():
    space = ChemicalSystem("Cu-Au", max_atoms=4)
    n = len(space.compositions.unique(dim=0))
    X = space.sample(2 * n, seeded_generator(0))
    fractions = space.compositions[space.member_index(X)]
    for half in (fractions[:n], fractions[n:]):
        assert len(half.unique(dim=0)) == n


def test_larger_cells_are_drawn_more_often():
    space = ChemicalSystem("Cu", formula_units=[1, 3])
    counts = torch.bincount(space.member_index(space.sample(400, seeded_generator(0))))
    assert abs(counts[1] - 300) < 4 * math.sqrt(400 * 0.75 * 0.25)


def test_crystals_of_no_member_take_a_cell_of_their_composition(copper_gold):
    cubic = bulk("Cu", cubic=True)
    system = ChemicalSystem(["Cu", "Cu2Au", "Au"])
    x = system.encode(from_ase([cubic]))
    assert formulas(system, x) == ["Cu"]
    with pytest.raises(InputError, match="the composition of a member"):
        system.encode(from_ase([bulk("CuAu", "rocksalt", a=5.0)]))
    assert formulas(copper_gold, copper_gold.encode(from_ase([cubic]))) == ["Cu4"]


def test_rebuilds_from_its_description(space):
    again = ChemicalSystem.from_description(space.description())
    assert again.description() == space.description()
    X = space.sample(3, seeded_generator(0))
    assert torch.equal(X, again.sample(3, seeded_generator(0)))


def test_a_crystal_names_the_way_to_several():
    with pytest.raises(InputError, match="ChemicalSystem"):
        Crystal("TiO2", formula_units=[1, 2])
    with pytest.raises(InputError, match="ChemicalSystem"):
        Crystal(["Cu", "CuAu"])


def test_the_order_of_elements_in_a_formula_does_not_matter():
    """Cu2Au2 and Au2Cu2 are one member: of structures, of volumes, and of those given twice."""
    one, other = (
        ChemicalSystem([formula, "Cu"], volume={volume: 14.0})
        for formula, volume in (("Cu2Au2", "Au2Cu2"), ("Au2Cu2", "CuAu"))
    )
    assert one.members[0].volume == other.members[0].volume == 14.0
    generator = seeded_generator(0)
    crystals = one.decode(one.sample_members(torch.zeros(2, dtype=torch.int64), generator))
    X, Y = one.encode(crystals), other.encode(crystals)
    assert one.member_index(X).tolist() == other.member_index(Y).tolist() == [0, 0]
    assert one.is_duplicate(X, one.encode(other.decode(Y))).all()
    with pytest.raises(InputError, match="hold each formula once, got 'Cu2Au2' and 'Au2Cu2'"):
        ChemicalSystem(["Cu2Au2", "Au2Cu2"])
