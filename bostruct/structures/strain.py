"""Strain of a cell with all that is in it, and derivatives by it.

Under a strain e, a symmetric matrix, positions and lattice vectors r become r (1 + e), at fixed
fractional coordinates. The derivative of an energy by it is the virial; over the volume of the cell
it is the stress, positive under tension (Nielsen and Martin, Phys. Rev. B 32, 3780 (1985)).
Components are in Voigt's order xx, yy, zz, yz, xz, xy, and off-diagonal ones stand for the mean of
two, as in ASE.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.structures.structures import Structures

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Row and column of each component."""

VOIGT_ROWS, VOIGT_COLUMNS = ([pair[k] for pair in VOIGT] for k in (0, 1))
"""Rows of all components, and columns."""

IN_PLANE_TOLERANCE = 1e-9
"""Largest difference from 1 of the square of the part of an axis in the plane of a layer."""

_COMPONENTS = [VOIGT.index((min(i, j), max(i, j))) for i in range(3) for j in range(3)]


def to_voigt(matrix: Tensor) -> Tensor:
    """Return the components `[..., 6]` of the symmetric part of matrices `[..., 3, 3]`."""
    return (matrix[..., VOIGT_ROWS, VOIGT_COLUMNS] + matrix[..., VOIGT_COLUMNS, VOIGT_ROWS]) / 2


def from_voigt(components: Tensor) -> Tensor:
    """Return the symmetric matrices `[..., 3, 3]` of components `[..., 6]`."""
    matrices: Tensor = components[..., _COMPONENTS].unflatten(-1, (3, 3))
    return matrices


def strain_derivative(structures: Structures, by_positions: Tensor, by_cell: Tensor) -> Tensor:
    """Return the derivative of a function of each structure by the strain, `[b, 6]`.

    Args:
        structures: b structures of n atoms in total.
        by_positions: `[n, 3]` derivatives of the functions by the positions.
        by_cell: `[b, 3, 3]` derivatives by the lattice vectors.
    """
    positions, cell = structures.positions.detach(), structures.cell.detach()
    outer = positions.unsqueeze(-1) * by_positions.unsqueeze(-2)  # [n, 3, 3]
    return to_voigt((cell.mT @ by_cell).index_add(0, structures.index, outer))


def volumes(structures: Structures) -> Tensor:
    """Return the volume of each cell, `[b]` Å³; zero where there is none."""
    volume: Tensor = torch.linalg.det(structures.cell.detach()).abs()
    return volume


def has_stress(structures: Structures) -> Tensor:
    """Return which structures have a stress: periodic ones with a volume and no fixed atom, `[b]`.

    Along directions that are not periodic, as of layers, the strain moves atoms alone, and the
    stress is that of the whole cell with its vacuum. It would move fixed atoms.
    """
    has_fixed = torch.zeros(len(structures), dtype=torch.bool, device=structures.device)
    has_fixed[structures.index[structures.fixed]] = True
    return structures.pbc.any(-1) & (volumes(structures) > 0) & ~has_fixed


def strained_components(structures: Structures) -> Tensor:
    """Return which components of the strain are along lattice vectors that repeat, `[b, 6]` bool.

    All are in crystals. Of layers those in the plane are, where this is one of two axes; the others
    move atoms alone, as forces tell.
    """
    rows = torch.where(structures.pbc.unsqueeze(-1), structures.cell.detach(), 0.0)
    # an axis is in the span of the rows if a projection on the span leaves it as it is
    projection = torch.linalg.pinv(rows) @ rows
    along = (projection.diagonal(dim1=-2, dim2=-1) - 1).abs() < IN_PLANE_TOLERANCE  # [b, 3]
    both: Tensor = along[:, VOIGT_ROWS] & along[:, VOIGT_COLUMNS]
    return both


def per_volume(structures: Structures, values: Tensor, power: int = 1) -> Tensor:
    """Return values over a power of the volumes; NaN for structures without a stress, `[b, 6]`.

    Args:
        structures: b structures.
        values: `[b, 6]`, virials in eV or, for a power of 2, variances of them.
        power: 1 or 2.
    """
    known = has_stress(structures)
    volume = torch.where(known, volumes(structures), torch.nan)
    return values / volume.unsqueeze(-1) ** power
