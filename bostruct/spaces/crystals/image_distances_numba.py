"""Distances of all periodic images, by compiled loops over many crystals of one formula.

Notation
    F   [n, a, 3]        fractional coordinates
    H   [n, 3, 3]   Å    cells
    h   [n, 3]      Å    heights of the cells: distances of opposite faces
    W   [a, a]      Å    minimum distances, those of an atom and its own images on the diagonal

Two atoms whose fractional coordinates differ by f, wrapped to at most a half, are images n apart no
closer than |f + n| h along each lattice vector: beyond |n| = r / h + 1/2 none is closer than r.
"""

from __future__ import annotations

import math

import numpy as np

from bostruct.runtime.jit import Array, lazy_njit

MAX_IMAGES = 12
"""Largest number of images along a lattice vector to one side; only flat cells have more."""

OVERLAP_TOLERANCE = 1e-6
"""Largest relative overlap at which atoms are not pushed further."""

MAX_PUSH_STRAIN = 0.1
"""Largest strain of a cell in one step in which atoms are pushed apart."""

DISTANCE_FLOOR = 1e-12
"""Keeps the direction between coincident atoms finite."""


@lazy_njit()
def _image_counts(h: Array, cutoff: float, counts: Array) -> None:
    for k in range(3):
        counts[k] = min(math.floor(cutoff / h[k] + 0.5), MAX_IMAGES)


@lazy_njit()
def _wrapped_difference(start: Array, end: Array, f: Array) -> None:
    for k in range(3):
        d = end[k] - start[k]
        f[k] = d - math.floor(d + 0.5)


@lazy_njit()
def closest_ratios(F: Array, H: Array, h: Array, W: Array, ratios: Array) -> None:
    """Write the least distance over minimum distance of each crystal, at most 1, into `ratios`."""
    f, counts = np.zeros(3), np.zeros(3, dtype=np.int64)
    a, cutoff = F.shape[1], np.max(W)
    for s in range(len(F)):
        least = 1.0
        _image_counts(h[s], cutoff, counts)
        for i in range(a):
            for j in range(i, a):
                _wrapped_difference(F[s, i], F[s, j], f)
                square = W[i, j] * W[i, j]
                for u in range(-counts[0], counts[0] + 1):
                    for v in range(-counts[1], counts[1] + 1):
                        for w in range(-counts[2], counts[2] + 1):
                            if i == j and u == 0 and v == 0 and w == 0:
                                continue
                            d2 = _squared_distance(f, u, v, w, H[s])
                            if d2 < least * least * square:
                                least = math.sqrt(d2 / square)
        ratios[s] = least


@lazy_njit()
def push_atoms(F: Array, H: Array, W: Array, n_steps: int, n_strained_axes: int) -> None:
    """Push atoms apart in place, at most `n_steps` times, straining the cells at constant volume.

    Each of two atoms that are too close moves by half of the missing distance. The strain is the
    mean, over the atoms, of that which would remove each overlap, without its trace: along the
    first two or all three axes, or along none.
    """
    a = F.shape[1]
    step, strain, h = np.zeros((a, 3)), np.zeros((3, 3)), np.zeros(3)
    for s in range(len(F)):
        for _ in range(n_steps):
            inverse = np.linalg.inv(H[s])
            for k in range(3):
                h[k] = 1 / math.sqrt(np.sum(inverse[:, k] ** 2))
            worst = _sum_overlaps(F[s], H[s], h, W, step, strain)
            if not worst > OVERLAP_TOLERANCE:
                break
            F[s] += step @ inverse
            if n_strained_axes > 0:
                _strain_cell(H[s], strain / a, n_strained_axes)


@lazy_njit()
def _strain_cell(H: Array, strain: Array, n: int) -> None:
    """Strain a cell along n axes, its volume unchanged, by at most `MAX_PUSH_STRAIN`."""
    strain[n:] = 0.0
    strain[:, n:] = 0.0
    trace = 0.0
    for k in range(n):
        trace += strain[k, k] / n
    for k in range(n):
        strain[k, k] -= trace
    size = math.sqrt(np.sum(strain * strain))
    strained = H + H @ strain * (MAX_PUSH_STRAIN / max(size, MAX_PUSH_STRAIN))
    strained[:, :n] *= (np.linalg.det(H) / np.linalg.det(strained)) ** (1 / n)
    H[:] = strained


