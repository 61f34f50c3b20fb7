"""The power spectrum and its slope as compiled loops over neighbors, for CPUs.

What `SOAP.spectrum` says in tensor operations, one atom after the other, so that
nothing leaves the cache: a third of the time or less. Notation as in `soap`, and

    J, S, L   radial functions, species, largest degree
    B [j, k]  1   T_j(2 r - 1) (1 - r)^3, before they are made orthonormal by M [j, j]
    Q [., k]  1   d^m P_l(z) / dz^m, at l (l + 1) / 2 + m
    X + i I   1   (x + i y)^m

Y_lm = N_lm Q_lm X_m for m >= 0 and N_lm Q_lm I_|m| for m < 0, polynomials on the unit
sphere; dQ_lm / dz = Q_l,m+1 and d(x + i y)^m / dx = m (x + i y)^(m-1).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bostruct.jit import compiled

Array = NDArray[Any]

fast = compiled(fastmath={"reassoc", "contract", "nsz", "arcp"})  # NaN stays NaN


def norms(degree: int) -> Array:
    """Return N_lm of the orthonormal real harmonics, for m >= 0, in the order of Q."""
    values = []
    for ell in range(degree + 1):
        for m in range(ell + 1):
            ratio = math.factorial(ell - m) / math.factorial(ell + m)
            both = 2 if m else 1
            values.append(math.sqrt(both * (2 * ell + 1) / (4 * math.pi) * ratio))
    return np.array(values)


@fast
def spectrum(
    V: Array, kind: Array, place: Array, M: Array, own: Array, N: Array, A: Array
) -> tuple[Array, Array, Array]:
    """Return P `[n, f]`, C `[n, s, m]` and the lengths `[n]` of P before it had one.

    Args:
        V: `[n, k, 3]` in cut-offs; those of one or more do not count.
        kind: `[n, k]` species of the neighbors.
        place: `[n]` species of the atoms.
        M: `[J, J]` lower triangular, makes the radial functions orthonormal.
        own: `[J]` what the atom itself adds.
        N: of the harmonics, see `norms`.
        A: `[S, S]` mixes species.
    """
    n, K, _ = V.shape
    J, S = len(M), len(A)
    s = S * J
    L = _degree(len(N))
    f = (L + 1) * s * (s + 1) // 2
    C = np.empty((n, s, (L + 1) ** 2), V.dtype)
    P = np.empty((n, f), V.dtype)
    length = np.empty(n, V.dtype)
    r, u, who = np.empty(K, V.dtype), np.empty((3, K), V.dtype), np.empty(K, np.int64)
    B = np.empty((J, K), V.dtype)
    Y = np.empty(((L + 1) ** 2, K), V.dtype)
    Q = np.empty((len(N), K), V.dtype)
    X, I = np.empty((L + 1, K), V.dtype), np.empty((L + 1, K), V.dtype)  # noqa: E741
    raw = np.empty((J, (L + 1) ** 2), V.dtype)
    for i in range(n):
        for species in range(S):
            k = _gather(V[i], kind[i], species, r, u, who)
            _radial(r, B, k)
            _harmonics(u, Y, Q, X, I, N, k)
            _expand(B, Y, M, raw, C[i, species * J : species * J + J], k)
            if place[i] == species:
                for j in range(J):
                    C[i, species * J + j, 0] += own[j]
        _mix(A, C[i])
        length[i] = _power(C[i], P[i], L)
    return P, C, length


@fast
def slope(
    g: Array,
    V: Array,
    kind: Array,
    M: Array,
    N: Array,
    A: Array,
    P: Array,
    C: Array,
    length: Array,
) -> Array:
    """Return the slope of sum(g P) with respect to V, `[n, k, 3]`.

    Args:
        g: `[n, f]`.
        V: as for `spectrum`, like the next ones.
        kind: `[n, k]`.
        M: `[J, J]`.
        N: of the harmonics.
        A: `[S, S]` mixes species.
        P: what `spectrum` returned, like the next ones.
        C: `[n, s, m]`.
        length: `[n]`.
    """
    n, K, _ = V.shape
    J, L = len(M), _degree(len(N))
    out = np.zeros((n, K, 3), V.dtype)
    r, u, who = np.empty(K, V.dtype), np.empty((3, K), V.dtype), np.empty(K, np.int64)
    B, dB = np.empty((J, K), V.dtype), np.empty((J, K), V.dtype)
    Y, gY = np.empty((C.shape[2], K), V.dtype), np.empty((C.shape[2], K), V.dtype)
    Q = np.empty((len(N), K), V.dtype)
    X, I = np.empty((L + 1, K), V.dtype), np.empty((L + 1, K), V.dtype)  # noqa: E741
    gC = np.empty(C.shape[1:], V.dtype)
    raw = np.empty((J, C.shape[2]), V.dtype)
    gr, gu = np.empty(K, V.dtype), np.empty((3, K), V.dtype)
    for i in range(n):
        _power_pulled(g[i], P[i], C[i], length[i], gC, L)
        _mix(A, gC)  # A is symmetric
        for species in range(len(A)):
            k = _gather(V[i], kind[i], species, r, u, who)
            _radial(r, B, k)
            _radial_slope(r, dB, k)
            _harmonics(u, Y, Q, X, I, N, k)
            own = gC[species * J : species * J + J]
            _expand_pulled(own, M, raw, B, dB, Y, gY, gr, k)
            _harmonics_pulled(gY, Q, X, I, N, gu, k)
            for p in range(k):
                along = u[0, p] * gu[0, p] + u[1, p] * gu[1, p] + u[2, p] * gu[2, p]
                for x in range(3):
                    tangential = (gu[x, p] - u[x, p] * along) / r[p]
                    out[i, who[p], x] = u[x, p] * gr[p] + tangential
    return out


@fast
def slopes(
    V: Array,
    kind: Array,
    row: Array,
    M: Array,
    N: Array,
    A: Array,
    P: Array,
    C: Array,
    length: Array,
    out: Array,
) -> None:
    """Put dP_i/dV_ij into out `[p, 3, f]`, which has a row for every pair that counts.

    Args:
        V: `[n, k, 3]` in cut-offs, like the next ones as for `slope`.
        kind: `[n, k]`.
        row: `[n, k]` where in `out` a pair is put.
        M: `[J, J]`.
        N: of the harmonics.
        A: `[S, S]` mixes species.
        P: what `spectrum` returned, like the next ones.
        C: `[n, s, m]`.
        length: `[n]`.
        out: filled.
    """
    n, K, _ = V.shape
    J, L = len(M), _degree(len(N))
    r, u, who = np.empty(K, V.dtype), np.empty((3, K), V.dtype), np.empty(K, np.int64)
    B, dB = np.empty((J, K), V.dtype), np.empty((J, K), V.dtype)
    Y, dY = np.empty((C.shape[2], K), V.dtype), np.empty((3, C.shape[2], K), V.dtype)
    Q = np.empty((len(N), K), V.dtype)
    X, I = np.empty((L + 1, K), V.dtype), np.empty((L + 1, K), V.dtype)  # noqa: E741
    gram = np.empty((L + 1, J, C.shape[1]), V.dtype)
    dC = np.empty((J, C.shape[2]), V.dtype)
    raw = np.empty((J, C.shape[2]), V.dtype)
    for i in range(n):
        for species in range(len(A)):
            k = _gather(V[i], kind[i], species, r, u, who)
            _radial(r, B, k)
            _radial_slope(r, dB, k)
            _harmonics(u, Y, Q, X, I, N, k)
            _harmonics_slopes(u, Q, X, I, N, dY, k)
            for p in range(k):
                for x in range(3):
                    for j in range(J):
                        for h in range(C.shape[2]):
                            bent = dB[j, p] * u[x, p] * Y[h, p]
                            raw[j, h] = bent + B[j, p] * dY[x, h, p] / r[p]
                    _orthonormal(M, raw, dC)
                    change = out[row[i, who[p]], x]
                    _power_slope(dC, C[i], A[species], gram, change, L)
                    along = (change * P[i]).sum()
                    for e in range(len(change)):
                        change[e] = (change[e] - along * P[i, e]) / length[i]


@fast
def _degree(count: int) -> int:
    """Return L where (L + 1) (L + 2) / 2 is `count`."""
    ell = 0
    while (ell + 1) * (ell + 2) // 2 < count:
        ell += 1
    return ell


@fast
def _gather(V: Array, kind: Array, species: int, r: Array, u: Array, who: Array) -> int:
    """Put the neighbors of one species side by side; return how many there are."""
    k = 0
    for j in range(len(kind)):
        if kind[j] == species:
            x, y, z = V[j]
            distance = math.sqrt(x * x + y * y + z * z)
            if not distance >= 1:  # NaN goes on, to be seen at the end
                r[k], who[k] = distance, j
                u[0, k], u[1, k], u[2, k] = x / distance, y / distance, z / distance
                k += 1
    return k


@fast
def _radial(r: Array, B: Array, k: int) -> None:
    """Put T_j(2 r - 1) (1 - r)^3 into B."""
    for p in range(k):
        x, t = 2 * r[p] - 1, 1 - r[p]
        before, now, wall = x, B.dtype.type(1), t * t * t  # T_-1 = T_1
        for j in range(len(B)):
            B[j, p] = now * wall
            before, now = now, (2 * x * now - before)


@fast
def _radial_slope(r: Array, dB: Array, k: int) -> None:
    """Put the derivatives into dB, with T_j' = j U_(j-1)."""
    for p in range(k):
        x, t = 2 * r[p] - 1, 1 - r[p]
        before, now = x, dB.dtype.type(1)
        second, first = dB.dtype.type(-1), dB.dtype.type(0)  # U_-2, U_-1
        wall, ending = t * t * t, 3 * t * t
        for j in range(len(dB)):
            dB[j, p] = 2 * j * first * wall - now * ending
            before, now = now, (2 * x * now - before)
            second, first = first, (2 * x * first - second)


