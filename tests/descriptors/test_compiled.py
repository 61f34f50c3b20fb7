"""The compiled loops against the tensor operations that define the descriptor."""

import math

import numpy as np
import pytest
import torch

from bostruct.descriptors import SOAP, compiled
from bostruct.descriptors.harmonics import Harmonics

ATOMS, NEIGHBORS = 7, 12
EXACT = {torch.float64: 1e-12, torch.float32: 2e-5}


def environments(species, seed=0):
    """Return vectors `[n, k, 3]`, a third of them beyond the cut-off, and species."""
    generator = torch.Generator().manual_seed(seed)
    V = torch.randn(ATOMS, NEIGHBORS, 3, dtype=torch.float64, generator=generator)
    distance = 0.25 + torch.rand(
        ATOMS, NEIGHBORS, 1, dtype=torch.float64, generator=generator
    )
    V = V / V.norm(dim=-1, keepdim=True) * distance
    kind = torch.randint(species, (ATOMS, NEIGHBORS), generator=generator)
    place = torch.randint(species, (ATOMS,), generator=generator)
    return V, kind, place


def run(soap, V, kind, place):
    own, M, N, A = soap._constants(V.dtype)
    return compiled.spectrum(V.numpy(), kind.numpy(), place.numpy(), M, own, N, A)


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("species", [(29,), (29, 79), (1, 6, 8)])
@pytest.mark.parametrize(("radial", "angular"), [(1, 0), (2, 1), (5, 4), (4, 7)])
def test_equals_the_definition(species, radial, angular, dtype):
    soap = SOAP(species, 4.0, radial, angular, center=2.0, alchemy=0.7)
    V, kind, place = environments(len(species))
    expected = soap.spectrum(V, kind, place)
    P, C, length = run(soap, V.to(dtype), kind, place)
    torch.testing.assert_close(
        torch.from_numpy(P).double(), expected, rtol=0, atol=EXACT[dtype]
    )
    g = torch.randn_like(expected)
    moving = V.clone().requires_grad_()
    (slope,) = torch.autograd.grad(soap.spectrum(moving, kind, place), moving, g)
    _, M, N, A = soap._constants(dtype)
    arrays = (g.to(dtype).numpy(), V.to(dtype).numpy(), kind.numpy())
    found = compiled.slope(*arrays, M, N, A, P, C, length)
    torch.testing.assert_close(
        torch.from_numpy(found).double(), slope, rtol=0, atol=100 * EXACT[dtype]
    )
    assert slope.abs().max() > 1e-2 or angular == 0


@pytest.mark.parametrize("species", [(29,), (29, 79), (1, 6, 8)])
def test_slopes_of_pairs_equal_those_by_tensor_operations(species):
    soap = SOAP(species, 4.0, center=2.0, alchemy=0.7)
    V, kind, place = environments(len(species))
    other = torch.arange(NEIGHBORS).expand(ATOMS, -1)
    mask = torch.ones_like(kind, dtype=torch.bool)
    found = soap._compiled_slopes(other, V, kind, place)
    expected = soap._tensor_slopes(other, V, kind, mask, place)
    assert torch.equal(found.center, expected.center)
    assert torch.equal(found.other, expected.other)
    for name in ("features", "slopes"):
        torch.testing.assert_close(
            getattr(found, name), getattr(expected, name), rtol=0, atol=1e-12
        )


def test_what_lies_beyond_the_cutoff_has_no_slope():
    soap = SOAP((29,), 4.0)
    V, kind, place = environments(1)
    P, C, length = run(soap, V, kind, place)
    _, M, N, A = soap._constants(V.dtype)
    slope = compiled.slope(
        np.ones_like(P), V.numpy(), kind.numpy(), M, N, A, P, C, length
    )
    beyond = V.norm(dim=-1).numpy() >= 1
    assert beyond.any()
    assert not slope[beyond].any()
    assert slope[~beyond].any(-1).all()


def test_an_atom_without_neighbors_is_its_own_environment():
    soap = SOAP((29, 79), 4.0)
    V, kind, place = environments(2)
    P, _, _ = run(soap, V * 100, kind, place)
    expected = soap.spectrum(V * 100, kind, place)
    torch.testing.assert_close(torch.from_numpy(P), expected, rtol=0, atol=1e-13)


def test_what_is_not_a_number_is_seen():
    """A structure that has exploded must not look like one without neighbors."""
    soap = SOAP((29,), 4.0)
    V, kind, place = environments(1)
    V[2, 3, 1] = math.nan
    P, _, _ = run(soap, V, kind, place)
    assert np.isnan(P[2]).all()
    assert np.isfinite(np.delete(P, 2, 0)).all()


def test_norms_are_those_of_the_harmonics():
    """On the x axis Y_l0 and Y_lm are known from Q alone; l = 1 is sqrt(3 / 4 pi)."""
    assert compiled.norms(1) == pytest.approx(
        [math.sqrt(1 / (4 * math.pi))] + 2 * [math.sqrt(3 / (4 * math.pi))]
    )
    pole = torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64)
    Y = Harmonics(6)(pole).squeeze(-1)
    for ell in range(7):
        assert compiled.norms(6)[ell * (ell + 1) // 2] == pytest.approx(
            float(Y[ell * ell + ell])
        )
