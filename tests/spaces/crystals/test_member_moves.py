import pytest
import torch

from bostruct.spaces import ChemicalSystem
from bostruct.spaces.crystals.member_moves import larger_members, transmuted_members
from bostruct.testing import seeded_generator


@pytest.fixture(scope="module")
def copper_gold():
    return ChemicalSystem("Cu-Au", max_atoms=4)


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


def test_members_that_moves_lead_to():
    members = ChemicalSystem(["Cu", "Cu2", "Cu4", "CuAu", "Au2", "Cu3Au"]).members
    assert larger_members(members) == [[1, 2], [2], [], [], [], []]
    assert transmuted_members(members) == [[], [3], [5], [1, 4], [3], [2]]
