"""Periodic images: whether the energy of a structure in one cell is its energy in another."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from bostruct.structures import Structures

ISOLATION_FACTOR = 3.0
"""Distance of images, in bond lengths, from which on they do not matter."""

CELL_TOLERANCE = 1e-3
"""Largest relative difference of equal lattice vectors."""


def image_gap(given: Structures, reference: Structures) -> float:
    """Return the least distance of images in which two cells of one structure differ, Å.

    They differ in a direction that only one of them repeats along, or in which both repeat with
    other lattice vectors. Infinite where they do not differ.

    Args:
        given: one structure, whole: no molecule is cut by a face of the cell.
        reference: one structure of the same atoms.
    """
    vectors = (given.cell[0] - reference.cell[0]).abs().amax(-1)
    scale = torch.maximum(given.cell[0].abs().amax(), reference.cell[0].abs().amax())
    differs = (given.pbc[0] != reference.pbc[0]) | (vectors > CELL_TOLERANCE * scale)
    return min(
        _gap_along(structure, differs & structure.pbc[0]) for structure in (given, reference)
    )


def is_isolated(gap: float, atomic_radii: Tensor) -> bool:
    """Return whether images at a distance in Å do not matter to atoms of these radii `[a]` Å."""
    return gap >= ISOLATION_FACTOR * 2 * float(atomic_radii.max())


def _gap_along(structure: Structures, axes: Tensor) -> float:
    """Return the least distance to an image that is shifted along one of the axes `[3]` bool."""
    ranges = [(-1, 0, 1) if periodic else (0,) for periodic in structure.pbc[0].tolist()]
    shifts = torch.tensor(list(itertools.product(*ranges)), dtype=torch.float64)
    shifts = shifts[(shifts[:, axes.cpu()] != 0).any(-1)].to(structure.cell)
    if not len(shifts):
        return float("inf")
    P = structure.positions
    images = (P.unsqueeze(0) + (shifts @ structure.cell[0]).unsqueeze(1)).flatten(0, 1)
    return float(torch.cdist(P, images).min())
