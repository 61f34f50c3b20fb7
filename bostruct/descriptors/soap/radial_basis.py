"""Orthonormal radial functions that vanish smoothly at the cutoff.

Notation
    r     [p]      Å           distances
    R     [k, p]   Å^(-3/2)    R_1 ... R_k

The span is that of (r_c - r)^3 times all polynomials of degree below k, which is the polynomial
basis of Bartók, Kondor and Csányi, Phys. Rev. B 87, 184115 (2013), eq. 27, made orthonormal under
the integral of R_i R_j r^2 dr from 0 to r_c. Value and two derivatives vanish at the cutoff.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from bostruct.errors import check_count, check_positive

CUTOFF_EXPONENT = 3  # power of (1 - r / r_c): two continuous derivatives at the cutoff
N_QUADRATURE_POINTS = 64  # Gauss-Legendre points: exact for the polynomials integrated here


@dataclass(frozen=True)
class RadialBasis:
    """Basis of `n_max` orthonormal radial functions on 0 ... `cutoff` Å.

    Raises:
        InputError: `n_max` < 1 or `cutoff` not positive.
    """

    cutoff: float
    n_max: int = 6

    def __post_init__(self) -> None:
        check_positive("cutoff", self.cutoff, "Give a length in Å.")
        check_count("n_max", self.n_max)

    def __call__(self, r: Tensor) -> Tensor:
        """Return R `[n_max, p]` at distances `r` `[p]`, zero beyond the cutoff."""
        x, t = self._scaled(r)
        return self.orthonormalization.to(r) @ (_chebyshev(x, self.n_max) * t**CUTOFF_EXPONENT)

    def gradient(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """Return R and dR/dr, `[n_max, p]` each."""
        x, t = self._scaled(r)
        T, dT = _chebyshev(x, self.n_max), _chebyshev_derivative(x, self.n_max)
        M = self.orthonormalization.to(r)
        cut = t**CUTOFF_EXPONENT
        cut_slope = -CUTOFF_EXPONENT / self.cutoff * t ** (CUTOFF_EXPONENT - 1)
        return M @ (T * cut), M @ (2 / self.cutoff * dT * cut + T * cut_slope)

    def _scaled(self, r: Tensor) -> tuple[Tensor, Tensor]:
        inside = r.clamp(max=self.cutoff) / self.cutoff
        return 2 * inside - 1, 1 - inside

    @cached_property
    def orthonormalization(self) -> Tensor:
        """Lower triangular matrix from the raw to the orthonormal functions."""
        points, weights = np.polynomial.legendre.leggauss(N_QUADRATURE_POINTS)
        x = torch.from_numpy(points)
        r = (x + 1) / 2 * self.cutoff
        raw = _chebyshev(x, self.n_max) * ((1 - x) / 2) ** CUTOFF_EXPONENT
        weight = torch.from_numpy(weights) * self.cutoff / 2 * r**2
        factor = torch.linalg.cholesky((raw * weight) @ raw.T)
        identity = torch.eye(self.n_max, dtype=x.dtype)
        inverse: Tensor = torch.linalg.solve_triangular(factor, identity, upper=False)
        return inverse


def _chebyshev(x: Tensor, n_max: int) -> Tensor:
    """Return T_0 ... T_(n_max-1), `[n_max, p]`."""
    rows = [torch.ones_like(x), x]
    for _ in range(n_max - 2):
        rows.append(2 * x * rows[-1] - rows[-2])
    return torch.stack(rows[:n_max])


def _chebyshev_derivative(x: Tensor, n_max: int) -> Tensor:
    """Return the derivatives T_n' = n U_(n-1), `[n_max, p]`."""
    second = [torch.zeros_like(x), torch.ones_like(x)]
    for _ in range(n_max - 2):
        second.append(2 * x * second[-1] - second[-2])
    order = torch.arange(n_max, dtype=x.dtype, device=x.device)
    return torch.stack(second[:n_max]) * order.unsqueeze(-1)
