"""The compiled loops against the tensor operations that define the descriptor."""

import math

import numpy as np
import pytest
import torch

from bostruct.descriptors import SOAP, NeighborVectors
from bostruct.descriptors.soap import power_spectrum_numba

ATOMS, NEIGHBORS = 7, 12
EXACT = {torch.float64: 1e-12, torch.float32: 2e-5}


def environments(species, seed=0):
    """Return vectors `[n, k, 3]`, a third of them beyond the cut-off, and species."""
    generator = torch.Generator().manual_seed(seed)
    V = torch.randn(ATOMS, NEIGHBORS, 3, dtype=torch.float64, generator=generator)
    distance = 0.25 + torch.rand(ATOMS, NEIGHBORS, 1, dtype=torch.float64, generator=generator)
    V = V / V.norm(dim=-1, keepdim=True) * distance
    kind = torch.randint(species, (ATOMS, NEIGHBORS), generator=generator)
    place = torch.randint(species, (ATOMS,), generator=generator)
    return V, kind, place


def run(soap, V, kind, place):
    own, M, N, A = soap._numba_constants(V.dtype)
    rows, around, alone = nothing(soap, len(V), V.dtype)
    arrays = (x.numpy() for x in (V, kind, place, rows, around, alone))
    return power_spectrum_numba.power_spectrum(*arrays, M, own, N, A)


def nothing(soap, n, dtype):
    """Return the arguments that say that no atom stands on a base."""
    s, m = len(soap.species) * soap.n_max, (soap.l_max + 1) ** 2
    rows = torch.full((n,), -1)
    return rows, torch.zeros(0, s, m, dtype=dtype), torch.zeros(0, soap.n_features).to(dtype)


def slope_of_neighbors(soap, g, V, kind, P, C, length):
    """Return what `compiled.slope` gives if every neighbor is an atom of its own."""
    _, M, N, A = soap._numba_constants(V.dtype)
    n, k = kind.shape
    other = n + torch.arange(n * k).view(n, k)
    rows = [torch.cat((x, x.new_zeros(n * k, *x.shape[1:]))) for x in (g, V, kind)]
    rest = [np.concatenate((x, np.zeros((n * k, *x.shape[1:]), x.dtype))) for x in (P, C, length)]
    other = torch.cat((other, torch.zeros(n * k, k, dtype=torch.int64)))
    found = power_spectrum_numba.power_spectrum_vjp(
        *(x.numpy() for x in (*rows, other)), np.arange(len(other)), len(other), M, N, A, *rest
    )
    own, theirs = np.split(found, [n])
    theirs = theirs.reshape(n, k, 3)
    np.testing.assert_allclose(own, -theirs.sum(1), atol=1e-4 * np.abs(theirs).max())
    return theirs


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("species", [(29,), (29, 79), (1, 6, 8)])
@pytest.mark.parametrize(("radial", "angular"), [(1, 0), (2, 1), (5, 4), (4, 7)])
def test_equals_the_definition(species, radial, angular, dtype):
    soap = SOAP(species, 4.0, radial, angular, center_atom_weight=2.0, species_similarity=0.7)
    V, kind, place = environments(len(species))
    expected = soap.power_spectrum(V, kind, place)
    P, C, length = run(soap, V.to(dtype), kind, place)
    torch.testing.assert_close(torch.from_numpy(P).double(), expected, rtol=0, atol=EXACT[dtype])
    g = torch.randn_like(expected)
    moving = V.clone().requires_grad_()
    (slope,) = torch.autograd.grad(soap.power_spectrum(moving, kind, place), moving, g)
    found = slope_of_neighbors(soap, g.to(dtype), V.to(dtype), kind, P, C, length)
    torch.testing.assert_close(
        torch.from_numpy(found).double(), slope, rtol=0, atol=100 * EXACT[dtype]
    )
    assert slope.abs().max() > 1e-2 or angular == 0


@pytest.mark.parametrize("species", [(29,), (29, 79), (1, 6, 8)])
def test_slopes_of_pairs_equal_those_by_tensor_operations(species):
    soap = SOAP(species, 4.0, center_atom_weight=2.0, species_similarity=0.7)
    V, kind, place = environments(len(species))
    other = (torch.arange(NEIGHBORS) % ATOMS).expand(ATOMS, -1)
    mask = torch.ones_like(kind, dtype=torch.bool)
    near = NeighborVectors(other, None, mask, place)
    found = soap._numba_gradients(near, V)
    expected = soap._tensor_gradients(near, V)
    assert torch.equal(found.center, expected.center)
    assert torch.equal(found.neighbor, expected.neighbor)
    for name in ("features", "gradients"):
        torch.testing.assert_close(
            getattr(found, name), getattr(expected, name), rtol=0, atol=1e-12
        )


def test_what_lies_beyond_the_cutoff_has_no_slope():
    soap = SOAP((29,), 4.0)
    V, kind, place = environments(1)
    P, C, length = run(soap, V, kind, place)
    ones = torch.ones_like(torch.from_numpy(P))
    slope = slope_of_neighbors(soap, ones, V, kind, P, C, length)
    beyond = V.norm(dim=-1).numpy() >= 1
    assert beyond.any()
    assert not slope[beyond].any()
    assert slope[~beyond].any(-1).all()


def test_an_atom_without_neighbors_is_its_own_environment():
    soap = SOAP((29, 79), 4.0)
    V, kind, place = environments(2)
    P, _, _ = run(soap, V * 100, kind, place)
    expected = soap.power_spectrum(V * 100, kind, place)
    torch.testing.assert_close(torch.from_numpy(P), expected, rtol=0, atol=1e-13)


def test_what_is_not_a_number_is_seen():
    """A structure that has exploded must not look like one without neighbors."""
    soap = SOAP((29,), 4.0)
    V, kind, place = environments(1)
    V[2, 3, 1] = math.nan
    P, _, _ = run(soap, V, kind, place)
    assert np.isnan(P[2]).all()
    assert np.isfinite(np.delete(P, 2, 0)).all()
