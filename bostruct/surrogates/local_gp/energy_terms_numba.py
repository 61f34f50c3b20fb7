"""Sums of splines over pairs of atoms, and splines of atomic densities, as compiled loops.

Notation
    i, j   two atoms, listed once, or twice for the two images of one atom that are one pair
    x  [3]  Å    vector from i to j, q = x . x
    B_k          cubic B-splines of unit spacing; four of them are not zero at a point
    c       1    cutoff function (1 - q / range²)³

The sums of `pair_features` are those over pairs of c(q) B_k(t(q)) with t = log(1 + q / core²) / 2h,
half of which belongs to either atom. An atomic density is
rho_i = sum_j c(q) exp(-decay (sqrt(q + core²) - reference)), and the splines of
`density_features` are B_k(v(rho_i) / h) with
v = (sqrt(rho / (rho + half) + smallest²) - smallest) / (sqrt(1 + smallest²) - smallest).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bostruct.runtime.jit import lazy_njit

Array = NDArray[Any]


@lazy_njit()
def _splines(t: float, B: Array, dB: Array) -> int:
    """Write the four splines at t and their derivatives; return the index of the first."""
    first = int(t)
    x = t - first
    y = 1 - x
    B[0], B[3] = y * y * y / 6, x * x * x / 6
    B[1], B[2] = 2 / 3 - x * x * (2 - x) / 2, 2 / 3 - y * y * (2 - y) / 2
    dB[0], dB[3] = -y * y / 2, x * x / 2
    dB[1], dB[2] = x * (3 * x - 4) / 2, y * (4 - 3 * y) / 2
    return first


@lazy_njit()
def pair_features(
    positions: Array,
    neighbor: Array,
    offset: Array,
    species_index: Array,
    row: Array,
    pair_type: Array,
    squared_core: Array,
    inverse_spacing: Array,
    first_column: Array,
    squared_range: float,
    out: Array,
) -> None:
    """Add the sums over pairs of each row to `out`.

    Args:
        positions: `[n, 3]` Å.
        neighbor: `[n, k]`, second atom of each pair; -1 for none.
        offset: `[n, k, 3]` Å, lattice translation of each, or of no rows if all are zero.
        species_index: `[n]`.
        row: `[n]`, row of `out` that each atom's half of a pair is added to.
        pair_type: `[species, species]`, number of a pair of species.
        squared_core: `[types]` Å².
        inverse_spacing: `[types]`, 1 / h.
        first_column: `[types]`, first of the columns of a type.
        squared_range: Å².
        out: `[rows, columns]`.
    """
    B, dB, x = np.zeros(4), np.zeros(4), np.zeros(3)
    for i in range(len(neighbor)):
        for slot in range(neighbor.shape[1]):
            j = neighbor[i, slot]
            if j < 0:
                continue
            q = _vector(positions, offset, i, j, slot, x)
            if q >= squared_range:
                continue
            kind = pair_type[species_index[i], species_index[j]]
            if q != q:
                out[row[i], first_column[kind]] = q
                continue
            u = math.log(1 + q / squared_core[kind]) / 2
            first = first_column[kind] + _splines(u * inverse_spacing[kind], B, dB)
            half = (1 - q / squared_range) ** 3 / (4 if i == j else 2)
            for k in range(4):
                out[row[i], first + k] += half * B[k]
                out[row[j], first + k] += half * B[k]


@lazy_njit()
def pair_features_vjp(
    g: Array,
    positions: Array,
    neighbor: Array,
    offset: Array,
    species_index: Array,
    row: Array,
    pair_type: Array,
    squared_core: Array,
    inverse_spacing: Array,
    first_column: Array,
    squared_range: float,
    gradient: Array,
    by_vector: Array,
) -> None:
    """Add the gradient of the sum of g `[rows, columns]` times the features, `[n, 3]` 1/Å.

    That by the vectors of the pairs is written into `by_vector`, zeros `[n, k, 3]`, or of no rows
    where it is not needed; the other arguments are those of `pair_features`.
    """
    B, dB, x = np.zeros(4), np.zeros(4), np.zeros(3)
    for i in range(len(neighbor)):
        for slot in range(neighbor.shape[1]):
            j = neighbor[i, slot]
            if j < 0:
                continue
            q = _vector(positions, offset, i, j, slot, x)
            if q >= squared_range or q != q:
                continue
            kind = pair_type[species_index[i], species_index[j]]
            first = first_column[kind] + _pair_slopes(
                q, squared_core[kind], inverse_spacing[kind], squared_range, B, dB
            )
            derivative = 0.0
            for k in range(4):
                both = g[row[i], first + k] + g[row[j], first + k]
                derivative += both * dB[k]
            if len(by_vector):
                _write_vector(by_vector[i, slot], derivative / 2 if i == j else derivative, x)
            if i != j:  # lattice translations do not depend on positions
                for axis in range(3):
                    gradient[i, axis] -= derivative * x[axis]
                    gradient[j, axis] += derivative * x[axis]


@lazy_njit()
def _pair_slopes(
    q: float,
    squared_core: float,
    inverse_spacing: float,
    squared_range: float,
    B: Array,
    dB: Array,
) -> int:
    """Write the derivatives of four splines c B_k by q into dB; return the index of the first."""
    u = math.log(1 + q / squared_core) / 2
    first = _splines(u * inverse_spacing, B, dB)
    inside = 1 - q / squared_range
    cutoff, slope = inside**3, -3 * inside * inside / squared_range
    slope_t = inverse_spacing / (2 * (q + squared_core))
    for k in range(4):
        dB[k] = slope * B[k] + cutoff * slope_t * dB[k]
    return first


@lazy_njit()
def pair_force_features(
    positions: Array,
    neighbor: Array,
    offset: Array,
    species_index: Array,
    pair_type: Array,
    squared_core: Array,
    inverse_spacing: Array,
    first_column: Array,
    squared_range: float,
    out: Array,
) -> None:
    """Add minus the derivative of each structure's sums by each position, `[n, 3, columns]`."""
    B, dB, x = np.zeros(4), np.zeros(4), np.zeros(3)
    for i in range(len(neighbor)):
        for slot in range(neighbor.shape[1]):
            j = neighbor[i, slot]
            if j < 0:
                continue
            q = _vector(positions, offset, i, j, slot, x)
            if q >= squared_range or q != q:
                continue
            kind = pair_type[species_index[i], species_index[j]]
            first = first_column[kind] + _pair_slopes(
                q, squared_core[kind], inverse_spacing[kind], squared_range, B, dB
            )
            for k in range(4):
                derivative = 2 * dB[k]
                for axis in range(3):
                    out[i, axis, first + k] += derivative * x[axis]
                    out[j, axis, first + k] -= derivative * x[axis]


