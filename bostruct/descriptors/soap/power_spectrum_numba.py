"""SOAP power spectrum and its gradients as compiled loops over neighbors, for CPUs.

The same as `SOAP.power_spectrum`, one atom after the other, so that all intermediate arrays stay in
the cache: a fraction of the time. Notation as in `soap` and `basis_numba`, and

    J, S, L   radial functions, species, largest degree
    b         species and radial function of one neighbor, s = (species, j)

Neighbors of species -1 are padding.
"""

from __future__ import annotations

import math

import numpy as np

from bostruct.descriptors.soap.basis_numba import (
    harmonic_jacobian,
    harmonic_values,
    harmonic_vjp,
    l_max_of,
    njit_fast,
    radial_derivatives,
    radial_values,
)
from bostruct.runtime.jit import Array

SQRT2 = math.sqrt(2.0)


@njit_fast
def power_spectrum(
    V: Array,
    neighbor_species: Array,
    species_index: Array,
    fixed_index: Array,
    fixed_expansion: Array,
    fixed_features: Array,
    M: Array,
    center_coefficients: Array,
    N: Array,
    A: Array,
) -> tuple[Array, Array, Array]:
    """Return P `[n, f]`, C `[n, s, m]` and the norms `[n]` of P before normalisation.

    The norm is zero for fixed atoms without other neighbors.

    Args:
        V: `[n, k, 3]`, vectors to the neighbors in units of the cutoff; longer ones are ignored.
        neighbor_species: `[n, k]`, species of the neighbors.
        species_index: `[n]`, species of the atoms.
        fixed_index: `[n]`, index of each atom among the fixed ones, -1 for others.
        fixed_expansion: `[g, s, m]`, C of the fixed atoms before species are mixed.
        fixed_features: `[g, f]`, P of the fixed atoms without other neighbors.
        M: `[J, J]`, lower triangular, orthonormalises the radial functions.
        center_coefficients: `[J]`, contribution of the atom itself to l = 0.
        N: norms of the harmonics, see `harmonic_norms`.
        A: `[S, S]`, mixes species.
    """
    n, K, _ = V.shape
    J, S = len(M), len(A)
    s = S * J
    L = l_max_of(len(N))
    f = (L + 1) * s * (s + 1) // 2
    C = np.empty((n, s, (L + 1) ** 2), V.dtype)
    P = np.empty((n, f), V.dtype)
    length = np.zeros(n, V.dtype)
    r, u, slot = np.empty(K, V.dtype), np.empty((3, K), V.dtype), np.empty(K, np.int64)
    R = np.empty((J, K), V.dtype)
    Y = np.empty((K, (L + 1) ** 2), V.dtype)
    Q = np.empty((len(N), K), V.dtype)
    X, I = np.empty((L + 1, K), V.dtype), np.empty((L + 1, K), V.dtype)  # noqa: E741
    end = np.empty(S, np.int64)
    for i in range(n):
        k = _gather_neighbors(V[i], neighbor_species[i], r, u, slot, end)
        fixed = fixed_index[i]
        if fixed < 0:
            C[i] = 0
            for j in range(J):
                C[i, species_index[i] * J + j, 0] = center_coefficients[j]
        elif k == 0:
            P[i] = fixed_features[fixed]
            continue
        else:
            C[i] = fixed_expansion[fixed]
        radial_values(r, M, R, k)
        harmonic_values(u, Y, Q, X, I, N, k)
        _expand_density(R, Y, end, C[i])
        _mix_species(A, C[i])
        length[i] = _power_spectrum_of_atom(C[i], P[i], L)
    return P, C, length


