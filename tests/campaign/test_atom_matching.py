import math

import pytest
import torch
from ase import Atoms
from ase.build import fcc100, molecule

from bostruct.campaign.atom_matching import (
    is_duplicate,
    match_atoms,
    minimum_image,
    unwrap,
)
from bostruct.spaces import Cluster, Surface
from bostruct.structures import from_ase


def test_among():
    space = Cluster("Cu4")
    X = space.sample(3, torch.Generator().manual_seed(0))
    assert is_duplicate(space, X[0], [X[1], X[0]])
    assert not is_duplicate(space, X[2], [X[1], X[0]])
    assert not is_duplicate(space, X[2], [])


def test_order_of_a_cluster_that_was_moved():
    space = Cluster("Cu2Au2")
    x = space.sample(1, torch.Generator().manual_seed(0))[0]
    made = space.decode(x)
    turned = torch.tensor([2, 0, 3, 1])
    symbols = [made.symbols()[i] for i in turned]
    given = from_ase(Atoms(symbols, made.positions[turned].numpy() + 3.0))
    assert match_atoms(given, made).tolist() == turned.argsort().tolist()


def test_order_in_a_periodic_cell_through_its_borders():
    slab = fcc100("Au", (2, 2, 1), vacuum=7.0)
    space = Surface(slab, "Ni2")
    x = space.sample(1, torch.Generator().manual_seed(0))[0]
    made = space.decode(x)
    shift = torch.tensor([[0, 0], [1, 0], [0, -1], [2, 1], [-1, 1], [1, 1]]).double()
    moved = made.positions + shift @ made.cell[0, :2]
    given = from_ase(Atoms(made.symbols(), moved.numpy(), cell=slab.cell, pbc=(1, 1, 0)))
    assert match_atoms(given, made).tolist() == list(range(6))


def test_order_is_none_where_it_is_not_clear():
    made = from_ase(Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]]))
    assert match_atoms(from_ase(Atoms("Cu2", [[0, 0, 0], [0, 0, 3.5]])), made) is None
    close = from_ase(Atoms("Cu2", [[0, 0, 0], [0, 0, 0.1]]))
    assert match_atoms(close, close).tolist() == [0, 1]
    assert match_atoms(from_ase(Atoms("Cu2")), close) is None


def test_shortest_of_a_slab_without_a_third_vector():
    cell = torch.tensor([[3.0, 0, 0], [0, 4.0, 0], [0, 0, 0]]).double()
    pbc = torch.tensor([True, True, False])
    V = torch.tensor([2.9, -4.1, 7.0]).double()
    found = minimum_image(V, cell, pbc)
    torch.testing.assert_close(found, torch.tensor([-0.1, -0.1, 7.0]).double())


@pytest.mark.parametrize("centre", [0.0, 5.0, 9.5])
def test_a_molecule_cut_by_the_borders_is_whole_again(centre):
    free = molecule("CH3CH2OH")
    boxed = free.copy()
    boxed.set_cell([10.0, 9.0, 8.0])
    boxed.pbc = True
    boxed.translate(centre - boxed.positions.mean(0))
    boxed.wrap()
    found = unwrap(from_ase(boxed))
    mine = torch.cdist(found, found)
    P = torch.from_numpy(free.positions)
    torch.testing.assert_close(mine, torch.cdist(P, P))
    assert math.isclose(float(found[0, 0]), float(boxed.positions[0, 0]))