@lazy_njit()
def pair_strain_features(
    positions: Array,
    neighbor: Array,
    offset: Array,
    species_index: Array,
    row: Array,
    pair_type: Array,
    squared_core: Array,
    inverse_spacing: Array,
    first_column: Array,
    squared_range: float,
    out: Array,
) -> None:
    """Add the derivatives of the sums of each row by the strain, `[rows, 6, columns]`.

    The other arguments are those of `pair_features`; both atoms of a pair have one row.
    """
    B, dB, x, squares = np.zeros(4), np.zeros(4), np.zeros(3), np.zeros(6)
    for i in range(len(neighbor)):
        for slot in range(neighbor.shape[1]):
            j = neighbor[i, slot]
            if j < 0:
                continue
            q = _vector(positions, offset, i, j, slot, x)
            if q >= squared_range or q != q:
                continue
            kind = pair_type[species_index[i], species_index[j]]
            first = first_column[kind] + _pair_slopes(
                q, squared_core[kind], inverse_spacing[kind], squared_range, B, dB
            )
            factor = 1.0 if i == j else 2.0
            for axis in range(3):
                squares[axis] = factor * x[axis] * x[axis]
                squares[3 + axis] = factor * x[(axis + 1) % 3] * x[(axis + 2) % 3]
            for v in range(6):
                for k in range(4):
                    out[row[i], v, first + k] += squares[v] * dB[k]


