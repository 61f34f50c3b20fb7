"""Neighbors with periodic images, by compiled loops over all pairs."""

from __future__ import annotations

import math

import numpy as np

from bostruct.runtime.jit import Array, lazy_njit


@lazy_njit()
def fill_neighbors(
    P: Array,
    offsets: Array,
    cell: Array,
    inverse_cell: Array,
    n_images: Array,
    squared_cutoff: float,
    fixed: Array,
    row: Array,
    n_neighbors: Array,
    neighbor: Array,
    shift: Array,
) -> None:
    """Count the neighbors of each atom into `n_neighbors`, and list them if there is room.

    Those of atom i are listed in row `row[i]`; where that is negative the atom is left out. Pairs
    of two `fixed` atoms are skipped.
    """
    x, base = np.zeros(3), np.zeros(3)
    for s in range(len(offsets) - 1):
        box, inverse_box, most = cell[s], inverse_cell[s], n_images[s]
        is_periodic = np.any(inverse_box != 0)
        for i in range(offsets[s], offsets[s + 1]):
            count, r = 0, row[i]
            if r < 0:
                continue
            if not is_periodic:
                n_neighbors[i] = _fill_atoms(
                    P, offsets[s], offsets[s + 1], i, squared_cutoff, fixed, r, neighbor
                )
                continue
            for j in range(offsets[s], offsets[s + 1]):
                if fixed[i] and fixed[j]:
                    continue
                _nearest_image(P[i], P[j], inverse_box, x, base)
                end = _fill_images(x, base, box, most, squared_cutoff, i, j, r, count, shift)
                if neighbor.shape[1]:
                    for slot in range(count, end):
                        neighbor[r, slot] = j
                count = end
            n_neighbors[i] = count


@lazy_njit()
def _fill_atoms(
    P: Array,
    start: int,
    end: int,
    i: int,
    squared_cutoff: float,
    fixed: Array,
    row: int,
    neighbor: Array,
) -> int:
    """Return the number of neighbors of atom i without images, and list them if there is room."""
    count = 0
    for j in range(start, end):
        if i == j or (fixed[i] and fixed[j]):
            continue
        distance = 0.0
        for y in range(3):
            z = P[j, y] - P[i, y]
            distance += z * z
        if not distance >= squared_cutoff:  # NaN passes, and shows in the result
            if neighbor.shape[1]:
                neighbor[row, count] = j
            count += 1
    return count


@lazy_njit()
def _nearest_image(start: Array, end: Array, inverse_cell: Array, x: Array, base: Array) -> None:
    """Write the vector between two atoms, and the cells that bring it near the origin."""
    for axis in range(3):
        x[axis] = end[axis] - start[axis]
    for axis in range(3):
        fraction = 0.0
        for y in range(3):
            fraction += x[y] * inverse_cell[y, axis]
        base[axis] = -math.floor(fraction + 0.5)


@lazy_njit()
def _fill_images(
    x: Array,
    base: Array,
    cell: Array,
    n_images: Array,
    squared_cutoff: float,
    i: int,
    j: int,
    row: int,
    count: int,
    shift: Array,
) -> int:
    """Add the images of atom j at x within the cutoff to the count of atom i, in its row."""
    for a in range(-n_images[0], n_images[0] + 1):
        for b in range(-n_images[1], n_images[1] + 1):
            for c in range(-n_images[2], n_images[2] + 1):
                u, v, w = base[0] + a, base[1] + b, base[2] + c
                if i == j and u == 0 and v == 0 and w == 0:
                    continue
                distance = 0.0
                for y in range(3):
                    z = x[y] + u * cell[0, y] + v * cell[1, y] + w * cell[2, y]
                    distance += z * z
                if not distance >= squared_cutoff:  # NaN passes, and shows in the result
                    if shift.shape[1]:
                        shift[row, count, 0] = u
                        shift[row, count, 1] = v
                        shift[row, count, 2] = w
                    count += 1
    return count
