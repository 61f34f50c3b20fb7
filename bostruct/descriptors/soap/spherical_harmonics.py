"""Real spherical harmonics as polynomials on the unit sphere.

Notation
    u     [3, p]             1   unit vectors
    M     [k, p]             1   monomials x^a y^b z^c, by degree 0 ... l_max
    C     [(l+1)^2, k]       1   coefficients of the harmonics in the monomials
    D     [3, (l+1)^2, k']   1   of their derivatives, in the monomials below l_max
    Y     [(l+1)^2, p]       1   Y_00, Y_1-1, Y_10, Y_11, Y_2-2, ...

Orthonormal on the sphere, so that the addition theorem reads
sum_m Y_lm(u) Y_lm(v) = (2 l + 1) / (4 pi) P_l(u . v).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import torch
from torch import Tensor

from bostruct.errors import InputError, error_message

MAX_L = 10

Exponents = tuple[int, int, int]
Polynomial = Mapping[Exponents, float]


@final
@dataclass(frozen=True)
class SphericalHarmonics:
    """Real spherical harmonics up to degree `l_max`.

    Raises:
        InputError: `l_max` is negative or above `MAX_L`.
    """

    l_max: int

    def __post_init__(self) -> None:
        if not 0 <= self.l_max <= MAX_L:
            raise InputError(error_message("l_max", f"be between 0 and {MAX_L}", self.l_max))

    def __call__(self, u: Tensor) -> Tensor:
        """Return Y `[(l+1)^2, p]` of `u` `[3, p]`. Twice differentiable."""
        return _polynomial_tables(self.l_max, u.device, u.dtype)[0] @ _monomials(u, self.l_max)

    def gradient(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return Y `[(l+1)^2, p]` and dY/du `[3, (l+1)^2, p]`.

        The derivative is that of the polynomial, not yet projected on the sphere.
        """
        C, D = _polynomial_tables(self.l_max, u.device, u.dtype)
        M = _monomials(u, self.l_max)
        return C @ M, D @ M[: D.shape[-1]]


@lru_cache(maxsize=32)
def _polynomial_tables(
    l_max: int, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return C and D, the coefficients of harmonics and derivatives in the monomials."""
    exponents = _exponents(l_max)
    column = {e: k for k, e in enumerate(exponents)}
    below = max(1, sum(sum(e) < l_max for e in exponents))
    C = torch.zeros((l_max + 1) ** 2, len(column), dtype=torch.float64)
    D = torch.zeros(3, (l_max + 1) ** 2, below, dtype=torch.float64)
    for row, polynomial in enumerate(_harmonic_polynomials(l_max)):
        for e, value in polynomial.items():
            C[row, column[e]] = value
            for axis in range(3):
                if e[axis]:
                    lowered = e[0] - (axis == 0), e[1] - (axis == 1), e[2] - (axis == 2)
                    D[axis, row, column[lowered]] += value * e[axis]
    return C.to(device, dtype), D.to(device, dtype)


def _monomials(u: Tensor, l_max: int) -> Tensor:
    """Return M `[k, p]` up to `l_max`, in the order of `_exponents`.

    Monomials of one degree with x are x times all those of the degree below, those with y but no x
    are y times the last ones of the degree below, and the last is a power of z.
    """
    x, y, z = u
    degrees = [torch.ones_like(u[:1])]
    for ell in range(1, l_max + 1):
        below = degrees[-1]
        degrees.append(torch.cat((x * below, y * below[-ell:], z * below[-1:])))
    return torch.cat(degrees)


def _exponents(l_max: int) -> list[Exponents]:
    return [
        (a, b, ell - a - b)
        for ell in range(l_max + 1)
        for a in range(ell, -1, -1)
        for b in range(ell - a, -1, -1)
    ]


def _harmonic_polynomials(l_max: int) -> list[Polynomial]:
    """Return Y_lm as polynomials, ordered by l, then m from -l to l.

    Y_lm = N_lm Q_lm(z) A_m(x, y) for m >= 0 and B_|m| for m < 0, with
    A_m + i B_m = (x + i y)^m and Q_lm = d^m P_l(z) / dz^m, which has degree l - m.
    """
    rows: list[Polynomial] = []
    for ell in range(l_max + 1):
        for m in range(-ell, ell + 1):
            order = abs(m)
            ratio = math.factorial(ell - order) / math.factorial(ell + order)
            norm = math.sqrt((2 * ell + 1) / (4 * math.pi) * ratio)
            norm *= math.sqrt(2) if m else 1.0
            planar = _planar_polynomial(order, imaginary=m < 0)
            rows.append(
                {
                    (a, b, c): norm * flat * axial
                    for (a, b), flat in planar.items()
                    for c, axial in _legendre_derivative(ell, order).items()
                }
            )
    return rows


def _planar_polynomial(order: int, *, imaginary: bool) -> dict[tuple[int, int], float]:
    """Return the real or imaginary part of (x + i y)^order by powers of x and y."""
    return {
        (order - k, k): float(math.comb(order, k) * (-1) ** (k // 2))
        for k in range(int(imaginary), order + 1, 2)
    }


def _legendre_derivative(ell: int, order: int) -> dict[int, float]:
    """Return d^order P_l / dz^order by powers of z."""
    powers = {}
    for k in range(ell // 2 + 1):
        power = ell - 2 * k
        value = (-1) ** k * math.comb(ell, k) * math.comb(2 * ell - 2 * k, ell)
        if power >= order:
            powers[power - order] = value / 2**ell * math.perm(power, order)
    return powers
