import math

import pytest
import torch
from ase.build import bulk, make_supercell

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


@pytest.mark.parametrize("cells", [2, 3, 4])
def test_a_primitive_cell_is_the_same_as_its_supercells(cells):
    space = ChemicalSystem("Cu", formula_units=(1, 4))
    atoms = bulk("Cu")
    supercell = make_supercell(atoms, [[cells, 0, 0], [0, 1, 0], [0, 0, 1]])
    x, y = (space.encode(from_ase([a])) for a in (atoms, supercell))
    assert formulas(space, torch.cat([x, y])) == ["Cu", f"(Cu){cells}"]
    assert space.is_duplicate(x, y, tolerance_scale=1e-6).all()
    other = space.encode(from_ase([bulk("Cu", "bcc", a=2.87)]))
    assert not space.is_duplicate(other, torch.cat([x, y])).any()


def test_duplicates_of_many_are_those_of_pairs(copper_gold):
    space = copper_gold
    X = space.sample(9, seeded_generator(3))
    X = torch.cat([X, space.moves()["supercell"](X, seeded_generator(0))])
    table = space.is_duplicate(X.unsqueeze(1), X)
    for i in range(0, len(X), 5):
        for j in range(len(X)):
            assert table[i, j] == space.is_duplicate(X[i], X[j])
    assert torch.equal(table, table.mT)


def test_different_compositions_are_never_the_same(copper_gold):
    atoms = bulk("Cu", "fcc", a=3.9)
    gold = atoms.copy()
    gold.symbols[:] = "Au"
    x, y = (copper_gold.encode(from_ase([a])) for a in (atoms, gold))
    assert not copper_gold.is_duplicate(x, y).any()


def test_transmutation_keeps_the_number_of_atoms(copper_gold):
    X = copper_gold.sample(24, seeded_generator(4))
    moved = copper_gold.moves()["transmute"](X, seeded_generator(5))
    old, new = copper_gold.member_index(X), copper_gold.member_index(moved)
    assert copper_gold.contains(moved).all()
    assert torch.equal(copper_gold.atom_counts[old], copper_gold.atom_counts[new])
    change = copper_gold.compositions[old] - copper_gold.compositions[new]
    atoms = change.abs().sum(-1) / 2 * copper_gold.atom_counts[old]
    assert (old != new).sum() > 12
    torch.testing.assert_close(atoms[old != new], torch.ones_like(atoms[old != new]))


def test_supercells_keep_the_composition(copper_gold):
    X = copper_gold.sample(24, seeded_generator(4))
    moved = copper_gold.moves()["supercell"](X, seeded_generator(5))
    old, new = copper_gold.member_index(X), copper_gold.member_index(moved)
    assert copper_gold.contains(moved).all()
    assert torch.equal(copper_gold.compositions[old], copper_gold.compositions[new])
    assert (old != new).any()
    assert (copper_gold.atom_counts[new] >= copper_gold.atom_counts[old]).all()


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