@lazy_njit()
def add_densities(
    positions: Array,
    neighbor: Array,
    offset: Array,
    species_index: Array,
    squared_core: Array,
    decay: Array,
    reference: Array,
    squared_range: float,
    density: Array,
) -> None:
    """Add the density of the neighbors to each atom, `[n]`.

    Args:
        positions: `[n, 3]` Å.
        neighbor: `[n, k]`, second atom of each pair; -1 for none.
        offset: `[n, k, 3]` Å, lattice translation of each, or of no rows if all are zero.
        species_index: `[n]`.
        squared_core: `[species, species]` Å².
        decay: `[species, species]` 1/Å.
        reference: `[species, species]` Å, where the density of a neighbor is 1.
        squared_range: Å².
        density: `[n]`.
    """
    x = np.zeros(3)
    for i in range(len(neighbor)):
        for slot in range(neighbor.shape[1]):
            j = neighbor[i, slot]
            if j < 0:
                continue
            q = _vector(positions, offset, i, j, slot, x)
            if q >= squared_range:
                continue
            a, b = species_index[i], species_index[j]
            r = math.sqrt(q + squared_core[a, b])
            part = math.exp(-decay[a, b] * (r - reference[a, b]))
            part *= (1 - q / squared_range) ** 3
            density[i] += part
            if i != j:
                density[j] += part


@lazy_njit()
def density_features(
    density: Array,
    half: float,
    smallest: float,
    inverse_spacing: float,
    first_column: Array,
    species_index: Array,
    row: Array,
    out: Array,
) -> None:
    """Add the splines of each atom's density to its row of `out` `[rows, columns]`.

    Args:
        density: `[n]`.
        half: Density of the formula of v.
        smallest: Smoothing of its root.
        inverse_spacing: 1 / h.
        first_column: `[species]`, first of the columns of a species.
        species_index: `[n]`.
        row: `[n]`, row of `out` of each atom.
        out: `[rows, columns]`.
    """
    B, dB = np.zeros(4), np.zeros(4)
    for i in range(len(density)):
        column = first_column[species_index[i]]
        if density[i] != density[i]:
            out[row[i], column] = density[i]
            continue
        v = _root(density[i] / (density[i] + half), smallest)
        first = column + _splines(v * inverse_spacing, B, dB)
        for k in range(4):
            out[row[i], first + k] += B[k]


@lazy_njit()
def _root(x: float, smallest: float) -> float:
    """Return a root of x between 0 and 1 whose slope at 0 is finite."""
    highest = math.sqrt(1 + smallest**2) - smallest
    return (math.sqrt(x + smallest**2) - smallest) / highest


@lazy_njit()
def density_features_vjp(
    g: Array,
    density: Array,
    half: float,
    smallest: float,
    inverse_spacing: float,
    first_column: Array,
    species_index: Array,
    row: Array,
    by_density: Array,
) -> None:
    """Write the gradient of the sum of g `[rows, columns]` times the features, `[n]`."""
    first, slopes = np.zeros(len(density), np.int64), np.zeros((len(density), 4))
    density_slopes(
        density, half, smallest, inverse_spacing, first_column, species_index, first, slopes
    )
    for i in range(len(density)):
        for k in range(4):
            by_density[i] += g[row[i], first[i] + k] * slopes[i, k]


@lazy_njit()
def density_slopes(
    density: Array,
    half: float,
    smallest: float,
    inverse_spacing: float,
    first_column: Array,
    species_index: Array,
    first: Array,
    slopes: Array,
) -> None:
    """Write the derivatives `[n, 4]` of each atom's splines by its density.

    Args:
        density: `[n]`.
        half: Density of the formula of v.
        smallest: Smoothing of its root.
        inverse_spacing: 1 / h.
        first_column: `[species]`, first of the columns of a species.
        species_index: `[n]`.
        first: `[n]`, column of the first of the four.
        slopes: `[n, 4]`.
    """
    B, dB = np.zeros(4), np.zeros(4)
    for i in range(len(density)):
        x = density[i] / (density[i] + half)
        first[i] = first_column[species_index[i]]
        if x != x:
            slopes[i, 0] = x
            continue
        first[i] += _splines(_root(x, smallest) * inverse_spacing, B, dB)
        scale = 2 * (math.sqrt(1 + smallest**2) - smallest) * math.sqrt(x + smallest**2)
        slope = inverse_spacing * half / (density[i] + half) ** 2 / scale
        for k in range(4):
            slopes[i, k] = slope * dB[k]


