"""The compiled radial functions and harmonics against those of tensors."""

import math

import numpy as np
import pytest
import torch

from bostruct.descriptors.soap import basis_numba
from bostruct.descriptors.soap.radial_basis import RadialBasis
from bostruct.descriptors.soap.spherical_harmonics import SphericalHarmonics

K, DEGREE, COUNT = 6, 4, 5


def unit(seed=0):
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(3, K, dtype=torch.float64, generator=generator)
    return u / u.norm(dim=0)


def angular(u):
    """Return Y `[k, m]` and the arrays from which its slopes are made."""
    N = basis_numba.harmonic_norms(DEGREE)
    Y, Q = np.empty((K, (DEGREE + 1) ** 2)), np.empty((len(N), K))
    X, imaginary = np.empty((DEGREE + 1, K)), np.empty((DEGREE + 1, K))
    basis_numba.harmonic_values(u.numpy(), Y, Q, X, imaginary, N, K)
    return Y, (Q, X, imaginary, N)


def test_radial_functions_and_their_slopes():
    functions = RadialBasis(1.0, COUNT)
    r = torch.linspace(0.1, 0.95, K, dtype=torch.float64)
    R, dR = functions.gradient(r)
    M = np.ascontiguousarray(functions.orthonormalization.numpy())
    found, slope = np.empty((COUNT, K)), np.empty((COUNT, K))
    basis_numba.radial_values(r.numpy(), M, found, K)
    basis_numba.radial_derivatives(r.numpy(), M, slope, K)
    np.testing.assert_allclose(found, R, atol=1e-12)
    np.testing.assert_allclose(slope, dR, atol=1e-11)


def test_harmonics_and_their_slopes_along_the_sphere():
    u = unit()
    Y, dY = SphericalHarmonics(DEGREE).gradient(u)
    found, parts = angular(u)
    np.testing.assert_allclose(found, Y.T, atol=1e-12)
    along = dY - u.unsqueeze(1) * (u.unsqueeze(1) * dY).sum(0)  # [3, m, k]
    slopes = np.empty((3, (DEGREE + 1) ** 2, K))
    basis_numba.harmonic_jacobian(u.numpy(), *parts, slopes, K)
    np.testing.assert_allclose(slopes, along, atol=1e-12)


def test_a_slope_pulled_back_is_the_sum_of_slopes():
    u = unit(1)
    _, parts = angular(u)
    gY = np.random.default_rng(0).normal(size=(K, (DEGREE + 1) ** 2))
    gu, slopes = np.empty((3, K)), np.empty((3, gY.shape[1], K))
    basis_numba.harmonic_vjp(gY, *parts, gu, K)
    basis_numba.harmonic_jacobian(u.numpy(), *parts, slopes, K)
    v = u.numpy()
    tangential = gu - v * (v * gu).sum(0)
    np.testing.assert_allclose(tangential, (slopes * gY.T).sum(1), atol=1e-12)


def test_norms_are_those_of_the_harmonics():
    """On the x axis Y_l0 and Y_lm are known from Q alone; l = 1 is sqrt(3 / 4 pi)."""
    assert basis_numba.harmonic_norms(1) == pytest.approx(
        [math.sqrt(1 / (4 * math.pi))] + 2 * [math.sqrt(3 / (4 * math.pi))]
    )
    pole = torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64)
    Y = SphericalHarmonics(6)(pole).squeeze(-1)
    for ell in range(7):
        assert basis_numba.harmonic_norms(6)[ell * (ell + 1) // 2] == pytest.approx(
            float(Y[ell * ell + ell])
        )
    assert basis_numba.l_max_of(len(basis_numba.harmonic_norms(6))) == 6
