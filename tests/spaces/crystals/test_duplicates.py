import pytest
import torch
from ase.build import bulk, make_supercell

from bostruct.spaces import ChemicalSystem
from bostruct.structures import from_ase
from bostruct.testing import seeded_generator


@pytest.fixture(scope="module")
def copper_gold():
    return ChemicalSystem("Cu-Au", max_atoms=4)


@pytest.mark.parametrize("cells", [2, 3, 4])
def test_a_primitive_cell_is_the_same_as_its_supercells(cells):
    space = ChemicalSystem("Cu", formula_units=(1, 4))
    atoms = bulk("Cu")
    supercell = make_supercell(atoms, [[cells, 0, 0], [0, 1, 0], [0, 0, 1]])
    x, y = (space.encode(from_ase([a])) for a in (atoms, supercell))
    found = space.member_index(torch.cat([x, y])).tolist()
    assert [space.formulas[m] for m in found] == ["Cu", f"(Cu){cells}"]
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
