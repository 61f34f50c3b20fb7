"""Splines with correlated coefficients, against their closed forms."""

import pytest
import torch

from bostruct.surrogates.local_gp.spline_process import (
    matern_5_2,
    spline_root,
    spline_slopes,
    splines,
    squared_exponential,
)

N = 12
T = torch.linspace(0, N, 601, dtype=torch.float64)[:-1]


def test_splines_are_a_partition_of_one_with_four_at_a_point():
    B = splines(T, N)
    assert B.shape == (600, N + 3)
    torch.testing.assert_close(B.sum(-1), torch.ones(600, dtype=torch.float64))
    assert ((B > 0).sum(-1) <= 4).all()
    linear = B @ torch.arange(-1, N + 2, dtype=torch.float64)
    torch.testing.assert_close(linear, T)


def test_slopes_are_central_differences():
    h = 1e-5
    t = T[1:]
    expected = (splines(t + h, N) - splines(t - h, N)) / (2 * h)
    torch.testing.assert_close(spline_slopes(t, N), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kernel", [squared_exponential, matern_5_2])
def test_the_process_has_nearly_its_kernel(kernel):
    """Smoothed by the splines."""
    length = 4.0
    phi = splines(T, N) @ spline_root(length, torch.ones(N + 3).double(), kernel)
    gap = (T - T.unsqueeze(-1)).abs()
    assert (phi @ phi.T - kernel(gap / length)).abs().max() < 0.05
    assert (phi.square().sum(-1) - 1).abs().max() < 0.01


def test_the_deviation_may_vary():
    std = torch.linspace(1, 3, N + 3).double()
    phi = splines(T, N) @ spline_root(4.0, std, matern_5_2)
    expected = torch.lerp(std[1], std[-2], T / N)
    torch.testing.assert_close(phi.norm(dim=-1), expected, rtol=0.02, atol=0)


def test_a_rough_process_is_less_sure_beyond_its_data():
    """Known without noise over a half, its deviation in the other half grows at once."""
    B = splines(T, N)
    sigma = []
    for kernel in (squared_exponential, matern_5_2):
        phi = B @ spline_root(2.2, torch.ones(N + 3).double(), kernel)
        known, beyond = phi[T < 6], phi[(T > 7.4) & (T < 7.5)]
        A = torch.eye(phi.shape[1]).double() + 1e8 * known.T @ known
        sigma.append((beyond @ torch.linalg.solve(A, beyond.T)).diagonal().mean().sqrt())
    assert sigma[1] > 2 * sigma[0]