@njit_fast
def power_spectrum_vjp(
    g: Array,
    V: Array,
    neighbor_species: Array,
    neighbor: Array,
    center: Array,
    n_atoms: int,
    M: Array,
    N: Array,
    A: Array,
    P: Array,
    C: Array,
    length: Array,
) -> Array:
    """Return the gradient of sum(g P) with respect to positions in cutoffs, `[n, 3]`.

    Args:
        g: `[r, f]`, gradient with respect to P.
        V: `[r, k, 3]`, vectors to the neighbors in units of the cutoff.
        neighbor_species: `[r, k]`, species of the neighbors.
        neighbor: `[r, k]`, atom indices of the neighbors.
        center: `[r]`, atom index of each row.
        n_atoms: number n of atoms.
        M: `[J, J]`, lower triangular, orthonormalises the radial functions.
        N: norms of the harmonics, see `harmonic_norms`.
        A: `[S, S]`, mixes species.
        P: `[r, f]`, result of `power_spectrum`.
        C: `[r, s, m]`, result of `power_spectrum`.
        length: `[r]`, result of `power_spectrum`.
    """
    n, K, _ = V.shape
    J, L = len(M), l_max_of(len(N))
    out = np.zeros((n_atoms, 3), V.dtype)
    r, u, slot = np.empty(K, V.dtype), np.empty((3, K), V.dtype), np.empty(K, np.int64)
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
        k = _gather_neighbors(V[i], neighbor_species[i], r, u, slot, end)
        _power_spectrum_vjp_of_atom(g[i], P[i], C[i], length[i], gC, L)
        _mix_species(A, gC)  # A is symmetric
        radial_values(r, M, R, k)
        radial_derivatives(r, M, dR, k)
        harmonic_values(u, Y, Q, X, I, N, k)
        _expand_density_vjp(gC, R, dR, Y, end, gY, gr)
        harmonic_vjp(gY, Q, X, I, N, gu, k)
        for p in range(k):
            along = u[0, p] * gu[0, p] + u[1, p] * gu[1, p] + u[2, p] * gu[2, p]
            j = neighbor[i, slot[p]]
            for x in range(3):
                change = u[x, p] * gr[p] + (gu[x, p] - u[x, p] * along) / r[p]
                out[j, x] += change
                out[center[i], x] -= change
    return out


@njit_fast
def power_spectrum_jacobian(
    V: Array,
    neighbor_species: Array,
    pair_row: Array,
    length_unit: float,
    M: Array,
    N: Array,
    A: Array,
    P: Array,
    C: Array,
    length: Array,
    out: Array,
) -> None:
    """Write dP_i/dV_ij into out `[p, 3, f]`, which has a row for every pair within the cutoff.

    Args:
        V: `[n, k, 3]`, vectors to the neighbors in units of the cutoff.
        neighbor_species: `[n, k]`, species of the neighbors.
        pair_row: `[n, k]`, row of each pair in `out`.
        length_unit: unit of the derivatives' denominator, in cutoffs.
        M: `[J, J]`, lower triangular, orthonormalises the radial functions.
        N: norms of the harmonics, see `harmonic_norms`.
        A: `[S, S]`, mixes species.
        P: `[n, f]`, result of `power_spectrum`.
        C: `[n, s, m]`, result of `power_spectrum`.
        length: `[n]`, result of `power_spectrum`.
        out: `[p, 3, f]`, output array.
    """
    n, K, _ = V.shape
    J, L = len(M), l_max_of(len(N))
    s, m = C.shape[1:]
    r, u, slot = np.empty(K, V.dtype), np.empty((3, K), V.dtype), np.empty(K, np.int64)
    R, dR = np.empty((J, K), V.dtype), np.empty((J, K), V.dtype)
    Y, dY = np.empty((K, m), V.dtype), np.empty((3, m, K), V.dtype)
    Q = np.empty((len(N), K), V.dtype)
    X, I = np.empty((L + 1, K), V.dtype), np.empty((L + 1, K), V.dtype)  # noqa: E741
    W, dW = np.empty((s, K), V.dtype), np.empty((s, K), V.dtype)
    CY, CdY = np.empty((s, K), V.dtype), np.empty((3, s, K), V.dtype)
    change = np.empty((3, P.shape[1], K), V.dtype)
    along = np.empty((3, K), V.dtype)
    end = np.empty(len(A), np.int64)
    for i in range(n):
        k = _gather_neighbors(V[i], neighbor_species[i], r, u, slot, end)
        radial_values(r, M, R, k)
        radial_derivatives(r, M, dR, k)
        harmonic_values(u, Y, Q, X, I, N, k)
        harmonic_jacobian(u, Q, X, I, N, dY, k)
        _mix_radial(R, dR, r, A, end, W, dW)
        _power_spectrum_jacobian_of_atom(Y, dY, u, C[i], W, dW, CY, CdY, change, L, k)
        along[:] = 0
        for x in range(3):
            for e in range(P.shape[1]):
                for p in range(k):
                    along[x, p] += change[x, e, p] * P[i, e]
        scale = length_unit / length[i]
        for p in range(k):
            gradient = out[pair_row[i, slot[p]]]
            for x in range(3):
                for e in range(P.shape[1]):
                    gradient[x, e] = (change[x, e, p] - along[x, p] * P[i, e]) * scale