@lazy_njit()
def density_vjp(
    g: Array,
    positions: Array,
    neighbor: Array,
    offset: Array,
    species_index: Array,
    squared_core: Array,
    decay: Array,
    reference: Array,
    squared_range: float,
    gradient: Array,
    by_vector: Array,
) -> None:
    """Add the gradient of the sum of g `[n]` times the densities, `[n, 3]` 1/Å.

    That by the vectors of the pairs is written into `by_vector`, zeros `[n, k, 3]`, or of no rows
    where it is not needed; the other arguments are those of `add_densities`.
    """
    x = np.zeros(3)
    for i in range(len(neighbor)):
        for slot in range(neighbor.shape[1]):
            j = neighbor[i, slot]
            if j < 0:
                continue
            q = _vector(positions, offset, i, j, slot, x)
            if q >= squared_range or q != q:
                continue
            a, b = species_index[i], species_index[j]
            slope = _density_slope(
                q, squared_core[a, b], decay[a, b], reference[a, b], squared_range
            )
            slope *= g[i] + g[j]
            if len(by_vector):
                _write_vector(by_vector[i, slot], slope / 2 if i == j else slope, x)
            for axis in range(3):
                gradient[i, axis] -= slope * x[axis]
                gradient[j, axis] += slope * x[axis]


@lazy_njit()
def density_force_features(
    first: Array,
    slopes: Array,
    positions: Array,
    neighbor: Array,
    offset: Array,
    species_index: Array,
    squared_core: Array,
    decay: Array,
    reference: Array,
    squared_range: float,
    out: Array,
) -> None:
    """Add minus the derivative of each structure's splines by each position, `[n, 3, columns]`.

    `first` and `slopes` are those of `density_slopes`.
    """
    x = np.zeros(3)
    for i in range(len(neighbor)):
        for slot in range(neighbor.shape[1]):
            j = neighbor[i, slot]
            if j < 0:
                continue
            q = _vector(positions, offset, i, j, slot, x)
            if q >= squared_range or q != q:
                continue
            a, b = species_index[i], species_index[j]
            slope = _density_slope(
                q, squared_core[a, b], decay[a, b], reference[a, b], squared_range
            )
            for k in range(4):
                for axis in range(3):
                    of_i, of_j = slope * slopes[i, k] * x[axis], slope * slopes[j, k] * x[axis]
                    out[i, axis, first[i] + k] += of_i
                    out[j, axis, first[i] + k] -= of_i
                    out[i, axis, first[j] + k] += of_j
                    out[j, axis, first[j] + k] -= of_j


@lazy_njit()
def _density_slope(
    q: float, squared_core: float, decay: float, reference: float, squared_range: float
) -> float:
    """Return the derivative of the density of a neighbor by its position, over x, 1/Å²."""
    r = math.sqrt(q + squared_core)
    inside = 1 - q / squared_range
    part = math.exp(-decay * (r - reference)) * inside * inside
    return -part * (6 / squared_range + inside * decay / r)


@lazy_njit()
def _write_vector(out: Array, factor: float, x: Array) -> None:
    """Write a multiple of a vector."""
    for axis in range(3):
        out[axis] = factor * x[axis]


@lazy_njit()
def _vector(positions: Array, offset: Array, i: int, j: int, slot: int, x: Array) -> float:
    """Write the vector from atom i to a neighbor; return its square."""
    q = 0.0
    for axis in range(3):
        x[axis] = positions[j, axis] - positions[i, axis]
        if len(offset):
            x[axis] += offset[i, slot, axis]
        q += x[axis] * x[axis]
    return q
