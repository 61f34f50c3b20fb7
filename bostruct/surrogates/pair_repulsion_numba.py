"""The pair repulsion and its slope as one compiled loop over all pairs and images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bostruct.runtime.jit import compiled

Array = NDArray[Any]


@compiled()
def walls(
    P: Array,
    start: Array,
    cell: Array,
    inverse: Array,
    images: Array,
    radii: Array,
    strength: float,
    smallest: float,
) -> tuple[Array, Array]:
    """Return the energy of each structure, `[b]` eV, and its slope, `[n, 3]` eV/Å.

    Args:
        P: `[n, 3]` Å.
        start: `[b + 1]` first atom of each structure.
        cell: `[b, 3, 3]` Å, rows of zeros where it is not periodic.
        inverse: `[b, 3, 3]` 1/Å.
        images: `[b, 3]` how many to look at along each direction, each way.
        radii: `[n]` Å; walls begin where two of them touch.
        strength: eV.
        smallest: Å, closer atoms count as this far.
    """
    energy, slope = np.zeros(len(start) - 1, P.dtype), np.zeros(P.shape, P.dtype)
    x, base, push = np.zeros(3), np.zeros(3), np.zeros(3)
    for s in range(len(start) - 1):
        for i in range(start[s], start[s + 1]):
            for j in range(i, start[s + 1]):
                for axis in range(3):
                    x[axis] = P[j, axis] - P[i, axis]
                for axis in range(3):
                    part = 0.0
                    for y in range(3):
                        part += x[y] * inverse[s, y, axis]
                    base[axis] = -math.floor(part + 0.5)
                d, push[:] = radii[i] + radii[j], 0
                wall = _images(x, base, cell[s], images[s], i == j, d, smallest, push)
                # an atom and its own image are seen from either side
                energy[s] += strength * wall / (2 if i == j else 1)
                if i != j:
                    for y in range(3):
                        slope[i, y] += strength * push[y]
                        slope[j, y] -= strength * push[y]
    return energy, slope


@compiled()
def _images(
    x: Array,
    base: Array,
    box: Array,
    images: Array,
    own: bool,
    d: float,
    smallest: float,
    push: Array,
) -> float:
    """Return the walls between an atom and all images of one at x; add the slope."""
    total = 0.0
    for a in range(-images[0], images[0] + 1):
        for b in range(-images[1], images[1] + 1):
            for c in range(-images[2], images[2] + 1):
                u, v, w = base[0] + a, base[1] + b, base[2] + c
                if own and u == 0 and v == 0 and w == 0:
                    continue
                X = x[0] + u * box[0, 0] + v * box[1, 0] + w * box[2, 0]
                Y = x[1] + u * box[0, 1] + v * box[1, 1] + w * box[2, 1]
                Z = x[2] + u * box[0, 2] + v * box[1, 2] + w * box[2, 2]
                square = X * X + Y * Y + Z * Z
                if square >= d * d:  # NaN goes on, to be seen at the end
                    continue
                r = math.sqrt(square)
                excess = d / max(r, smallest) - 1 if r == r else r
                total += excess**3
                if r >= smallest:
                    steep = 3 * excess * excess * d / (square * r)
                    push[0] += steep * X
                    push[1] += steep * Y
                    push[2] += steep * Z
    return total
