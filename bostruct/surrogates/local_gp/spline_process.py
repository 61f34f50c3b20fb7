"""A Gaussian process of one coordinate as cubic splines with correlated coefficients.

Notation
    n           intervals of the coordinate t, of unit length, from 0 to n
    K    n + 3  cubic B-splines B_k, centred at -1, 0 ... n + 1
    L   [K, m]  root of the covariance of their coefficients

The coefficients are a Gaussian process with a squared exponential kernel at the centres, so that
g(t) = sum_k B_k(t) (L w)_k with w ~ N(0, 1) is one with nearly the same kernel, and L^T B(t) are
its features. There are no others: unlike that of inducing points, its residual variance is zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

MIN_EIGENVALUE = 1e-8  # of the largest: directions of the coefficients that splines cannot tell


def spline_root(n_intervals: int, length: float, rough_fraction: float = 0.0) -> Tensor:
    """Return L `[n + 3, m]` of a process with unit variance on average.

    Args:
        n_intervals: Number of intervals n.
        length: Length scale of the kernel, in intervals.
        rough_fraction: Part of the variance that has half this length scale. A process of one
            length scale is analytic, and too sure of what it is beyond the data.
    """
    center = torch.arange(n_intervals + 3, dtype=torch.float64)
    square = ((center - center.unsqueeze(-1)) / length).square()
    K = (1 - rough_fraction) * torch.exp(-square / 2) + rough_fraction * torch.exp(-2 * square)
    t = torch.arange(0, n_intervals, 0.125, dtype=torch.float64)
    B = splines(t, n_intervals)
    K = K / ((B @ K) * B).sum(-1).mean()
    values, vectors = torch.linalg.eigh(K)
    kept = values > MIN_EIGENVALUE * values[-1]
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
