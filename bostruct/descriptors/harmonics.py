"""Real spherical harmonics as polynomials on the unit sphere.

Notation
    u     [3, p]         1   unit vectors
    M     [k, p]         1   monomials x^a y^b z^c of degree 0 ... l_max
    C     [(l+1)^2, k]   1   coefficients of the harmonics in the monomials
    Y     [(l+1)^2, p]   1   Y_00, Y_1-1, Y_10, Y_11, Y_2-2, ...

Orthonormal on the sphere, so that the addition theorem reads
sum_m Y_lm(u) Y_lm(v) = (2 l + 1) / (4 pi) P_l(u . v).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from bostruct.errors import InputError, must

MAXIMUM_DEGREE = 10

Exponents = tuple[int, int, int]
Polynomial = Mapping[Exponents, float]


@dataclass(frozen=True)
class Harmonics:
    """Real spherical harmonics up to degree `degree`.

    Raises:
        InputError: `degree` is negative or above `MAXIMUM_DEGREE`.
    """

    degree: int

    def __post_init__(self) -> None:
        if not 0 <= self.degree <= MAXIMUM_DEGREE:
            condition = f"be between 0 and {MAXIMUM_DEGREE}"
            raise InputError(must("degree", condition, self.degree))

    def __call__(self, u: Tensor) -> Tensor:
        """Return Y `[(l+1)^2, p]` of unit vectors `u` `[3, p]`. Differentiable."""
        return self._matrix(u) @ self._monomials(u)

    def gradient(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return Y `[(l+1)^2, p]` and dY/du `[3, (l+1)^2, p]`.

        The derivative is that of the polynomial, not yet projected on the sphere.
        """
        monomials, matrix = self._monomials(u), self._matrix(u)
        slopes = [
            matrix[:, order != 0]
            * order[order != 0]
            @ monomials.index_select(0, lower[order != 0])
            for order, lower in self._derivatives(u.device)
        ]
        return matrix @ monomials, torch.stack(slopes)

    def _monomials(self, u: Tensor) -> Tensor:
        levels = [torch.ones_like(u[:1])]
        for parent, axis in self._recursion(u.device):
            levels.append(levels[-1].index_select(0, parent) * u.index_select(0, axis))
        return torch.cat(levels)

    def _matrix(self, like: Tensor) -> Tensor:
        return self._coefficients.to(like)

    @cached_property
    def _exponents(self) -> list[Exponents]:
        return [
            (a, b, degree - a - b)
            for degree in range(self.degree + 1)
            for a in range(degree, -1, -1)
            for b in range(degree - a, -1, -1)
        ]

    @cached_property
    def _coefficients(self) -> Tensor:
        place = {exponents: k for k, exponents in enumerate(self._exponents)}
        matrix = torch.zeros((self.degree + 1) ** 2, len(place), dtype=torch.float64)
        for row, polynomial in enumerate(_polynomials(self.degree)):
            for exponents, value in polynomial.items():
                matrix[row, place[exponents]] = value
        return matrix

    def _recursion(self, device: torch.device) -> list[tuple[Tensor, Tensor]]:
        """For each degree, which lower monomial times which coordinate gives it."""
        steps = []
        for degree in range(1, self.degree + 1):
            below = [e for e in self._exponents if sum(e) == degree - 1]
            here = [e for e in self._exponents if sum(e) == degree]
            axis = [next(k for k in range(3) if e[k]) for e in here]
            parent = [below.index(_less(e, k)) for e, k in zip(here, axis, strict=True)]
            steps.append((_indices(parent, device), _indices(axis, device)))
        return steps

    def _derivatives(self, device: torch.device) -> list[tuple[Tensor, Tensor]]:
        """For each axis, the power of it in each monomial and the monomial below."""
        place = {exponents: k for k, exponents in enumerate(self._exponents)}
        found = []
        for k in range(3):
            order = [e[k] for e in self._exponents]
            lower = [place[_less(e, k)] if e[k] else 0 for e in self._exponents]
            found.append((_indices(order, device), _indices(lower, device)))
        return found


def _indices(values: list[int], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.long, device=device)


def _less(exponents: Exponents, axis: int) -> Exponents:
    lower = list(exponents)
    lower[axis] -= 1
    return (lower[0], lower[1], lower[2])


def _polynomials(degree: int) -> list[Polynomial]:
    """Return Y_lm as polynomials, ordered by l, then m from -l to l.

    Y_lm = N_lm Q_lm(z) A_m(x, y) for m >= 0 and B_|m| for m < 0, with
    A_m + i B_m = (x + i y)^m and Q_lm = d^m P_l(z) / dz^m, which has degree l - m.
    """
    rows: list[Polynomial] = []
    for ell in range(degree + 1):
        for m in range(-ell, ell + 1):
            order = abs(m)
            ratio = math.factorial(ell - order) / math.factorial(ell + order)
            norm = math.sqrt((2 * ell + 1) / (4 * math.pi) * ratio)
            norm *= math.sqrt(2) if m else 1.0
            planar = _planar(order, imaginary=m < 0)
            rows.append(
                {
                    (a, b, c): norm * flat * axial
                    for (a, b), flat in planar.items()
                    for c, axial in _legendre(ell, order).items()
                }
            )
    return rows


def _planar(order: int, *, imaginary: bool) -> dict[tuple[int, int], float]:
    """Return the real or imaginary part of (x + i y)^order by powers of x and y."""
    part = {}
    for k in range(order + 1):
        if k % 2 == int(imaginary):
            part[order - k, k] = float(math.comb(order, k) * (-1) ** (k // 2))
    return part


def _legendre(ell: int, order: int) -> dict[int, float]:
    """Return d^order P_l / dz^order by powers of z."""
    powers = {}
    for k in range(ell // 2 + 1):
        power = ell - 2 * k
        value = (-1) ** k * math.comb(ell, k) * math.comb(2 * ell - 2 * k, ell)
        if power >= order:
            powers[power - order] = value / 2**ell * math.perm(power, order)
    return powers
