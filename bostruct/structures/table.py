"""Neighbors as a table with one row per atom, for batches of small structures.

`neighbors` sorts atoms into bins, which pays for large structures and on a GPU. On a
CPU a compiled loop over all pairs and images of a structure is ten times faster up to
some hundred atoms.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bostruct.errors import check_positive
from bostruct.jit import compiled
from bostruct.structures.neighbors import neighbors
from bostruct.structures.structures import Structures

Array = NDArray[Any]

LARGEST = 512
"""Atoms of a structure up to which looking at all pairs beats sorting into bins."""


def table(structures: Structures, cutoff: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return all neighbors closer than `cutoff` Å, periodic images included.

    k is the largest number of neighbors, at least 1. Unused places point at the atom
    itself with no shift: their vector is zero, so mask before taking a norm.

    Returns:
        other `[n, k]` int64, shift `[n, k, 3]` whole lattice vectors from the atom
        `other` to the image, mask `[n, k]` bool.

    Raises:
        InputError: the cut-off is not positive.
    """
    check_positive("cutoff", cutoff, "Give a length in Å.")
    counts = structures.counts
    largest = int(counts.max()) if len(counts) else 0
    if structures.device.type != "cpu" or largest > LARGEST:
        return neighbors(structures, cutoff).padded()
    positions = structures.positions.detach()
    cell = structures.cell.detach() * structures.pbc.unsqueeze(-1)
    inverse = torch.linalg.pinv(cell)  # a cell may have no vector along some directions
    density = torch.linalg.vector_norm(inverse, dim=-2)  # [b, 3] planes per Å
    images = torch.floor(cutoff * density + 0.5).to(torch.int64) * structures.pbc
    start = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
    arrays = (
        positions.contiguous().numpy(),
        start.numpy(),
        cell.contiguous().numpy(),
        inverse.contiguous().numpy(),
        images.numpy(),
        float(cutoff) ** 2,
    )
    n = len(positions)
    none = np.empty((n, 0), np.int64), np.empty((n, 0, 3), arrays[0].dtype)
    found = np.zeros(n, np.int64)
    _fill(*arrays, found, *none)
    k = max(int(found.max()), 1) if n else 1
    other = np.repeat(np.arange(n).reshape(-1, 1), k, axis=1)
    shift = np.zeros((n, k, 3), arrays[0].dtype)
    _fill(*arrays, found, other, shift)
    mask = torch.arange(k) < torch.from_numpy(found).unsqueeze(-1)
    return torch.from_numpy(other), torch.from_numpy(shift), mask


@compiled()
def _fill(
    P: Array,
    start: Array,
    cell: Array,
    inverse: Array,
    images: Array,
    square: float,
    found: Array,
    other: Array,
    shift: Array,
) -> None:
    """Count the neighbors of each atom into `found`, and list them if there is room."""
    x, base = np.zeros(3), np.zeros(3)
    for s in range(len(start) - 1):
        box, back, most = cell[s], inverse[s], images[s]
        for i in range(start[s], start[s + 1]):
            count = 0
            for j in range(start[s], start[s + 1]):
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
