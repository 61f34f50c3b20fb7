"""A Gaussian process of one coordinate as cubic splines with correlated coefficients.

Notation
    n           intervals of the coordinate t, of unit length, from 0 to n
    K    n + 3  cubic B-splines B_k, centred at -1, 0 ... n + 1
    L   [K, m]  root of the covariance of their coefficients

The coefficients are a Gaussian process at the centres, so that g(t) = sum_k B_k(t) (L w)_k with
w ~ N(0, 1) is one with nearly the same kernel, and L^T B(t) are its features. There are no others:
unlike that of inducing points, its residual variance is zero. A squared exponential kernel is for
what is known to be smooth; it is as good as a Matérn kernel within the data, and too sure of what
is beyond (Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), section 4.2.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

MIN_EIGENVALUE = 1e-6  # directions whose standard deviation is below 0.1 % are left out


def matern_5_2(r: Tensor) -> Tensor:
    """Return the Matérn-5/2 kernel of distances in length scales."""
    x = math.sqrt(5) * r
    return (1 + x + x.square() / 3) * torch.exp(-x)


def squared_exponential(r: Tensor) -> Tensor:
    """Return the squared exponential kernel of distances in length scales."""
    return torch.exp(-r.square() / 2)


def spline_root(length: float, std: Tensor, kernel: Callable[[Tensor], Tensor]) -> Tensor:
    """Return L `[n + 3, m]`.

    Args:
        length: Length scale of the kernel, in intervals.
        std: Standard deviation of the process at each centre, `[n + 3]`, 1 where it is typical.
        kernel: Correlation as a function of the distance in length scales.
    """
    n_intervals, center = len(std) - 3, torch.arange(len(std), dtype=torch.float64)
    K = kernel((center - center.unsqueeze(-1)).abs() / length)
    t = torch.arange(0, n_intervals, 0.125, dtype=torch.float64)
    B = splines(t, n_intervals)
    K = K / ((B @ K) * B).sum(-1).mean() * std * std.unsqueeze(-1)
    values, vectors = torch.linalg.eigh(K)
    kept = values > MIN_EIGENVALUE
    root: Tensor = vectors[:, kept] * values[kept].sqrt()
    return root.flip(-1).contiguous()


def splines(t: Tensor, n_intervals: int) -> Tensor:
    """Return all B-splines at t `[...]`, `[..., n + 3]`; torch differentiates them twice."""
    y = _to_centers(t, n_intervals).abs()
    return ((2 - y).clamp(min=0).pow(3) - 4 * (1 - y).clamp(min=0).pow(3)) / 6


def spline_slopes(t: Tensor, n_intervals: int) -> Tensor:
    """Return the derivatives of all B-splines at t `[...]`, `[..., n + 3]`."""
    x = _to_centers(t, n_intervals)
    y = x.abs()
    return x.sign() * (4 * (1 - y).clamp(min=0).square() - (2 - y).clamp(min=0).square()) / 2


def _to_centers(t: Tensor, n_intervals: int) -> Tensor:
    return t.unsqueeze(-1) - torch.arange(-1, n_intervals + 2, device=t.device).to(t)
