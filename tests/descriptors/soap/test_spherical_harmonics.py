"""The harmonics against the addition theorem, SciPy and central differences."""

import math

import pytest
import torch
from scipy.special import eval_legendre

from bostruct.descriptors import SphericalHarmonics
from bostruct.errors import InputError

ROUNDING = 1e-13
SECANT = 1e-8  # central differences of polynomials with a step of 1e-5


def directions(count, seed):
    u = torch.randn(3, count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return u / torch.linalg.vector_norm(u, dim=0)


@pytest.mark.parametrize("degree", [0, 1, 4, 8])
def test_addition_theorem(degree):
    u, v = directions(40, 0), directions(40, 1)
    Yu, Yv = SphericalHarmonics(degree)(u), SphericalHarmonics(degree)(v)
    for ell in range(degree + 1):
        order = slice(ell**2, (ell + 1) ** 2)
        expected = eval_legendre(ell, (u * v).sum(0).numpy())
        expected = torch.from_numpy(expected) * (2 * ell + 1) / (4 * math.pi)
        found = (Yu[order] * Yv[order]).sum(0)
        torch.testing.assert_close(found, expected, atol=ROUNDING, rtol=0)


def test_first_harmonics_are_the_textbook_ones():
    u = directions(10, 2)
    x, y, z = u
    c = math.sqrt(3 / (4 * math.pi))
    Y = SphericalHarmonics(2)(u)
    torch.testing.assert_close(Y[1:4], c * torch.stack((y, z, x)))
    d = math.sqrt(5 / (16 * math.pi)) * (3 * z**2 - 1)
    torch.testing.assert_close(Y[6], d)


def test_gradient_matches_central_differences():
    harmonics, u, h = SphericalHarmonics(5), directions(20, 3), 1e-5
    _, slope = harmonics.gradient(u)
    for axis in range(3):
        step = torch.zeros(3, 1, dtype=torch.float64)
        step[axis] = h
        secant = (harmonics(u + step) - harmonics(u - step)) / (2 * h)
        torch.testing.assert_close(slope[axis], secant, atol=SECANT, rtol=SECANT)


@pytest.mark.parametrize("degree", [-1, 11])
def test_refuses_degrees_out_of_range(degree):
    with pytest.raises(InputError, match="`l_max` must be between 0 and 10"):
        SphericalHarmonics(degree)
