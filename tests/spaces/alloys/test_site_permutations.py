import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.cluster import Icosahedron, Octahedron

from bostruct.errors import InputError
from bostruct.spaces.alloys.site_permutations import symmetry_permutations


@pytest.mark.parametrize(
    ("parent", "order"),
    [
        (bulk("Cu", cubic=True) * (2, 2, 2), 48 * 32),
        (bulk("NaCl", "rocksalt", a=5.6, cubic=True), 24),
        (fcc111("Cu", (2, 2, 2), vacuum=5), 48),
        (fcc111("Cu", (2, 2, 3)), 48),
        (Icosahedron("Cu", 2), 120),
        (Octahedron("Cu", 3), 48),
        (molecule("C6H6"), 12),
        (molecule("CO2"), 2),
        (molecule("H2O"), 2),
        (Atoms("Cu"), 1),
    ],
)
def test_order_of_the_group(parent, order):
    """As permutations: what moves no site is no symmetry of its own."""
    P = symmetry_permutations(parent, parent.get_atomic_numbers())
    assert len(P) == order
    assert torch.equal(P.sort(-1).values, torch.arange(len(parent)).expand(order, -1))


def test_it_is_a_group():
    parent = bulk("Cu", cubic=True) * (2, 1, 1)
    P = symmetry_permutations(parent, parent.get_atomic_numbers())
    members = {tuple(row) for row in P.tolist()}
    assert tuple(range(8)) in members
    products = P[:, P].reshape(-1, 8)
    assert {tuple(row) for row in products.tolist()} == members


@pytest.mark.parametrize("parent", [bulk("Cu", cubic=True) * 2, Icosahedron("Cu", 2)])
def test_distances_are_kept(parent):
    D = parent.get_all_distances(mic=bool(parent.pbc.any()))
    for p in symmetry_permutations(parent, np.ones(len(parent), int)).numpy():
        np.testing.assert_allclose(D[np.ix_(p, p)], D, atol=1e-6)


def test_kinds_are_kept():
    parent = bulk("Cu", cubic=True)
    kinds = np.array([0, 1, 1, 1])
    P = symmetry_permutations(parent, kinds)
    assert len(P) == 6
    assert (P[:, 0] == 0).all()


def test_refusals():
    chain = Atoms("Cu", cell=[2.5, 0, 0], pbc=[True, False, False])
    with pytest.raises(InputError, match="`parent` must repeat along three axes, two"):
        symmetry_permutations(chain, np.ones(1, int))
    twice = Atoms("Cu2", [[0, 0, 0], [0, 0, 1e-3]])
    with pytest.raises(InputError, match="`parent` must have sites apart from each"):
        symmetry_permutations(twice, np.ones(2, int))
