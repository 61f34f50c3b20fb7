"""Vacuum box: a periodic cell around a structure, for codes that know no other.

The box does not turn with the structure and does not follow it: its edges come from a fixed ladder
for each formula, so that the structures of one search share a box, and with it the basis set of a
plane-wave code. A longer structure, as a chain among compact clusters, has the next larger box.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

PACKING_FRACTION = 0.64
"""Fraction of the volume that randomly packed spheres fill."""

LOOSE_FACTOR = 1.2
"""Ratio of the least diameter for which there is room to that of a compact cluster."""

LADDER_RATIO = 1.25
"""Ratio of a diameter for which there is room to the next smaller one."""


def vacuum_box(atoms: Atoms, vacuum: float) -> Atoms:
    """Return a copy that is periodic along three axes, with vacuum around it.

    Without any periodicity the cell is a cube with the center of the structure in its middle; a
    slab or wire is given only the lattice vectors that it lacks, and longer ones in place of those
    that leave less vacuum, with the center in the middle between them. A structure that is periodic
    along three axes stays as it is. Energy and forces of the copy are those of the structure.

    Args:
        atoms: structure.
        vacuum: least vacuum on each side, Å.
    """
    boxed = atoms.copy()
    if atoms.pbc.all():
        return boxed
    length = _diameter(atoms) + 2 * vacuum
    if not atoms.pbc.any():
        boxed.set_cell([length] * 3)
        boxed.set_positions(_centered(atoms) + length / 2, apply_constraint=False)
    else:
        cell = np.array(atoms.cell.complete())
        normals = np.linalg.inv(cell).T
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        heights = (cell * normals).sum(axis=1)
        needed = np.ptp(atoms.positions @ normals.T, axis=0) + 2 * vacuum
        is_given = np.array(atoms.cell).any(axis=1) & (heights >= needed)
        widened = ~(atoms.pbc | is_given)
        cell[widened] *= length / heights[widened, None]
        boxed.set_cell(cell)
        center = np.linalg.solve(cell.T, atoms.positions.mean(axis=0))
        shift = (0.5 - center[widened]) @ cell[widened]
        boxed.set_positions(atoms.positions + shift, apply_constraint=False)
    boxed.pbc = True
    return boxed


def _diameter(atoms: Atoms) -> float:
    """Return the diameter of the ladder that holds all atoms, Å."""
    from ase.data import covalent_radii

    volume = (covalent_radii[atoms.numbers] ** 3).sum() / PACKING_FRACTION
    least = 2 * LOOSE_FACTOR * float(volume) ** (1 / 3)
    extent = 2 * float(np.linalg.norm(_centered(atoms), axis=1).max())
    step = max(0, math.ceil(math.log(extent / least or 1.0) / math.log(LADDER_RATIO) - 1e-9))
    return float(least * LADDER_RATIO**step)


def _centered(atoms: Atoms) -> np.ndarray:
    """Return the positions relative to their mean, `[a, 3]` Å."""
    positions = atoms.get_positions()
    centered: np.ndarray = positions - positions.mean(axis=0)
    return centered
