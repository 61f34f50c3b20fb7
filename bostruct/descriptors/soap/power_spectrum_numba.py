"""The power spectrum and its slope as compiled loops over neighbors, for CPUs.

What `SOAP.spectrum` says in tensor operations, one atom after the other, so that
nothing leaves the cache: a fraction of the time. Notation as in `soap` and `waves`, and

    J, S, L   radial functions, species, largest degree
    b         species and radial function of one neighbor, s = (species, j)

A neighbor of species -1 is none.
"""

from __future__ import annotations

import math

import numpy as np

from bostruct.descriptors.soap.basis_numba import (
    Array,
    degree,
    fast,
    harmonics,
    harmonics_pulled,
    harmonics_slopes,
    radial,
    radial_slope,
)

ROOT = math.sqrt(2.0)


@fast
def spectrum(
    V: Array,
    kind: Array,
    place: Array,
    ground: Array,
    around: Array,
    alone: Array,
    M: Array,
    own: Array,
    N: Array,
    A: Array,
) -> tuple[Array, Array, Array]:
    """Return P `[n, f]`, C `[n, s, m]` and the lengths `[n]` of P before it had one.

    The length is zero where nothing was added to what the atom had on its own.

    Args:
        V: `[n, k, 3]` in cut-offs; those of one or more do not count.
        kind: `[n, k]` species of the neighbors.
        place: `[n]` species of the atoms.
        ground: `[n]` row in the next two of what an atom has already, -1 for nothing.
        around: `[g, s, m]` expansion of what is there already, before species mix.
        alone: `[g, f]` P where there is nothing else.
        M: `[J, J]` lower triangular, makes the radial functions orthonormal.
        own: `[J]` what the atom itself adds.
        N: of the harmonics, see `norms`.
        A: `[S, S]` mixes species.
    """
    n, K, _ = V.shape
    J, S = len(M), len(A)
    s = S * J
    L = degree(len(N))
    f = (L + 1) * s * (s + 1) // 2
    C = np.empty((n, s, (L + 1) ** 2), V.dtype)
    P = np.empty((n, f), V.dtype)
    length = np.zeros(n, V.dtype)
    r, u, who = np.empty(K, V.dtype), np.empty((3, K), V.dtype), np.empty(K, np.int64)
    R = np.empty((J, K), V.dtype)
    Y = np.empty((K, (L + 1) ** 2), V.dtype)
    Q = np.empty((len(N), K), V.dtype)
    X, I = np.empty((L + 1, K), V.dtype), np.empty((L + 1, K), V.dtype)  # noqa: E741
    end = np.empty(S, np.int64)
    for i in range(n):
        k = _gather(V[i], kind[i], r, u, who, end)
        before = ground[i]
        if before < 0:
            C[i] = 0
            for j in range(J):
                C[i, place[i] * J + j, 0] = own[j]
        elif k == 0:
            P[i] = alone[before]
            continue
        else:
            C[i] = around[before]
        radial(r, M, R, k)
        harmonics(u, Y, Q, X, I, N, k)
        _expand(R, Y, end, C[i])
        _mix(A, C[i])
        length[i] = _power(C[i], P[i], L)
    return P, C, length


@fast
def slope(
    g: Array,
    V: Array,
    kind: Array,
    other: Array,
    M: Array,
    N: Array,
    A: Array,
    P: Array,
    C: Array,
    length: Array,
) -> Array:
    """Return the slope of sum(g P) with respect to positions in cut-offs, `[n, 3]`.

    Args:
        g: `[n, f]`.
        V: as for `spectrum`, like the next one.
        kind: `[n, k]`.
        other: `[n, k]` which atoms the neighbors are.
        M: `[J, J]`.
        N: of the harmonics.
        A: `[S, S]` mixes species.
        P: what `spectrum` returned, like the next ones.
        C: `[n, s, m]`.
        length: `[n]`.
    """
    n, K, _ = V.shape
    J, L = len(M), degree(len(N))
    out = np.zeros((n, 3), V.dtype)
    r, u, who = np.empty(K, V.dtype), np.empty((3, K), V.dtype), np.empty(K, np.int64)
    R, dR = np.empty((J, K), V.dtype), np.empty((J, K), V.dtype)
    Y, gY = np.empty((K, C.shape[2]), V.dtype), np.empty((K, C.shape[2]), V.dtype)
    Q = np.empty((len(N), K), V.dtype)
    X, I = np.empty((L + 1, K), V.dtype), np.empty((L + 1, K), V.dtype)  # noqa: E741
    gC = np.empty(C.shape[1:], V.dtype)
    gr, gu = np.empty(K, V.dtype), np.empty((3, K), V.dtype)
    end = np.empty(len(A), np.int64)
    for i in range(n):
        if length[i] == 0:
            continue
        k = _gather(V[i], kind[i], r, u, who, end)
        _power_pulled(g[i], P[i], C[i], length[i], gC, L)
        _mix(A, gC)  # A is symmetric
        radial(r, M, R, k)
        radial_slope(r, M, dR, k)
        harmonics(u, Y, Q, X, I, N, k)
        _expand_pulled(gC, R, dR, Y, end, gY, gr)
        harmonics_pulled(gY, Q, X, I, N, gu, k)
        for p in range(k):
            along = u[0, p] * gu[0, p] + u[1, p] * gu[1, p] + u[2, p] * gu[2, p]
            j = other[i, who[p]]
            for x in range(3):
                change = u[x, p] * gr[p] + (gu[x, p] - u[x, p] * along) / r[p]
                out[j, x] += change
                out[i, x] -= change
    return out