@njit_fast
def _gather_neighbors(
    V: Array, neighbor_species: Array, r: Array, u: Array, slot: Array, species_end: Array
) -> int:
    """Pack the neighbors within the cutoff, sorted by species, and return their number.

    Neighbors of one species end before index `species_end` of it.
    """
    k = 0
    for species in range(len(species_end)):
        for j in range(len(neighbor_species)):
            if neighbor_species[j] == species:
                x, y, z = V[j, 0], V[j, 1], V[j, 2]
                distance = math.sqrt(x * x + y * y + z * z)
                if not distance >= 1:  # NaN passes, and shows in the result
                    r[k], slot[k] = distance, j
                    u[0, k], u[1, k], u[2, k] = x / distance, y / distance, z / distance
                    k += 1
        species_end[species] = k
    return k


@njit_fast
def _expand_density(R: Array, Y: Array, species_end: Array, C: Array) -> None:
    """Add the expansion over the neighbors to C `[s, m]`."""
    J, start = len(R), 0
    for species in range(len(species_end)):
        for p in range(start, species_end[species]):
            for j in range(J):
                for h in range(C.shape[1]):
                    C[species * J + j, h] += R[j, p] * Y[p, h]
        start = species_end[species]


@njit_fast
def _expand_density_vjp(
    gC: Array, R: Array, dR: Array, Y: Array, species_end: Array, gY: Array, gr: Array
) -> None:
    """Write the gradients of sum(gC C) into gY `[k, m]` and gr `[k]`."""
    J, start = len(R), 0
    for species in range(len(species_end)):
        for p in range(start, species_end[species]):
            gY[p] = 0
            gr[p] = 0
            for j in range(J):
                gradient, value = gC[species * J + j], R[j, p]
                radial = gr.dtype.type(0)
                for h in range(len(gradient)):
                    gY[p, h] += value * gradient[h]
                    radial += gradient[h] * Y[p, h]
                gr[p] += dR[j, p] * radial
        start = species_end[species]


@njit_fast
def _mix_species(A: Array, C: Array) -> None:
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


@njit_fast
def _power_spectrum_of_atom(C: Array, P: Array, L: int) -> float:
    """Write the normalised power spectrum of one atom into P `[f]`, and return its norm."""
    s = len(C)
    square = C.dtype.type(0)
    e = 0
    for ell in range(L + 1):
        for a in range(s):
            for b in range(a, s):
                total = C.dtype.type(0)
                for h in range(ell * ell, (ell + 1) * (ell + 1)):
                    total += C[a, h] * C[b, h]
                total *= (1.0 if a == b else SQRT2) / (2 * ell + 1)
                square += total * total
                P[e] = total
                e += 1
    length = math.sqrt(square)
    for e in range(len(P)):
        P[e] /= length
    return length


