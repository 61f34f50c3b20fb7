import torch

from bostruct.descriptors.structure.features import ElementFractions, helmert_basis, median_distance
from bostruct.spaces import Composition

GENERATOR = torch.Generator().manual_seed(0)


def test_the_basis_is_orthonormal_and_orthogonal_to_the_sum():
    basis = helmert_basis(5)
    assert torch.allclose(basis.T @ basis, torch.eye(4).double())
    assert basis.sum(0).abs().max() < 1e-15


def test_distances_are_those_between_fractions_and_the_middle_is_zero():
    space = Composition(["Cu", "Pd", "Au"], step=1 / 8)
    map_ = ElementFractions().fit(space, GENERATOR)
    X = space.members(0, space.size)
    Z = map_(space, X)
    assert Z.shape == (space.size, 2)
    unit = map_.basis.norm(dim=0)[0]
    assert torch.allclose(torch.cdist(Z, Z), torch.cdist(X, X) * unit, atol=1e-6)
    assert 0.7 < median_distance(Z) < 1.4
    middle = torch.full((1, 3), 1 / 3, dtype=torch.float64)
    assert (middle @ map_.basis).abs().max() < 1e-12


def test_restored_as_it_was():
    space = Composition(["Cu", "Pd", "Au"], step=1 / 8)
    map_ = ElementFractions().fit(space, GENERATOR)
    again = ElementFractions().restore(map_.tensors())
    X = space.members(0, 9)
    assert torch.equal(map_(space, X), again(space, X))


def test_the_median_of_nothing_is_one():
    assert median_distance(torch.zeros(0, 2)) == median_distance(torch.zeros(3, 0)) == 1.0
    assert median_distance(torch.ones(3, 2)) == 1.0