@fast
def slopes(
    V: Array,
    kind: Array,
    row: Array,
    unit: float,
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
        unit: the slopes are per this many cut-offs.
        M: `[J, J]`.
        N: of the harmonics.
        A: `[S, S]` mixes species.
        P: what `spectrum` returned, like the next ones.
        C: `[n, s, m]`.
        length: `[n]`.
        out: filled.
    """
    n, K, _ = V.shape
    J, L = len(M), degree(len(N))
    s, many = C.shape[1:]
    r, u, who = np.empty(K, V.dtype), np.empty((3, K), V.dtype), np.empty(K, np.int64)
    R, dR = np.empty((J, K), V.dtype), np.empty((J, K), V.dtype)
    Y, dY = np.empty((K, many), V.dtype), np.empty((3, many, K), V.dtype)
    Q = np.empty((len(N), K), V.dtype)
    X, I = np.empty((L + 1, K), V.dtype), np.empty((L + 1, K), V.dtype)  # noqa: E741
    W, dW = np.empty((s, K), V.dtype), np.empty((s, K), V.dtype)
    seen, turned = np.empty((s, K), V.dtype), np.empty((3, s, K), V.dtype)
    change = np.empty((3, P.shape[1], K), V.dtype)
    along = np.empty((3, K), V.dtype)
    end = np.empty(len(A), np.int64)
    for i in range(n):
        k = _gather(V[i], kind[i], r, u, who, end)
        radial(r, M, R, k)
        radial_slope(r, M, dR, k)
        harmonics(u, Y, Q, X, I, N, k)
        harmonics_slopes(u, Q, X, I, N, dY, k)
        _shared(R, dR, r, A, end, W, dW)
        _power_slopes(Y, dY, u, C[i], W, dW, seen, turned, change, L, k)
        along[:] = 0
        for x in range(3):
            for e in range(P.shape[1]):
                for p in range(k):
                    along[x, p] += change[x, e, p] * P[i, e]
        scale = unit / length[i]
        for p in range(k):
            mine = out[row[i, who[p]]]
            for x in range(3):
                for e in range(P.shape[1]):
                    mine[x, e] = (change[x, e, p] - along[x, p] * P[i, e]) * scale


@fast
def _gather(V: Array, kind: Array, r: Array, u: Array, who: Array, end: Array) -> int:
    """Put the neighbors side by side, by species; return how many there are.

    Those of one species end before place `end` of it.
    """
    k = 0
    for species in range(len(end)):
        for j in range(len(kind)):
            if kind[j] == species:
                x, y, z = V[j, 0], V[j, 1], V[j, 2]
                distance = math.sqrt(x * x + y * y + z * z)
                if not distance >= 1:  # NaN goes on, to be seen at the end
                    r[k], who[k] = distance, j
                    u[0, k], u[1, k], u[2, k] = x / distance, y / distance, z / distance
                    k += 1
        end[species] = k
    return k


@fast
def _expand(R: Array, Y: Array, end: Array, C: Array) -> None:
    """Add the expansion over the neighbors to C `[s, m]`."""
    J, start = len(R), 0
    for species in range(len(end)):
        for p in range(start, end[species]):
            for j in range(J):
                for h in range(C.shape[1]):
                    C[species * J + j, h] += R[j, p] * Y[p, h]
        start = end[species]


@fast
def _expand_pulled(
    gC: Array, R: Array, dR: Array, Y: Array, end: Array, gY: Array, gr: Array
) -> None:
    """Put the slopes of sum(gC C) into gY `[k, m]` and gr `[k]`."""
    J, start = len(R), 0
    for species in range(len(end)):
        for p in range(start, end[species]):
            gY[p] = 0
            gr[p] = 0
            for j in range(J):
                own, value = gC[species * J + j], R[j, p]
                steep = gr.dtype.type(0)
                for h in range(len(own)):
                    gY[p, h] += value * own[h]
                    steep += own[h] * Y[p, h]
                gr[p] += dR[j, p] * steep
        start = end[species]


@fast
def _mix(A: Array, C: Array) -> None:
    """Replace C `[s, m]` by A C, over species."""
    S = len(A)
    if S == 1:
        return
    J = len(C) // S
    mixed = np.empty((S, C.shape[1]), C.dtype)
    for j in range(J):
        for t in range(S):
            mixed[t] = 0
            for u in range(S):
                for h in range(C.shape[1]):
                    mixed[t, h] += A[t, u] * C[u * J + j, h]
        for t in range(S):
            C[t * J + j] = mixed[t]


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
                total *= (1.0 if a == b else ROOT) / (2 * ell + 1)
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
                weight *= 1.0 if a == b else ROOT
                for h in range(ell * ell, (ell + 1) * (ell + 1)):
                    mine, others = C[a, h], C[b, h]
                    gC[a, h] += weight * others
                    gC[b, h] += weight * mine
                e += 1


@fast
def _shared(
    R: Array, dR: Array, r: Array, A: Array, end: Array, W: Array, dW: Array
) -> None:
    """Put R / r and dR, shared among all species, into W and dW `[s, k]`."""
    J, start = len(R), 0
    for species in range(len(end)):
        for b in range(len(W)):
            weight, j = A[species, b // J], b % J
            for p in range(start, end[species]):
                W[b, p] = weight * R[j, p] / r[p]
                dW[b, p] = weight * dR[j, p]
        start = end[species]


@fast
def _power_slopes(
    Y: Array,
    dY: Array,
    u: Array,
    C: Array,
    W: Array,
    dW: Array,
    seen: Array,
    turned: Array,
    dP: Array,
    L: int,
    k: int,
) -> None:
    """Put the changes of the power spectrum into dP `[3, f, k]`, of one atom.

    Of dC_p = dW_p Y_p u_p + W_p dY_p the products with C are outer ones, of the radial
    parts with C Y_p and C dY_p.

    Args:
        Y: `[k, m]` of the neighbors.
        dY: `[3, m, k]`.
        u: `[3, k]`.
        C: `[s, m]`.
        W: `[s, k]`, like the next one as from `_shared`.
        dW: `[s, k]`.
        seen: `[s, k]`, room for `_against`, like the next one.
        turned: `[3, s, k]`.
        dP: filled.
        L: largest degree.
        k: neighbors.
    """
    s, e = len(C), 0
    steep = np.empty(k, C.dtype)
    for ell in range(L + 1):
        _against(Y, dY, C, seen, turned, ell, k)
        for a in range(s):
            for b in range(a, s):
                root = dP.dtype.type(1.0 if a == b else ROOT)
                for p in range(k):
                    steep[p] = dW[a, p] * seen[b, p] + dW[b, p] * seen[a, p]
                for x in range(3):
                    for p in range(k):
                        on = W[a, p] * turned[x, b, p] + W[b, p] * turned[x, a, p]
                        dP[x, e, p] = root * (u[x, p] * steep[p] + on)
                e += 1


@fast
def _against(
    Y: Array, dY: Array, C: Array, seen: Array, turned: Array, ell: int, k: int
) -> None:
    """Put C Y and C dY of one degree into seen `[s, k]` and turned `[3, s, k]`."""
    for b in range(len(C)):
        seen[b, :k] = 0
        turned[:, b, :k] = 0
        for h in range(ell * ell, (ell + 1) * (ell + 1)):
            part = C[b, h] / (2 * ell + 1)
            for p in range(k):
                seen[b, p] += part * Y[p, h]
            for x in range(3):
                for p in range(k):
                    turned[x, b, p] += part * dY[x, h, p]
