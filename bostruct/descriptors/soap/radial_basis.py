"""Orthonormal radial functions that end smoothly at the cut-off.

Notation
    r     [p]      Å           distances
    R     [k, p]   Å^(-3/2)    R_1 ... R_k

The span is that of (r_c - r)^3 times all polynomials of degree below k, which is the
polynomial basis of Bartók, Kondor and Csányi, Phys. Rev. B 87, 184115 (2013), eq. 27,
made orthonormal under the integral of R_i R_j r^2 dr from 0 to r_c. Value, slope and
curvature are zero at the cut-off.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from bostruct.errors import check_count, check_positive

SMOOTHNESS = 3  # power of (1 - r / r_c): two continuous derivatives at the cut-off
QUADRATURE = 64  # Gauss-Legendre points: exact for the polynomials integrated here


@dataclass(frozen=True)
class Radial:
    """`count` orthonormal radial functions on 0 ... `cutoff` Å.

    Raises:
        InputError: `count` < 1 or `cutoff` not positive.
    """

    cutoff: float
    count: int = 6

    def __post_init__(self) -> None:
        check_positive("cutoff", self.cutoff, "Give a length in Å.")
        check_count("count", self.count)

    def __call__(self, r: Tensor) -> Tensor:
        """Return R `[count, p]` at distances `r` `[p]`, zero beyond the cut-off."""
        x, t = self._scaled(r)
        return self.matrix.to(r) @ (_chebyshev(x, self.count) * t**SMOOTHNESS)

    def gradient(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """Return R and dR/dr, `[count, p]` each."""
        x, t = self._scaled(r)
        value, slope = _chebyshev(x, self.count), _chebyshev_slope(x, self.count)
        matrix = self.matrix.to(r)
        wall = t**SMOOTHNESS
        ending = -SMOOTHNESS / self.cutoff * t ** (SMOOTHNESS - 1)
        return matrix @ (value * wall), matrix @ (
            2 / self.cutoff * slope * wall + value * ending
        )

    def _scaled(self, r: Tensor) -> tuple[Tensor, Tensor]:
        inside = r.clamp(max=self.cutoff) / self.cutoff
        return 2 * inside - 1, 1 - inside

    @cached_property
    def matrix(self) -> Tensor:
        """Lower triangular map from the raw to the orthonormal functions."""
        points, weights = np.polynomial.legendre.leggauss(QUADRATURE)
        x = torch.from_numpy(points)
        r = (x + 1) / 2 * self.cutoff
        raw = _chebyshev(x, self.count) * ((1 - x) / 2) ** SMOOTHNESS
        weight = torch.from_numpy(weights) * self.cutoff / 2 * r**2
        factor = torch.linalg.cholesky((raw * weight) @ raw.T)
        identity = torch.eye(self.count, dtype=x.dtype)
        inverse: Tensor = torch.linalg.solve_triangular(factor, identity, upper=False)
        return inverse


def _chebyshev(x: Tensor, count: int) -> Tensor:
    """Return T_0 ... T_(count-1) `[count, p]`."""
    rows = [torch.ones_like(x), x]
    for _ in range(count - 2):
        rows.append(2 * x * rows[-1] - rows[-2])
    return torch.stack(rows[:count])


def _chebyshev_slope(x: Tensor, count: int) -> Tensor:
    """Return the derivatives T_n' = n U_(n-1), `[count, p]`."""
    second = [torch.zeros_like(x), torch.ones_like(x)]
    for _ in range(count - 2):
        second.append(2 * x * second[-1] - second[-2])
    order = torch.arange(count, dtype=x.dtype, device=x.device)
    return torch.stack(second[:count]) * order.unsqueeze(-1)
