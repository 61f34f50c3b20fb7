"""Sums of splines over pairs of atoms, and splines of atomic densities, as compiled loops.

Notation
    i, j   two atoms, listed once, or twice for the two images of one atom that are one pair
    x  [3]  Å    vector from i to j, q = x . x
    B_k          cubic B-splines of unit spacing; four of them are not zero at a point
    c       1    cutoff function (1 - q / range²)³

The sums of `pair_features` are those over pairs of c(q) B_k(t(q)) with t = log(1 + q / core²) / 2h,
half of which belongs to either atom. An atomic density is
rho_i = sum_j c(q) exp(-decay (sqrt(q + core²) - reference)), and the splines of
`density_features` are B_k(v(rho_i) / h) with the coordinate v of `embedding_term`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from bostruct.runtime.jit import Array, lazy_njit


class PairArrays(NamedTuple):
    """Pairs of n atoms.

    Attributes:
        positions: `[n, 3]` Å.
        neighbor: `[n, k]`, second atom of each pair; -1 for none.
        offset: `[n, k, 3]` Å, lattice translation of each, or of no rows if all are zero.
        species_index: `[n]`.
    """

    positions: Array
    neighbor: Array
    offset: Array
    species_index: Array


class PairSplines(NamedTuple):
    """Splines of the distance of each type of pairs.

    Attributes:
        pair_type: `[species, species]`, number of a pair of species.
        squared_core: `[types]` Å².
        inverse_spacing: `[types]`, 1 / h.
        first_column: `[types]`, first of the columns of a type.
        squared_range: Å².
    """

    pair_type: Array
    squared_core: Array
    inverse_spacing: Array
    first_column: Array
    squared_range: float


class NeighborDensity(NamedTuple):
    """Density of a neighbor for each pair of species.

    Attributes:
        squared_core: `[species, species]` Å².
        decay: `[species, species]` 1/Å.
        reference: `[species, species]` Å, where the density of a neighbor is 1.
        squared_range: Å².
    """

    squared_core: Array
    decay: Array
    reference: Array
    squared_range: float


class DensitySplines(NamedTuple):
    """Splines of the density of an atom.

    Attributes:
        half: Density of the formula of v.
        smallest: Smoothing of its root.
        compression: Factor c of the root in the logarithm; 0 for the root itself.
        inverse_spacing: 1 / h.
        first_column: `[species]`, first of the columns of a species.
    """

    half: float
    smallest: float
    compression: float
    inverse_spacing: float
    first_column: Array


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
def pair_features(pairs: PairArrays, splines: PairSplines, row: Array, out: Array) -> None:
    """Add the sums over pairs of each row to `out` `[rows, columns]`.

    Each atom's half of a pair is added to its `row`, `[n]`.
    """
    B, dB, x = np.zeros(4), np.zeros(4), np.zeros(3)
    for i in range(len(pairs.neighbor)):
        for slot in range(pairs.neighbor.shape[1]):
            j, q = _pair(pairs, i, slot, x)
            if q >= splines.squared_range:
                continue
            kind = _pair_type(pairs, splines, i, j)
            if q != q:
                out[row[i], splines.first_column[kind]] = q
                continue
            u = math.log(1 + q / splines.squared_core[kind]) / 2
            first = _splines(u * splines.inverse_spacing[kind], B, dB)
            first += splines.first_column[kind]
            half = (1 - q / splines.squared_range) ** 3 / (4 if i == j else 2)
            for k in range(4):
                out[row[i], first + k] += half * B[k]
                out[row[j], first + k] += half * B[k]


@lazy_njit()
def pair_features_vjp(
    g: Array, pairs: PairArrays, splines: PairSplines, row: Array, gradient: Array, by_vector: Array
) -> None:
    """Add the gradient of the sum of g `[rows, columns]` times the features, `[n, 3]` 1/Å.

    That by the vectors of the pairs is written into `by_vector`, zeros `[n, k, 3]`, or of no rows
    where it is not needed.
    """
    B, dB, x = np.zeros(4), np.zeros(4), np.zeros(3)
    for i in range(len(pairs.neighbor)):
        for slot in range(pairs.neighbor.shape[1]):
            j, q = _pair(pairs, i, slot, x)
            if q >= splines.squared_range or q != q:
                continue
            first = _pair_slopes(q, pairs, splines, i, j, B, dB)
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
    q: float, pairs: PairArrays, splines: PairSplines, i: int, j: int, B: Array, dB: Array
) -> int:
    """Write the derivatives of four splines c B_k by q into dB; return the first one's column."""
    kind = _pair_type(pairs, splines, i, j)
    squared_core, inverse_spacing = splines.squared_core[kind], splines.inverse_spacing[kind]
    u = math.log(1 + q / squared_core) / 2
    first = _splines(u * inverse_spacing, B, dB)
    inside = 1 - q / splines.squared_range
    cutoff, slope = inside**3, -3 * inside * inside / splines.squared_range
    slope_t = inverse_spacing / (2 * (q + squared_core))
    for k in range(4):
        dB[k] = slope * B[k] + cutoff * slope_t * dB[k]
    column: int = splines.first_column[kind] + first
    return column