@njit_fast
def _power_spectrum_vjp_of_atom(
    g: Array, P: Array, C: Array, length: float, gC: Array, L: int
) -> None:
    """Write the gradient of sum(g P) with respect to C into gC `[s, m]`, of one atom."""
    s = len(C)
    along = (g * P).sum()
    gC[:] = 0
    e = 0
    for ell in range(L + 1):
        for a in range(s):
            for b in range(a, s):
                weight = (g[e] - along * P[e]) / length / (2 * ell + 1)
                weight *= 1.0 if a == b else SQRT2
                for h in range(ell * ell, (ell + 1) * (ell + 1)):
                    C_a, C_b = C[a, h], C[b, h]
                    gC[a, h] += weight * C_b
                    gC[b, h] += weight * C_a
                e += 1


@njit_fast
def _mix_radial(
    R: Array, dR: Array, r: Array, A: Array, species_end: Array, W: Array, dW: Array
) -> None:
    """Write R / r and dR, mixed over all species, into W and dW `[s, k]`."""
    J, start = len(R), 0
    for species in range(len(species_end)):
        for b in range(len(W)):
            weight, j = A[species, b // J], b % J
            for p in range(start, species_end[species]):
                W[b, p] = weight * R[j, p] / r[p]
                dW[b, p] = weight * dR[j, p]
        start = species_end[species]


@njit_fast
def _power_spectrum_jacobian_of_atom(
    Y: Array,
    dY: Array,
    u: Array,
    C: Array,
    W: Array,
    dW: Array,
    contracted: Array,
    contracted_gradient: Array,
    dP: Array,
    L: int,
    k: int,
) -> None:
    """Write the derivatives of the power spectrum of one atom into dP `[3, f, k]`.

    With dC_p = dW_p Y_p u_p + W_p dY_p its products with C are outer products of the radial parts
    with C Y_p and C dY_p.

    Args:
        Y: `[k, m]`, harmonics of the neighbors.
        dY: `[3, m, k]`, gradients of the harmonics along the sphere.
        u: `[3, k]`, unit vectors to the neighbors.
        C: `[s, m]`, expansion of the atom.
        W: `[s, k]`, from `_mix_radial`.
        dW: `[s, k]`, from `_mix_radial`.
        contracted: `[s, k]`, work array of `_contract_harmonics`.
        contracted_gradient: `[3, s, k]`, work array of `_contract_harmonics`.
        dP: `[3, f, k]`, output array.
        L: largest degree.
        k: number of neighbors.
    """
    s, e = len(C), 0
    radial = np.empty(k, C.dtype)
    for ell in range(L + 1):
        _contract_harmonics(Y, dY, C, contracted, contracted_gradient, ell, k)
        for a in range(s):
            for b in range(a, s):
                root = dP.dtype.type(1.0 if a == b else SQRT2)
                for p in range(k):
                    radial[p] = dW[a, p] * contracted[b, p] + dW[b, p] * contracted[a, p]
                for x in range(3):
                    for p in range(k):
                        angular = (
                            W[a, p] * contracted_gradient[x, b, p]
                            + W[b, p] * contracted_gradient[x, a, p]
                        )
                        dP[x, e, p] = root * (u[x, p] * radial[p] + angular)
                e += 1


@njit_fast
def _contract_harmonics(
    Y: Array, dY: Array, C: Array, contracted: Array, contracted_gradient: Array, ell: int, k: int
) -> None:
    """Write C Y and C dY of one degree into `[s, k]` and `[3, s, k]`."""
    for b in range(len(C)):
        contracted[b, :k] = 0
        contracted_gradient[:, b, :k] = 0
        for h in range(ell * ell, (ell + 1) * (ell + 1)):
            weight = C[b, h] / (2 * ell + 1)
            for p in range(k):
                contracted[b, p] += weight * Y[p, h]
            for x in range(3):
                for p in range(k):
                    contracted_gradient[x, b, p] += weight * dY[x, h, p]