@lazy_njit()
def _sum_overlaps(F: Array, H: Array, h: Array, W: Array, step: Array, strain: Array) -> float:
    """Write the steps of all atoms and the strain that remove overlaps, and return the worst."""
    a, worst = len(F), 0.0
    f, counts = np.zeros(3), np.zeros(3, dtype=np.int64)
    step[:], strain[:] = 0.0, 0.0
    _image_counts(h, np.max(W), counts)
    for i in range(a):
        for j in range(i, a):
            _wrapped_difference(F[i], F[j], f)
            overlap = _sum_pair(f, counts, H, W[i, j], i == j, step[i], step[j], strain)
            worst = max(worst, overlap)
    return worst


@lazy_njit()
def _sum_pair(
    f: Array,
    counts: Array,
    H: Array,
    least: float,
    is_self: bool,
    first: Array,
    second: Array,
    strain: Array,
) -> float:
    """Add the overlaps of two atoms, or of one and its own images, and return the worst."""
    x, worst = np.zeros(3), 0.0
    weight = 0.5 if is_self else 1.0  # images on both sides
    for u in range(-counts[0], counts[0] + 1):
        for v in range(-counts[1], counts[1] + 1):
            for w in range(-counts[2], counts[2] + 1):
                if is_self and u == 0 and v == 0 and w == 0:
                    continue
                d2 = _squared_distance(f, u, v, w, H)
                if d2 >= least * least:
                    continue
                overlap = least / max(math.sqrt(d2), DISTANCE_FLOOR) - 1
                worst = max(worst, overlap)
                _image_vector(f, u, v, w, H, x)
                for y in range(3):
                    if not is_self:
                        first[y] -= 0.5 * overlap * x[y]
                        second[y] += 0.5 * overlap * x[y]
                    for z in range(3):
                        push = weight * min(overlap, 1.0) / max(d2, DISTANCE_FLOOR)
                        strain[y, z] += push * x[y] * x[z]
    return worst


@lazy_njit()
def nearest_distances(
    F: Array, H: Array, h: Array, species: Array, cutoff: float, nearest: Array
) -> None:
    """Write the distances from each atom to the nearest ones of each species, in rising order.

    Args:
        F: fractional coordinates.
        H: cells, Å.
        h: heights of the cells, Å.
        species: `[a]` index of the species of each atom.
        cutoff: largest distance, Å; all longer ones are set to it.
        nearest: `[n, a, species, k]` Å, written.
    """
    f, counts = np.zeros(3), np.zeros(3, dtype=np.int64)
    a, k = F.shape[1], nearest.shape[3]
    nearest[:] = cutoff
    for s in range(len(F)):
        _image_counts(h[s], cutoff, counts)
        for i in range(a):
            for j in range(i, a):
                _wrapped_difference(F[s, i], F[s, j], f)
                for u in range(-counts[0], counts[0] + 1):
                    for v in range(-counts[1], counts[1] + 1):
                        for w in range(-counts[2], counts[2] + 1):
                            if i == j and u == 0 and v == 0 and w == 0:
                                continue
                            d2 = _squared_distance(f, u, v, w, H[s])
                            if d2 < cutoff * cutoff:
                                d = math.sqrt(d2)
                                _insert(nearest[s, i, species[j]], d, k)
                                if i != j:
                                    _insert(nearest[s, j, species[i]], d, k)


@lazy_njit()
def _image_vector(f: Array, u: int, v: int, w: int, H: Array, x: Array) -> None:
    p, q, r = f[0] + u, f[1] + v, f[2] + w
    for y in range(3):
        x[y] = p * H[0, y] + q * H[1, y] + r * H[2, y]


@lazy_njit()
def _squared_distance(f: Array, u: int, v: int, w: int, H: Array) -> float:
    p, q, r = f[0] + u, f[1] + v, f[2] + w
    total = 0.0
    for y in range(3):
        x = p * H[0, y] + q * H[1, y] + r * H[2, y]
        total += x * x
    return total


@lazy_njit()
def _insert(row: Array, value: float, k: int) -> None:
    """Insert a value into a rising row of k, whose last one drops out."""
    if value >= row[k - 1]:
        return
    slot = k - 1
    while slot > 0 and row[slot - 1] > value:
        row[slot] = row[slot - 1]
        slot -= 1
    row[slot] = value
