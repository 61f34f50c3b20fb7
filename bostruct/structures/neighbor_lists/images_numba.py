"""Which images of which atoms are near, by compiled loops over all pairs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bostruct.runtime.jit import compiled

Array = NDArray[Any]


@compiled()
def fill(
    P: Array,
    start: Array,
    cell: Array,
    inverse: Array,
    images: Array,
    square: float,
    still: Array,
    found: Array,
    other: Array,
    shift: Array,
) -> None:
    """Count the neighbors of each atom into `found`, and list them if there is room.

    Atoms that are `still` do not look at each other.
    """
    x, base = np.zeros(3), np.zeros(3)
    for s in range(len(start) - 1):
        box, back, most = cell[s], inverse[s], images[s]
        for i in range(start[s], start[s + 1]):
            count = 0
            for j in range(start[s], start[s + 1]):
                if still[i] and still[j]:
                    continue
                for axis in range(3):
                    x[axis] = P[j, axis] - P[i, axis]
                for axis in range(3):
                    part = 0.0
                    for y in range(3):
                        part += x[y] * back[y, axis]
                    base[axis] = -math.floor(part + 0.5)
                end = _near(x, base, box, most, square, i, j, count, shift)
                if other.shape[1]:
                    for place in range(count, end):
                        other[i, place] = j
                count = end
            found[i] = count


@compiled()
def _near(
    x: Array,
    base: Array,
    box: Array,
    images: Array,
    square: float,
    i: int,
    j: int,
    count: int,
    shift: Array,
) -> int:
    """Add the images of atom j at x that are near to the count of atom i."""
    for a in range(-images[0], images[0] + 1):
        for b in range(-images[1], images[1] + 1):
            for c in range(-images[2], images[2] + 1):
                u, v, w = base[0] + a, base[1] + b, base[2] + c
                if i == j and u == 0 and v == 0 and w == 0:
                    continue
                distance = 0.0
                for y in range(3):
                    z = x[y] + u * box[0, y] + v * box[1, y] + w * box[2, y]
                    distance += z * z
                if not distance >= square:  # NaN stays, to be seen at the end
                    if shift.shape[1]:
                        shift[i, count, 0] = u
                        shift[i, count, 1] = v
                        shift[i, count, 2] = w
                    count += 1
    return count
