"""Connectivity of chains and of structures of both continuous spaces."""

import math

import pytest
import torch
from ase.build import fcc100
from scipy.sparse.csgraph import minimum_spanning_tree

from bostruct.errors import InputError
from bostruct.spaces import Cluster, Surface
from bostruct.spaces.connectivity import (
    DEFAULT_MAX_GAP_FACTOR,
    is_connected,
    resolve_max_gap_factor,
    widest_gap,
)


def chain(count, step=1.0):
    P = torch.zeros(count, 3, dtype=torch.float64)
    P[:, 0] = step * torch.arange(count)
    return P


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9, 17, 30])
def test_a_chain_hangs_together_until_a_link_breaks(count):
    P = chain(count)
    limit = torch.full((count, count), 1.2, dtype=torch.float64)
    assert bool(is_connected(torch.cdist(P, P), limit))
    if count > 1:
        torn = P.clone()
        torn[count // 2 :, 1] += 3.0
        loose = P.clone()
        loose[-1, 0] += 0.5
        D = torch.stack([torch.cdist(x, x) for x in (P, torn, loose)])
        assert is_connected(D, limit).tolist() == [True, False, False]
        assert is_connected(D.float().unsqueeze(1), limit.float()).tolist() == [
            [True],
            [False],
            [False],
        ]


def test_each_pair_has_its_own_limit():
    P = chain(3, 1.5)
    limit = torch.full((3, 3), 1.6, dtype=torch.float64)
    assert bool(is_connected(torch.cdist(P, P), limit))
    limit[0, 1] = limit[1, 0] = 1.4
    assert not bool(is_connected(torch.cdist(P, P), limit))


def test_the_gap_is_none_where_molecules_may_stick_together():
    copper, water = torch.tensor([29, 29]), torch.tensor([1, 1, 8])
    assert resolve_max_gap_factor(None, copper, None) == DEFAULT_MAX_GAP_FACTOR
    assert resolve_max_gap_factor(None, water, None) == math.inf
    assert resolve_max_gap_factor(None, water, {"H": 0.4, "O": 0.8}) == DEFAULT_MAX_GAP_FACTOR
    assert resolve_max_gap_factor(2.5, water, None) == 2.5


def test_a_cluster_in_parts_is_outside():
    space = Cluster("Cu4")
    X = space.sample(5, torch.Generator().manual_seed(0))
    assert space.contains(X).all()
    P = X.view(5, 4, 3).clone()
    P[:, 0] *= 10.0
    far = P.flatten(1)
    wide = {"radius": 60.0, "min_distance": 0.1}
    assert not Cluster("Cu4", **wide).contains(far).any()
    assert Cluster("Cu4", **wide, max_gap_factor=99).contains(far).all()
    assert "max_gap_factor" in space.description()
    assert Cluster("H2O").description()["max_gap_factor"] is None


def test_an_atom_that_has_left_the_surface_is_outside():
    slab = fcc100("Au", (2, 2, 2), vacuum=8.0)
    space = Surface(slab, "Ni2", region=(0.0, 7.0))
    X = space.sample(6, torch.Generator().manual_seed(0))
    assert space.contains(X).all()
    across = X.clone()
    across[:, :3] += torch.tensor(slab.cell[0] - slab.cell[1])  # into another image
    assert space.contains(across).all()
    gone = X.clone()
    gone[:, 2] = slab.positions[:, 2].max() + 6.9
    assert not space.contains(gone).any()
    free = Surface(slab, "Ni2", region=(0.0, 7.0), max_gap_factor=9)
    assert free.contains(gone).all()
    assert Surface(slab, "CO").description()["max_gap_factor"] is None


def test_a_gap_must_be_positive():
    with pytest.raises(InputError, match="`max_gap_factor` must be positive"):
        Cluster("Cu4", max_gap_factor=0)


@pytest.mark.parametrize("count", [2, 3, 8, 40])
@pytest.mark.parametrize("seed", range(4))
def test_widest_gap_is_the_longest_edge_of_the_shortest_tree(count, seed):
    """SciPy's tree is of sparse matrices."""
    P = torch.randn(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    D = torch.cdist(P, P)
    tree = minimum_spanning_tree(D.numpy()).tocoo()
    row = tree.data.argmax()
    assert sorted(widest_gap(D)) == sorted((int(tree.row[row]), int(tree.col[row])))
    assert bool(is_connected(D, torch.full_like(D, float(D[widest_gap(D)]) + 1e-12)))
    assert not bool(is_connected(D, torch.full_like(D, float(D[widest_gap(D)]) - 1e-12)))


def test_one_atom_has_no_gap():
    assert widest_gap(torch.zeros(1, 1)) == (0, 0)
