"""The radial functions: orthonormal, smooth at the cut-off, right derivatives."""

import numpy as np
import pytest
import torch

from bostruct.descriptors import RadialBasis
from bostruct.errors import InputError

CUTOFF = 4.5


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_orthonormal(count):
    points, weights = np.polynomial.legendre.leggauss(80)
    r = torch.from_numpy((points + 1) / 2 * CUTOFF)
    R = RadialBasis(CUTOFF, count)(r)
    overlap = (R * torch.from_numpy(weights) * CUTOFF / 2 * r**2) @ R.T
    torch.testing.assert_close(overlap, torch.eye(count, dtype=torch.float64))


def test_spans_the_polynomial_basis():
    """(r_c - r)^(k + 2), k = 1 ... count, are combinations of the functions."""
    r = torch.linspace(0.1, CUTOFF, 50, dtype=torch.float64)
    R = RadialBasis(CUTOFF, 4)(r)
    powers = torch.stack([(CUTOFF - r) ** (k + 2) for k in range(1, 5)])
    fitted = torch.linalg.lstsq(R.T, powers.T).solution
    torch.testing.assert_close(R.T @ fitted, powers.T, atol=1e-9, rtol=1e-9)


def test_gradient_matches_central_differences_on_both_sides_of_the_cutoff():
    r = torch.tensor([0.5, 2.0, 4.4, CUTOFF, 4.6, 7.0], dtype=torch.float64)
    radial, h = RadialBasis(CUTOFF, 6), 1e-5
    value, slope = radial.gradient(r)
    torch.testing.assert_close(value, radial(r))
    secant = (radial(r + h) - radial(r - h)) / (2 * h)
    torch.testing.assert_close(slope, secant, atol=1e-7, rtol=1e-7)


def test_value_slope_and_curvature_vanish_at_the_cutoff():
    r = torch.tensor([CUTOFF - 1e-4], dtype=torch.float64, requires_grad=True)
    total = RadialBasis(CUTOFF, 6)(r).square().sum().sqrt()
    assert total < 1e-9
    (slope,) = torch.autograd.grad(total, r, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, r)
    assert slope.abs() < 1e-5
    assert curvature.abs() < 0.1


@pytest.mark.parametrize(
    ("cutoff", "n_max", "match"),
    [(-1.0, 3, "`cutoff` must be positive"), (3.0, 0, "`n_max` must be an integer")],
)
def test_refuses(cutoff, n_max, match):
    with pytest.raises(InputError, match=match):
        RadialBasis(cutoff, n_max)