@fast
def _harmonics(
    u: Array,
    Y: Array,
    Q: Array,
    X: Array,
    I: Array,  # noqa: E741
    N: Array,
    k: int,
) -> None:
    """Fill Y, Q, X and I for the first k of the unit vectors u `[3, k]`."""
    L = len(X) - 1
    X[0, :k], I[0, :k] = 1, 0
    for m in range(1, L + 1):
        for p in range(k):
            X[m, p] = u[0, p] * X[m - 1, p] - u[1, p] * I[m - 1, p]
            I[m, p] = u[0, p] * I[m - 1, p] + u[1, p] * X[m - 1, p]
    _legendre(u[2], Q, L, k)
    for ell in range(L + 1):
        for m in range(ell + 1):
            here = ell * (ell + 1) // 2 + m
            for p in range(k):
                Y[ell * ell + ell + m, p] = N[here] * Q[here, p] * X[m, p]
            if m:
                for p in range(k):
                    Y[ell * ell + ell - m, p] = N[here] * Q[here, p] * I[m, p]


@fast
def _legendre(z: Array, Q: Array, L: int, k: int) -> None:
    """Fill Q by the recursions in l."""
    top = 1.0  # (2 m - 1)!!
    for m in range(L + 1):
        top *= max(2 * m - 1, 1)
        Q[m * (m + 1) // 2 + m, :k] = top
        for ell in range(m + 1, L + 1):
            here = ell * (ell + 1) // 2 + m
            below, far = here - ell, here - 2 * ell + 1  # of l - 1 and l - 2
            up, down = (2 * ell - 1) / (ell - m), (ell + m - 1) / (ell - m)
            for p in range(k):
                Q[here, p] = up * z[p] * Q[below, p]
            if ell > m + 1:
                for p in range(k):
                    Q[here, p] -= down * Q[far, p]


@fast
def _harmonics_pulled(
    gY: Array,
    Q: Array,
    X: Array,
    I: Array,  # noqa: E741
    N: Array,
    gu: Array,
    k: int,
) -> None:
    """Put the slope of sum(gY Y) with respect to the unit vectors into gu `[3, k]`."""
    gu[:, :k] = 0
    for ell in range(1, len(X)):
        for m in range(ell + 1):
            here = ell * (ell + 1) // 2 + m
            plus, minus = gY[ell * ell + ell + m], gY[ell * ell + ell - m]
            if m == 0:
                for p in range(k):
                    gu[2, p] += N[here] * plus[p] * Q[here + 1, p]
                continue
            if m < ell:
                for p in range(k):
                    both = plus[p] * X[m, p] + minus[p] * I[m, p]
                    gu[2, p] += N[here] * Q[here + 1, p] * both
            for p in range(k):
                weight = N[here] * m * Q[here, p]
                gu[0, p] += weight * (plus[p] * X[m - 1, p] + minus[p] * I[m - 1, p])
                gu[1, p] += weight * (minus[p] * X[m - 1, p] - plus[p] * I[m - 1, p])


@fast
def _harmonics_slopes(
    u: Array,
    Q: Array,
    X: Array,
    I: Array,  # noqa: E741
    N: Array,
    dY: Array,
    k: int,
) -> None:
    """Put the slopes of Y along the sphere into dY `[3, m, k]`."""
    dY[:, :, :k] = 0
    for ell in range(1, len(X)):
        for m in range(ell + 1):
            here = ell * (ell + 1) // 2 + m
            plus, minus = ell * ell + ell + m, ell * ell + ell - m
            for p in range(k):
                if m < ell:
                    steep = N[here] * Q[here + 1, p]
                    dY[2, minus, p] = steep * I[m, p]
                    dY[2, plus, p] = steep * X[m, p]
                if m:
                    weight = N[here] * m * Q[here, p]
                    dY[0, plus, p] = weight * X[m - 1, p]
                    dY[1, plus, p] = -weight * I[m - 1, p]
                    dY[0, minus, p] = weight * I[m - 1, p]
                    dY[1, minus, p] = weight * X[m - 1, p]
    for h in range(dY.shape[1]):
        for p in range(k):
            along = (
                u[0, p] * dY[0, h, p] + u[1, p] * dY[1, h, p] + u[2, p] * dY[2, h, p]
            )
            for x in range(3):
                dY[x, h, p] -= u[x, p] * along


@fast
def _expand(B: Array, Y: Array, M: Array, raw: Array, C: Array, k: int) -> None:
    """Put the expansion over the neighbors of one species into C `[j, m]`."""
    for j in range(len(M)):
        for h in range(len(Y)):
            total = C.dtype.type(0)
            for p in range(k):
                total += B[j, p] * Y[h, p]
            raw[j, h] = total
    _orthonormal(M, raw, C)


@fast
def _mix(A: Array, C: Array) -> None:
    """Replace C `[s, m]` by A C, over species."""
    S = len(A)
    J = len(C) // S
    mixed = np.empty(S, C.dtype)
    for j in range(J):
        for h in range(C.shape[1]):
            for t in range(S):
                mixed[t] = 0
                for u in range(S):
                    mixed[t] += A[t, u] * C[u * J + j, h]
            for t in range(S):
                C[t * J + j, h] = mixed[t]


@fast
def _orthonormal(M: Array, raw: Array, C: Array) -> None:
    """Put M raw `[j, m]` into C."""
    for j in range(len(M)):
        C[j] = 0
        for q in range(j + 1):
            for h in range(raw.shape[1]):
                C[j, h] += M[j, q] * raw[q, h]


@fast
def _expand_pulled(
    gC: Array,
    M: Array,
    raw: Array,
    B: Array,
    dB: Array,
    Y: Array,
    gY: Array,
    gr: Array,
    k: int,
) -> None:
    """Put the slopes of sum(gC C) into gY `[m, k]` and gr `[k]`, of one species."""
    for q in range(len(M)):
        raw[q] = 0
        for j in range(q, len(M)):
            for h in range(len(Y)):
                raw[q, h] += M[j, q] * gC[j, h]
    gr[:k] = 0
    for h in range(len(Y)):
        gY[h, :k] = 0
        for j in range(len(M)):
            weight = raw[j, h]
            for p in range(k):
                gY[h, p] += weight * B[j, p]
                gr[p] += weight * Y[h, p] * dB[j, p]


@fast
def _power(C: Array, P: Array, L: int) -> float:
    """Put the power spectrum of one atom into P `[f]`; return the length it had."""
    s = len(C)
    square = C.dtype.type(0)
    e = 0
    for ell in range(L + 1):
        for a in range(s):
            for b in range(a, s):
                total = C.dtype.type(0)
                for h in range(ell * ell, (ell + 1) * (ell + 1)):
                    total += C[a, h] * C[b, h]
                total *= (1.0 if a == b else math.sqrt(2.0)) / (2 * ell + 1)
                square += total * total
                P[e] = total
                e += 1
    length = math.sqrt(square)
    for e in range(len(P)):
        P[e] /= length
    return length


@fast
def _power_pulled(
    g: Array, P: Array, C: Array, length: float, gC: Array, L: int
) -> None:
    """Put the slope of sum(g P) with respect to C into gC `[s, m]`, of one atom."""
    s = len(C)
    along = (g * P).sum()
    gC[:] = 0
    e = 0
    for ell in range(L + 1):
        for a in range(s):
            for b in range(a, s):
                weight = (g[e] - along * P[e]) / length / (2 * ell + 1)
                weight *= 1.0 if a == b else math.sqrt(2.0)
                for h in range(ell * ell, (ell + 1) * (ell + 1)):
                    mine, others = C[a, h], C[b, h]
                    gC[a, h] += weight * others
                    gC[b, h] += weight * mine
                e += 1


@fast
def _power_slope(
    dC: Array, C: Array, weight: Array, gram: Array, dP: Array, L: int
) -> None:
    """Put the change of the power spectrum into dP `[f]`, of one atom.

    Args:
        dC: `[j, m]`, change of what one neighbor adds, before species are mixed.
        C: `[s, m]`.
        weight: `[S]` what of it goes to each species.
        gram: `[l, j, s]`, room for products of dC and C.
        dP: filled.
        L: largest degree.
    """
    J, s = dC.shape[0], len(C)
    e = 0
    for ell in range(L + 1):
        for j in range(J):
            for b in range(s):
                total = C.dtype.type(0)
                for h in range(ell * ell, (ell + 1) * (ell + 1)):
                    total += dC[j, h] * C[b, h]
                gram[ell, j, b] = total / (2 * ell + 1)
        for a in range(s):
            for b in range(a, s):
                total = weight[a // J] * gram[ell, a % J, b]
                total += weight[b // J] * gram[ell, b % J, a]
                dP[e] = total if a == b else total * math.sqrt(2.0)
                e += 1
