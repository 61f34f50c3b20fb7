import pytest
import torch

from bostruct.descriptors import SOAP, MeanSOAP
from bostruct.descriptors.structure.mean_soap import pivoted_cholesky
from bostruct.errors import InputError
from bostruct.structures import from_ase, to_ase
from tests.descriptors.alloys import cells, pool, turned


def prepared(space, **arguments):
    made = MeanSOAP(cutoff=4.0, n_max=4, l_max=2, **arguments)
    return made.fit(space, torch.Generator().manual_seed(0))


def dense(structures, power=2):
    """Return D² `[b, b]` from every pair of atoms."""
    P = SOAP((29, 79), 4.0, 4, 2)(structures)
    K = (P @ P.T) ** power
    hot = torch.nn.functional.one_hot(structures.index).double()
    hot = hot / hot.sum(0)
    K = hot.T @ K @ hot
    return K.diagonal().unsqueeze(-1) + K.diagonal() - 2 * K


@pytest.mark.parametrize("power", [1, 2, 3])
def test_distances_are_those_of_the_average_kernel(power):
    space = pool()
    map_ = prepared(space, zeta=power)
    structures = space.decode(space.members(0, space.size))
    wanted = dense(structures, power) * map_.scale.square()
    D = torch.cdist(map_.transform(structures), map_.transform(structures)).square()
    assert torch.allclose(D, wanted, atol=1e-4 * float(wanted.max()))
    assert 0.9 < D[D > 1e-6].sqrt().median() < 1.1


def test_a_supercell_and_another_order_are_the_same():
    space = pool()
    map_ = prepared(space)
    structures = cells(n=4)
    large = from_ase([atoms.repeat((1, 2, 1)) for atoms in to_ase(structures)])
    Z = map_.transform(structures)
    assert torch.allclose(map_.transform(large), Z, atol=1e-9)
    assert torch.allclose(map_.transform(turned(structures)), Z, atol=1e-9)


def test_few_environments_see_most():
    space = pool(n=16)
    structures = space.decode(space.members(0, 16))
    whole, few = prepared(space), prepared(space, max_inducing=6)
    assert few(space, space.members(0, 16)).shape == (16, 6)
    D = torch.cdist(few.transform(structures) / few.scale, few.transform(structures) / few.scale)
    wanted = torch.cdist(
        whole.transform(structures) / whole.scale, whole.transform(structures) / whole.scale
    )
    assert (wanted + 1e-9 >= D).all()
    assert D.sum() > 0.8 * wanted.sum()


def test_the_factor_is_that_of_the_kernel():
    P = torch.nn.functional.normalize(torch.randn(30, 5).double(), dim=-1)
    chosen, factor = pivoted_cholesky(P, 2, 10)
    assert torch.allclose(factor @ factor.T, (chosen @ chosen.T) ** 2)


def test_restored_as_it_was():
    space = pool()
    map_ = prepared(space)
    again = MeanSOAP().restore(map_.tensors())
    X = space.members(0, 5)
    assert torch.equal(map_(space, X), again(space, X))
    assert map_(space, X[:0]).shape == (0, map_.n_features)


@pytest.mark.parametrize("name", ["cutoff", "zeta", "max_inducing", "n_max", "l_max"])
def test_numbers_out_of_range_are_refused(name):
    with pytest.raises(InputError, match=f"`{name}` must"):
        MeanSOAP(**{name: -1})
