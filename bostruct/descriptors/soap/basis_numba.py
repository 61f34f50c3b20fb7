"""Radial functions and spherical harmonics as compiled loops over neighbors.

Notation, beside that of `power_spectrum_numba`
    k         neighbors of one atom, packed
    r, u      [k], [3, k]   distances in cutoffs, unit vectors
    B [j, k]  1   T_j(2 r - 1) (1 - r)^3, before they are made orthonormal by M [j, j]
    R [j, k]  1   M B
    Q [., k]  1   d^m P_l(z) / dz^m, at l (l + 1) / 2 + m
    X + i I   1   (x + i y)^m

Y_lm = N_lm Q_lm X_m for m >= 0 and N_lm Q_lm I_|m| for m < 0, polynomials on the unit
sphere; dQ_lm / dz = Q_l,m+1 and d(x + i y)^m / dx = m (x + i y)^(m-1).
"""

from __future__ import annotations

import math

import numpy as np

from bostruct.runtime.jit import Array, lazy_njit

njit_fast = lazy_njit(fastmath={"reassoc", "contract", "nsz", "arcp"})  # NaN stays NaN


def harmonic_norms(l_max: int) -> Array:
    """Return N_lm of the orthonormal real harmonics, for m >= 0, in the order of Q."""
    values = []
    for ell in range(l_max + 1):
        for m in range(ell + 1):
            ratio = math.factorial(ell - m) / math.factorial(ell + m)
            multiplicity = 2 if m else 1
            values.append(math.sqrt(multiplicity * (2 * ell + 1) / (4 * math.pi) * ratio))
    return np.array(values)


@njit_fast
def l_max_of(n_norms: int) -> int:
    """Return L where (L + 1) (L + 2) / 2 is `n_norms`."""
    ell = 0
    while (ell + 1) * (ell + 2) // 2 < n_norms:
        ell += 1
    return ell


@njit_fast
def radial_values(r: Array, M: Array, R: Array, k: int) -> None:
    """Write the orthonormal radial functions into R."""
    for p in range(k):
        x, t = 2 * r[p] - 1, 1 - r[p]
        previous, current, cut = x, R.dtype.type(1), t * t * t  # T_-1 = T_1
        for j in range(len(R)):
            R[j, p] = current * cut
            previous, current = current, (2 * x * current - previous)
    _orthonormalize(M, R, k)


@njit_fast
def radial_derivatives(r: Array, M: Array, dR: Array, k: int) -> None:
    """Write the derivatives of the radial functions into dR, with T_j' = j U_(j-1)."""
    for p in range(k):
        x, t = 2 * r[p] - 1, 1 - r[p]
        previous, current = x, dR.dtype.type(1)
        second, first = dR.dtype.type(-1), dR.dtype.type(0)  # U_-2, U_-1
        cut, cut_slope = t * t * t, 3 * t * t
        for j in range(len(dR)):
            dR[j, p] = 2 * j * first * cut - current * cut_slope
            previous, current = current, (2 * x * current - previous)
            second, first = first, (2 * x * first - second)
    _orthonormalize(M, dR, k)


@njit_fast
def _orthonormalize(M: Array, B: Array, k: int) -> None:
    """Replace B by M B; M is lower triangular."""
    for j in range(len(M) - 1, -1, -1):
        for p in range(k):
            B[j, p] *= M[j, j]
        for q in range(j):
            for p in range(k):
                B[j, p] += M[j, q] * B[q, p]


@njit_fast
def harmonic_values(
    u: Array,
    Y: Array,
    Q: Array,
    X: Array,
    I: Array,  # noqa: E741
    N: Array,
    k: int,
) -> None:
    """Fill Y `[k, m]`, Q, X and I for the first k of the unit vectors u `[3, k]`."""
    L = len(X) - 1
    X[0, :k], I[0, :k] = 1, 0
    for m in range(1, L + 1):
        for p in range(k):
            X[m, p] = u[0, p] * X[m - 1, p] - u[1, p] * I[m - 1, p]
            I[m, p] = u[0, p] * I[m - 1, p] + u[1, p] * X[m - 1, p]
    _legendre_derivatives(u[2], Q, L, k)
    for ell in range(L + 1):
        for m in range(ell + 1):
            lm = ell * (ell + 1) // 2 + m
            for p in range(k):
                Y[p, ell * ell + ell + m] = N[lm] * Q[lm, p] * X[m, p]
            if m:
                for p in range(k):
                    Y[p, ell * ell + ell - m] = N[lm] * Q[lm, p] * I[m, p]


