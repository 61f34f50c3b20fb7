"""Random trees of bonds: as many bonds as elements have, no crowding, whole molecules."""

import pytest
import torch

from bostruct.spaces import Cluster
from bostruct.spaces.clusters.tree_sampling import has_few_neighbors, sample_trees
from bostruct.structures import covalent_radii

N = 64


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def bonds_of(space, X, factor=1.2):
    """Return which atoms are within a stretched bond of each other, `[n, a, a]`."""
    P = X.reshape(len(X), -1, 3)
    far = torch.eye(P.shape[1], dtype=torch.float64) * 1e9
    return torch.cdist(P, P) + far < factor * space.bond_lengths


def trees(formula, n=N):
    space = Cluster(formula)
    return space, sample_trees(n, space.numbers, space.bond_lengths, stream()).flatten(-2)


def test_covalent_elements_have_few_neighbors():
    for symbols, expected in (("C7", True), ("H2O", True), ("SiO2", True), ("NaCl", False)):
        assert has_few_neighbors(Cluster(symbols).numbers) is expected
    assert not has_few_neighbors(Cluster("Ar7", atomic_radii={"Ar": 0.56}).numbers)


@pytest.mark.parametrize("formula", ["C7", "C20", "Si10", "S8", "B12"])
def test_all_atoms_hang_together_and_none_is_crowded(formula):
    space, X = trees(formula)
    assert space.contains(X).double().mean() > 0.9
    bonds = bonds_of(space, X)
    a = len(space.numbers)
    assert (bonds.sum((-1, -2)) >= 2 * (a - 1)).all()  # a tree at least
    assert bonds.sum(-1).double().mean() < 2.3
    closest = torch.cdist(X.reshape(N, -1, 3), X.reshape(N, -1, 3))
    assert (closest + 9 * torch.eye(a) > 0.9 * 2 * covalent_radii(space.numbers)[0]).all()


def test_some_are_chains_and_others_branch():
    space, X = trees("C10")
    largest = bonds_of(space, X).sum(-1).amax(-1)
    assert 10 < (largest <= 2).sum() < N - 10
    assert (largest >= 3).sum() > 10


@pytest.mark.parametrize(("formula", "n_bonds"), [("(H2O)3", 2), ("CH4", 4), ("C2H6", 4)])
def test_molecules_are_whole(formula, n_bonds):
    """Each hydrogen has a bond to one other atom, and these have all of theirs."""
    space, X = trees(formula)
    bonds = bonds_of(space, X).sum(-1)
    hydrogen = space.numbers == 1
    complete = (bonds[:, hydrogen] == 1).all(-1) & (bonds[:, ~hydrogen] == n_bonds).all(-1)
    assert complete.double().mean() > 0.8


def test_the_first_structures_are_trees_and_the_search_knows_compact_ones_too():
    space = Cluster("C12")
    dense = bonds_of(space, space.generators()["compact"](N, stream())).sum(-1).double().mean()
    assert dense > 2 * bonds_of(space, space.sample(N, stream())).sum(-1).double().mean()
    assert "compact" not in Cluster("Cu5").generators()


def test_a_small_sphere_holds_compact_ones():
    space = Cluster("C12", radius=2.6)
    assert space.contains(space.sample(4, stream())).all()


def test_the_same_stream_makes_the_same_trees():
    assert torch.equal(trees("C7")[1], trees("C7")[1])
    assert trees("C7", 0)[1].shape == (0, 21)