@lazy_njit()
def _pair_type(pairs: PairArrays, splines: PairSplines, i: int, j: int) -> int:
    """Return the number of the species of two atoms."""
    kind: int = splines.pair_type[pairs.species_index[i], pairs.species_index[j]]
    return kind


@lazy_njit()
def pair_force_features(pairs: PairArrays, splines: PairSplines, out: Array) -> None:
    """Add minus the derivative of each structure's sums by each position, `[n, 3, columns]`."""
    B, dB, x = np.zeros(4), np.zeros(4), np.zeros(3)
    for i in range(len(pairs.neighbor)):
        for slot in range(pairs.neighbor.shape[1]):
            j, q = _pair(pairs, i, slot, x)
            if q >= splines.squared_range or q != q:
                continue
            first = _pair_slopes(q, pairs, splines, i, j, B, dB)
            for k in range(4):
                derivative = 2 * dB[k]
                for axis in range(3):
                    out[i, axis, first + k] += derivative * x[axis]
                    out[j, axis, first + k] -= derivative * x[axis]


@lazy_njit()
def pair_strain_features(pairs: PairArrays, splines: PairSplines, row: Array, out: Array) -> None:
    """Add the derivatives of the sums of each row by the strain, `[rows, 6, columns]`.

    Both atoms of a pair have one `row`, `[n]`.
    """
    B, dB, x, squares = np.zeros(4), np.zeros(4), np.zeros(3), np.zeros(6)
    for i in range(len(pairs.neighbor)):
        for slot in range(pairs.neighbor.shape[1]):
            j, q = _pair(pairs, i, slot, x)
            if q >= splines.squared_range or q != q:
                continue
            first = _pair_slopes(q, pairs, splines, i, j, B, dB)
            factor = 1.0 if i == j else 2.0
            for axis in range(3):
                squares[axis] = factor * x[axis] * x[axis]
                squares[3 + axis] = factor * x[(axis + 1) % 3] * x[(axis + 2) % 3]
            for v in range(6):
                for k in range(4):
                    out[row[i], v, first + k] += squares[v] * dB[k]


@lazy_njit()
def add_densities(pairs: PairArrays, neighbor_density: NeighborDensity, density: Array) -> None:
    """Add the density of the neighbors to each atom, `[n]`."""
    x = np.zeros(3)
    for i in range(len(pairs.neighbor)):
        for slot in range(pairs.neighbor.shape[1]):
            j, q = _pair(pairs, i, slot, x)
            if q >= neighbor_density.squared_range:
                continue
            a, b = pairs.species_index[i], pairs.species_index[j]
            r = math.sqrt(q + neighbor_density.squared_core[a, b])
            part = math.exp(-neighbor_density.decay[a, b] * (r - neighbor_density.reference[a, b]))
            part *= (1 - q / neighbor_density.squared_range) ** 3
            density[i] += part
            if i != j:
                density[j] += part


@lazy_njit()
def density_features(
    density: Array, splines: DensitySplines, species_index: Array, row: Array, out: Array
) -> None:
    """Add the splines of each atom's density `[n]` to its row of `out` `[rows, columns]`."""
    B, dB = np.zeros(4), np.zeros(4)
    for i in range(len(density)):
        column = splines.first_column[species_index[i]]
        if density[i] != density[i]:
            out[row[i], column] = density[i]
            continue
        v, _ = _density_coordinate(density[i], splines)
        first = column + _splines(v * splines.inverse_spacing, B, dB)
        for k in range(4):
            out[row[i], first + k] += B[k]


@lazy_njit()
def _density_coordinate(density: float, splines: DensitySplines) -> tuple[float, float]:
    """Return the coordinate v of a density, and its derivative."""
    half, smallest, compression = splines.half, splines.smallest, splines.compression
    highest = math.sqrt(1 + smallest**2) - smallest
    root = math.sqrt(density / (density + half) + smallest**2)
    v = (root - smallest) / highest
    slope = half / (density + half) ** 2 / (2 * highest * root)
    if compression == 0:
        return v, slope
    whole = math.log1p(compression)
    return math.log1p(compression * v) / whole, slope * compression / (1 + compression * v) / whole


