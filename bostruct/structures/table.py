"""Neighbors as a table with one row per atom, for batches of small structures.

`neighbors` sorts atoms into bins, which pays for large structures and on a GPU. On a
CPU a compiled loop over all pairs and images of a structure is ten times faster up to
some hundred atoms.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bostruct.errors import check_positive
from bostruct.structures import images
from bostruct.structures.neighbors import neighbors
from bostruct.structures.structures import Structures

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
    copies = torch.floor(cutoff * density + 0.5).to(torch.int64) * structures.pbc
    start = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
    arrays = (
        positions.contiguous().numpy(),
        start.numpy(),
        cell.contiguous().numpy(),
        inverse.contiguous().numpy(),
        copies.numpy(),
        float(cutoff) ** 2,
    )
    n = len(positions)
    none = np.empty((n, 0), np.int64), np.empty((n, 0, 3), arrays[0].dtype)
    found = np.zeros(n, np.int64)
    images.fill(*arrays, found, *none)
    k = max(int(found.max()), 1) if n else 1
    other = np.repeat(np.arange(n).reshape(-1, 1), k, axis=1)
    shift = np.zeros((n, k, 3), arrays[0].dtype)
    images.fill(*arrays, found, other, shift)
    mask = torch.arange(k) < torch.from_numpy(found).unsqueeze(-1)
    return torch.from_numpy(other), torch.from_numpy(shift), mask
