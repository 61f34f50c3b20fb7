"""Crystal fingerprint: sorted distances of the nearest neighbors of all atoms.

For each pair of species A and B: the distances from an A to its first, second, third ... B, all
periodic images included, each column sorted over the atoms A. They depend neither on the choice of
the cell nor on its origin or orientation, nor on the order of equal atoms, and change continuously.

Those of a supercell are the same, each as often as it has cells: `repeat_fingerprint` makes the
fingerprints of cells of several sizes comparable.

A strain changes far distances most, which say little that near ones do not. So a distance d counts
as 2 √(l d), with the cube root l of the volume per atom: near l, differences stay what they are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces.crystals.packing import neighbor_distances

MAX_NEIGHBORS_PER_SPECIES = 24
"""Number of neighbors of each species: hcp differs from fcc from the nineteenth on."""

CUTOFF_FACTOR = 3.2
"""Largest distance, in cube roots of the expected volume per atom; longer ones are set to it."""


def crystal_fingerprint(F: Tensor, H: Tensor, numbers: Tensor, volume_per_atom: float) -> Tensor:
    """Return the neighbor distances of crystals, 2 √(l d), `[n, f]` Å.

    Args:
        F: `[n, a, 3]` fractional coordinates.
        H: `[n, 3, 3]` Å, cells.
        numbers: `[a]` atomic numbers.
        volume_per_atom: expected volume of an atom, Å³.
    """
    elements, species = numbers.cpu().unique(return_inverse=True)
    length = volume_per_atom ** (1 / 3)
    cutoff = CUTOFF_FACTOR * length
    nearest = neighbor_distances(F, H, species, cutoff, MAX_NEIGHBORS_PER_SPECIES)
    nearest = 2 * (length * nearest).sqrt()
    atoms = [(species == k).nonzero().squeeze(-1) for k in range(len(elements))]
    columns = [nearest[:, members].sort(1).values.flatten(1) for members in atoms]
    return torch.cat(columns, -1)


def repeat_fingerprint(fingerprint: Tensor, numbers: Tensor, n_cells: int) -> Tensor:
    """Return the fingerprints of supercells, `[..., n_cells f]` Å.

    Args:
        fingerprint: `[..., f]` Å, of cells.
        numbers: `[a]` atomic numbers of a cell.
        n_cells: number of cells in a supercell.
    """
    counts = numbers.unique(return_counts=True)[1].tolist()
    n_columns = fingerprint.shape[-1] // len(numbers)
    parts = fingerprint.split([count * n_columns for count in counts], -1)
    rows = [part.unflatten(-1, (-1, n_columns)).repeat_interleave(n_cells, -2) for part in parts]
    return torch.cat([row.flatten(-2) for row in rows], -1)
