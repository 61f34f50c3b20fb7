"""Neighbor table with one row per atom, for batches of small structures.

`neighbor_list` sorts atoms into bins, faster for large structures and on a GPU. On a CPU a compiled
loop over all pairs and images of a structure is ten times faster up to some hundred atoms.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from bostruct.errors import check_positive
from bostruct.runtime.jit import Array
from bostruct.structures.neighbor_lists import images_numba
from bostruct.structures.neighbor_lists.neighbor_list import build_neighbor_list
from bostruct.structures.structures import Structures

MAX_ATOMS_BRUTE_FORCE = 512
"""Atoms of a structure up to which a loop over all pairs is faster than sorting into bins."""


def neighbor_table(
    structures: Structures, cutoff: float, *, skip_fixed_pairs: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Return all neighbors closer than `cutoff` Å, periodic images included.

    k is the largest number of neighbors, at least 1. Padding points at the atom itself with no
    shift: its vector is zero, so mask before taking a norm.

    Args:
        structures: batch with n atoms in total.
        cutoff: cutoff radius, Å.
        skip_fixed_pairs: leave out pairs of two fixed atoms.

    Returns:
        neighbor `[n, k]` int64, shift `[n, k, 3]` whole lattice vectors from the atom `neighbor`
        to the image, mask `[n, k]` bool.

    Raises:
        InputError: the cutoff is not positive.
    """
    if not _is_small(structures):
        pairs = build_neighbor_list(structures, cutoff)
        if skip_fixed_pairs:
            fixed = structures.fixed
            pairs = pairs.select(~(fixed[pairs.center] & fixed[pairs.neighbor]))
        return pairs.to_padded()
    loops = _PairLoops(structures, cutoff, skip_fixed_pairs)
    return loops.table(np.arange(len(structures.numbers)))


def changed_neighbor_table(
    structures: Structures, cutoff: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the rows of the atoms that moving ones change, without pairs of fixed atoms.

    Args:
        structures: batch with n atoms in total.
        cutoff: cutoff radius, Å.

    Returns:
        center `[r]` int64, the atoms that are not fixed, and the fixed ones near one of them; and
        `[r, k]` neighbor, shift and mask as in `neighbor_table`.

    Raises:
        InputError: the cutoff is not positive.
    """
    if not _is_small(structures):
        table = neighbor_table(structures, cutoff, skip_fixed_pairs=True)
        center = (table[2][:, 0] | ~structures.fixed).nonzero().squeeze(-1)
        neighbor, shift, mask = (x[center] for x in table)
        return center, neighbor, shift, mask
    loops = _PairLoops(structures, cutoff, skip_fixed_pairs=True)
    rows = ((loops.n_neighbors > 0) | ~structures.fixed.numpy()).nonzero()[0]
    return torch.from_numpy(rows), *loops.table(rows)


def _is_small(structures: Structures) -> bool:
    """Return whether loops over all pairs are the fastest way."""
    counts = structures.counts
    largest = int(counts.max()) if len(counts) else 0
    return structures.device.type == "cpu" and largest <= MAX_ATOMS_BRUTE_FORCE


class _PairLoops:
    """Loops over all pairs and images, which first count and then list the neighbors."""

    def __init__(self, structures: Structures, cutoff: float, skip_fixed_pairs: bool) -> None:
        check_positive("cutoff", cutoff, "Give a length in Å.")
        positions = structures.positions.detach().contiguous().numpy()
        n = len(positions)
        self._arrays = (
            positions,
            *periodic_image_arrays(structures, cutoff),
            float(cutoff) ** 2,
            structures.fixed.numpy() if skip_fixed_pairs else np.zeros(n, np.bool_),
        )
        self.n_neighbors = np.zeros(n, np.int64)
        empty = np.empty((n, 0), np.int64), np.empty((n, 0, 3), positions.dtype)
        images_numba.fill_neighbors(*self._arrays, np.arange(n), self.n_neighbors, *empty)

    def table(self, center: Array) -> tuple[Tensor, Tensor, Tensor]:
        """Return neighbor, shift and mask of the atoms `center`."""
        counts = self.n_neighbors[center]
        k = max(int(counts.max()), 1) if len(counts) else 1
        row = np.full(len(self.n_neighbors), -1)
        row[center] = np.arange(len(center))
        neighbor = np.repeat(center.reshape(-1, 1), k, axis=1)
        shift = np.zeros((len(center), k, 3), self._arrays[0].dtype)
        images_numba.fill_neighbors(*self._arrays, row, self.n_neighbors, neighbor, shift)
        mask = torch.arange(k) < torch.from_numpy(counts).unsqueeze(-1)
        return torch.from_numpy(neighbor), torch.from_numpy(shift), mask


def periodic_image_arrays(
    structures: Structures, cutoff: float
) -> tuple[Array, Array, Array, Array]:
    """Return the lattice arrays of a loop over all pairs and images within `cutoff` Å.

    Returns:
        Start of each structure's atoms, `[b + 1]`; cells `[b, 3, 3]` Å, zero along directions that
        are not periodic; their inverses; number of images along each direction, `[b, 3]`.
    """
    counts = structures.counts
    start = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
    cell = structures.cell.detach() * structures.pbc.unsqueeze(-1)
    distinct = cell[:1] if bool((cell == cell[:1]).all()) else cell
    inverse = torch.stack([_inverse_cell(tuple(c.flatten().tolist())) for c in distinct])
    inverse = inverse.to(cell)
    density = torch.linalg.vector_norm(inverse, dim=-2)  # [.., 3] planes per Å
    copies = torch.floor(cutoff * density + 0.5).to(torch.int64)
    return (
        start.numpy(),
        cell.contiguous().numpy(),
        inverse.expand_as(cell).contiguous().numpy(),
        copies.expand(len(cell), -1).contiguous().numpy(),
    )


@lru_cache(maxsize=256)
def _inverse_cell(cell: tuple[float, ...]) -> Tensor:
    """Return the pseudo-inverse of a cell, which may have zero vectors."""
    inverse: Tensor = torch.linalg.pinv(torch.tensor(cell, dtype=torch.float64).view(3, 3))
    return inverse