@njit_fast
def _legendre_derivatives(z: Array, Q: Array, L: int, k: int) -> None:
    """Fill Q by the recursions in l."""
    double_factorial = 1.0  # (2 m - 1)!!
    for m in range(L + 1):
        double_factorial *= max(2 * m - 1, 1)
        Q[m * (m + 1) // 2 + m, :k] = double_factorial
        for ell in range(m + 1, L + 1):
            lm = ell * (ell + 1) // 2 + m
            first, second = lm - ell, lm - 2 * ell + 1  # of l - 1 and l - 2
            up, down = (2 * ell - 1) / (ell - m), (ell + m - 1) / (ell - m)
            for p in range(k):
                Q[lm, p] = up * z[p] * Q[first, p]
            if ell > m + 1:
                for p in range(k):
                    Q[lm, p] -= down * Q[second, p]


@njit_fast
def harmonic_vjp(
    gY: Array,
    Q: Array,
    X: Array,
    I: Array,  # noqa: E741
    N: Array,
    gu: Array,
    k: int,
) -> None:
    """Write the gradient of sum(gY Y) with respect to the unit vectors into gu `[3, k]`."""
    gu[:, :k] = 0
    for ell in range(1, len(X)):
        for m in range(ell + 1):
            lm = ell * (ell + 1) // 2 + m
            plus, minus = ell * ell + ell + m, ell * ell + ell - m
            if m == 0:
                for p in range(k):
                    gu[2, p] += N[lm] * gY[p, plus] * Q[lm + 1, p]
                continue
            if m < ell:
                for p in range(k):
                    planar = gY[p, plus] * X[m, p] + gY[p, minus] * I[m, p]
                    gu[2, p] += N[lm] * Q[lm + 1, p] * planar
            for p in range(k):
                g_plus, g_minus = gY[p, plus], gY[p, minus]
                weight = N[lm] * m * Q[lm, p]
                gu[0, p] += weight * (g_plus * X[m - 1, p] + g_minus * I[m - 1, p])
                gu[1, p] += weight * (g_minus * X[m - 1, p] - g_plus * I[m - 1, p])


@njit_fast
def harmonic_jacobian(
    u: Array,
    Q: Array,
    X: Array,
    I: Array,  # noqa: E741
    N: Array,
    dY: Array,
    k: int,
) -> None:
    """Write the gradients of Y along the sphere into dY `[3, m, k]`."""
    dY[:, :, :k] = 0
    for ell in range(1, len(X)):
        for m in range(ell + 1):
            lm = ell * (ell + 1) // 2 + m
            plus, minus = ell * ell + ell + m, ell * ell + ell - m
            if m < ell:
                for p in range(k):
                    weight = N[lm] * Q[lm + 1, p]
                    dY[2, minus, p] = weight * I[m, p]
                    dY[2, plus, p] = weight * X[m, p]
            if m:
                for p in range(k):
                    weight = N[lm] * m * Q[lm, p]
                    dY[0, plus, p] = weight * X[m - 1, p]
                    dY[1, plus, p] = -weight * I[m - 1, p]
                    dY[0, minus, p] = weight * I[m - 1, p]
                    dY[1, minus, p] = weight * X[m - 1, p]
    for h in range(dY.shape[1]):
        for p in range(k):
            x, y, z = u[0, p], u[1, p], u[2, p]
            along = x * dY[0, h, p] + y * dY[1, h, p] + z * dY[2, h, p]
            dY[0, h, p] -= x * along
            dY[1, h, p] -= y * along
            dY[2, h, p] -= z * along