@lazy_njit()
def density_features_vjp(
    g: Array,
    density: Array,
    splines: DensitySplines,
    species_index: Array,
    row: Array,
    by_density: Array,
) -> None:
    """Write the gradient of the sum of g `[rows, columns]` times the features, `[n]`."""
    first, slopes = np.zeros(len(density), np.int64), np.zeros((len(density), 4))
    density_slopes(density, splines, species_index, first, slopes)
    for i in range(len(density)):
        for k in range(4):
            by_density[i] += g[row[i], first[i] + k] * slopes[i, k]


@lazy_njit()
def density_slopes(
    density: Array, splines: DensitySplines, species_index: Array, first: Array, slopes: Array
) -> None:
    """Write the derivatives `[n, 4]` of each atom's splines by its density.

    The column of the first of the four is written into `first`, `[n]`.
    """
    B, dB = np.zeros(4), np.zeros(4)
    for i in range(len(density)):
        first[i] = splines.first_column[species_index[i]]
        if density[i] != density[i]:
            slopes[i, 0] = density[i]
            continue
        v, slope = _density_coordinate(density[i], splines)
        first[i] += _splines(v * splines.inverse_spacing, B, dB)
        for k in range(4):
            slopes[i, k] = splines.inverse_spacing * slope * dB[k]


@lazy_njit()
def density_vjp(
    g: Array,
    pairs: PairArrays,
    neighbor_density: NeighborDensity,
    gradient: Array,
    by_vector: Array,
) -> None:
    """Add the gradient of the sum of g `[n]` times the densities, `[n, 3]` 1/Å.

    That by the vectors of the pairs is written into `by_vector`, zeros `[n, k, 3]`, or of no rows
    where it is not needed.
    """
    x = np.zeros(3)
    for i in range(len(pairs.neighbor)):
        for slot in range(pairs.neighbor.shape[1]):
            j, q = _pair(pairs, i, slot, x)
            if q >= neighbor_density.squared_range or q != q:
                continue
            slope = _density_slope(q, pairs, neighbor_density, i, j)
            slope *= g[i] + g[j]
            if len(by_vector):
                _write_vector(by_vector[i, slot], slope / 2 if i == j else slope, x)
            for axis in range(3):
                gradient[i, axis] -= slope * x[axis]
                gradient[j, axis] += slope * x[axis]


@lazy_njit()
def density_force_features(
    first: Array, slopes: Array, pairs: PairArrays, neighbor_density: NeighborDensity, out: Array
) -> None:
    """Add minus the derivative of each structure's splines by each position, `[n, 3, columns]`.

    `first` and `slopes` are those of `density_slopes`.
    """
    x = np.zeros(3)
    for i in range(len(pairs.neighbor)):
        for slot in range(pairs.neighbor.shape[1]):
            j, q = _pair(pairs, i, slot, x)
            if q >= neighbor_density.squared_range or q != q:
                continue
            slope = _density_slope(q, pairs, neighbor_density, i, j)
            for k in range(4):
                for axis in range(3):
                    of_i, of_j = slope * slopes[i, k] * x[axis], slope * slopes[j, k] * x[axis]
                    out[i, axis, first[i] + k] += of_i
                    out[j, axis, first[i] + k] -= of_i
                    out[i, axis, first[j] + k] += of_j
                    out[j, axis, first[j] + k] -= of_j


@lazy_njit()
def _density_slope(
    q: float, pairs: PairArrays, neighbor_density: NeighborDensity, i: int, j: int
) -> float:
    """Return the derivative of the density of a neighbor by its position, over x, 1/Å²."""
    a, b = pairs.species_index[i], pairs.species_index[j]
    decay, squared_range = neighbor_density.decay[a, b], neighbor_density.squared_range
    r = math.sqrt(q + neighbor_density.squared_core[a, b])
    inside = 1 - q / squared_range
    part = math.exp(-decay * (r - neighbor_density.reference[a, b])) * inside * inside
    slope: float = -part * (6 / squared_range + inside * decay / r)
    return slope


@lazy_njit()
def _write_vector(out: Array, factor: float, x: Array) -> None:
    """Write a multiple of a vector."""
    for axis in range(3):
        out[axis] = factor * x[axis]


@lazy_njit()
def _pair(pairs: PairArrays, i: int, slot: int, x: Array) -> tuple[int, float]:
    """Write the vector from atom i to a neighbor; return the neighbor and the square.

    The square is infinite where there is none.
    """
    j, q = pairs.neighbor[i, slot], 0.0
    if j < 0:
        return j, math.inf
    for axis in range(3):
        x[axis] = pairs.positions[j, axis] - pairs.positions[i, axis]
        if len(pairs.offset):
            x[axis] += pairs.offset[i, slot, axis]
        q += x[axis] * x[axis]
    return j, q
