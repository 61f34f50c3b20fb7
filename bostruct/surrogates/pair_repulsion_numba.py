"""The pair repulsion and its slope as one compiled loop over all pairs and images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bostruct.runtime.jit import lazy_njit

Array = NDArray[Any]


@lazy_njit()
def repulsion_and_gradient(
    positions: Array,
    offsets: Array,
    cell: Array,
    inverse_cell: Array,
    n_images: Array,
    radii: Array,
    strength: float,
    min_distance: float,
) -> tuple[Array, Array]:
    """Return the energy of each structure, `[b]` eV, and its slope, `[n, 3]` eV/Å.

    Args:
        positions: `[n, 3]` Å.
        offsets: `[b + 1]` first atom of each structure.
        cell: `[b, 3, 3]` Å, rows of zeros where it is not periodic.
        inverse_cell: `[b, 3, 3]` 1/Å.
        n_images: `[b, 3]` how many to look at along each direction, each way.
        radii: `[n]` Å; walls begin where two of them touch.
        strength: eV.
        min_distance: Å, closer atoms count as this far.
    """
    energy, slope = (
        np.zeros(len(offsets) - 1, positions.dtype),
        np.zeros(positions.shape, positions.dtype),
    )
    x, base, push = np.zeros(3), np.zeros(3), np.zeros(3)
    for s in range(len(offsets) - 1):
        for i in range(offsets[s], offsets[s + 1]):
            for j in range(i, offsets[s + 1]):
                for axis in range(3):
                    x[axis] = positions[j, axis] - positions[i, axis]
                for axis in range(3):
                    part = 0.0
                    for y in range(3):
                        part += x[y] * inverse_cell[s, y, axis]
                    base[axis] = -math.floor(part + 0.5)
                d, push[:] = radii[i] + radii[j], 0
                wall = _image_sum(x, base, cell[s], n_images[s], i == j, d, min_distance, push)
                # an atom and its own image are seen from either side
                energy[s] += strength * wall / (2 if i == j else 1)
                if i != j:
                    for y in range(3):
                        slope[i, y] += strength * push[y]
                        slope[j, y] -= strength * push[y]
    return energy, slope


@lazy_njit()
def _image_sum(
    x: Array,
    base: Array,
    box: Array,
    n_images: Array,
    is_self: bool,
    d: float,
    min_distance: float,
    gradient: Array,
) -> float:
    """Return the walls between an atom and all images of one at x; add the slope."""
    total = 0.0
    for a in range(-n_images[0], n_images[0] + 1):
        for b in range(-n_images[1], n_images[1] + 1):
            for c in range(-n_images[2], n_images[2] + 1):
                u, v, w = base[0] + a, base[1] + b, base[2] + c
                if is_self and u == 0 and v == 0 and w == 0:
                    continue
                X = x[0] + u * box[0, 0] + v * box[1, 0] + w * box[2, 0]
                Y = x[1] + u * box[0, 1] + v * box[1, 1] + w * box[2, 1]
                Z = x[2] + u * box[0, 2] + v * box[1, 2] + w * box[2, 2]
                square = X * X + Y * Y + Z * Z
                if square >= d * d:  # NaN goes on, to be seen at the end
                    continue
                r = math.sqrt(square)
                excess = d / max(r, min_distance) - 1 if r == r else r
                total += excess**3
                if r >= min_distance:
                    steep = 3 * excess * excess * d / (square * r)
                    gradient[0] += steep * X
                    gradient[1] += steep * Y
                    gradient[2] += steep * Z
    return total
