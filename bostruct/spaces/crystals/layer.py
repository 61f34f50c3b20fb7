"""Layers: crystals that repeat along two lattice vectors, with vacuum beyond.

Of a layer little is known before: a flat one has an area of v^(2/3) per atom of volume v, one of
thickness t about v / (v^(1/3) + t). The expected one is between. Atoms further apart than the
cutoff of the fingerprint do not tell layers apart, so that the vacuum is no less.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bostruct.errors import InputError, check_positive, error_message
from bostruct.spaces.crystals.cell_freedom import CellFreedom
from bostruct.spaces.crystals.crystal_fingerprint import CUTOFF_FACTOR
from bostruct.structures import Structures
from bostruct.structures.strain import from_voigt, to_voigt, volumes

THICKNESS_FACTOR = 1.5
"""Default thickness, in cube roots of the volume of an atom: three sublayers of MoS₂."""

VACUUM_FACTOR = 8.0
"""Default vacuum, in cube roots of the volume of an atom."""

CRYSTAL, LAYER = (True, True, True), (True, True, False)
"""Lattice vectors along which crystals and layers repeat."""


def is_layer(periodic: Sequence[bool]) -> bool:
    """Return whether a space is one of layers.

    Args:
        periodic: lattice vectors along which structures repeat.

    Raises:
        InputError: they are neither all three nor the first two.
    """
    axes = tuple(periodic) if isinstance(periodic, Sequence) else periodic
    if axes not in (CRYSTAL, LAYER):
        condition = f"be {CRYSTAL}, or {LAYER} for layers"
        hint = "Search what does not repeat as a Cluster, or on a slab as a Surface."
        raise InputError(error_message("periodic", condition, repr(periodic), hint))
    return axes == LAYER


def layer_freedom(
    n_atoms: int,
    volume: float,
    area: float | None,
    thickness: float | None,
    vacuum: float | None,
    cell: Tensor | None = None,
) -> CellFreedom:
    """Return the cells of layers.

    Args:
        n_atoms: number of atoms.
        volume: expected volume of an atom in a crystal, Å³.
        area: expected area of an atom, Å²; None for the default.
        thickness: largest difference of heights, Å; None for the default.
        vacuum: distance of a layer from its image, Å; None for the default.
        cell: `[3, 3]` Å, a given cell, of which the first two lattice vectors count; or None.

    Raises:
        InputError: a length is not positive, or the vacuum so small that images are neighbors.
    """
    distance = volume ** (1 / 3)
    if thickness is None:
        thickness = THICKNESS_FACTOR * distance
    check_positive("thickness", thickness, "It is in Å, between the lowest and highest atom.")
    if area is None:
        highest = min(thickness, (n_atoms - 1) * distance)  # one atom makes a flat layer
        area = volume / (distance + highest / 2)
    check_positive("area", area, "It is in Å² per atom.")
    if vacuum is None:
        vacuum = VACUUM_FACTOR * distance
    if not check_positive("vacuum", vacuum, "It is in Å.") >= CUTOFF_FACTOR * distance:
        condition = f"be at least {CUTOFF_FACTOR * distance:.2f} Å"
        hint = "At less, a layer and its image are neighbors: search a crystal."
        raise InputError(error_message("vacuum", condition, f"{vacuum:g}", hint))
    if cell is not None:
        return CellFreedom.of_cell("none", plane_cell(cell, thickness + vacuum), thickness)
    return CellFreedom.layer(n_atoms * area, thickness + vacuum, thickness)


def plane_cell(cell: Tensor, height: float) -> Tensor:
    """Return the cell `[3, 3]` Å of a layer with its normal along z, as long as the height.

    The first two lattice vectors are as they are where they lie in the plane of x and y, the second
    one counterclockwise from the first; otherwise the first one is along x.

    Args:
        cell: `[3, 3]` Å, whose first two lattice vectors count.
        height: Å.
    """
    first, second = cell[0], cell[1]
    normal = torch.linalg.cross(first, second)
    found = cell.new_zeros(3, 3)
    found[2, 2] = height
    if not bool(cell[:2, 2].any()) and float(normal[2]) > 0:
        found[:2, :2] = cell[:2, :2]
        return found
    along = first / torch.linalg.vector_norm(first)
    across = torch.linalg.cross(normal / torch.linalg.vector_norm(normal), along)
    found[0, 0] = torch.linalg.vector_norm(first)
    found[1, 0], found[1, 1] = second @ along, second @ across
    return found


def oriented_layer(structure: Structures, height: float) -> Structures:
    """Return a layer with its normal along z, and a third lattice vector of a given height.

    Forces turn with it; the stress is that of the new cell.

    Args:
        structure: one structure that repeats along two lattice vectors.
        height: length of the third lattice vector, Å.

    Raises:
        InputError: it repeats along another number of lattice vectors.
    """
    pbc = structure.pbc[0].tolist()
    if sum(pbc) != 2:
        value = f"{structure.formulas()[0]} with pbc={pbc}"
        hint = "Set pbc=False along the vacuum."
        raise InputError(
            error_message("structures", "be periodic along two lattice vectors", value, hint)
        )
    k = pbc.index(False)
    first, second = structure.cell[0, (k + 1) % 3], structure.cell[0, (k + 2) % 3]
    normal = torch.linalg.cross(first, second)
    normal = normal / torch.linalg.vector_norm(normal)
    along = first / torch.linalg.vector_norm(first)
    axes = torch.stack((along, torch.linalg.cross(normal, along), normal), 1)
    cell = torch.stack((first, second, height * normal)) @ axes
    positions = structure.positions @ axes
    values: dict[str, Tensor] = structure.given_fields() | {
        "positions": positions,
        "cell": cell.unsqueeze(0),
        "pbc": torch.tensor([LAYER], device=cell.device),
    }
    if structure.forces is not None:
        values["forces"] = structure.forces @ axes
    if structure.stress is not None:
        matrix = axes.T @ from_voigt(structure.stress) @ axes
        ratio = volumes(structure) / torch.linalg.det(cell).abs()
        values["stress"] = to_voigt(matrix) * ratio.unsqueeze(-1)
    return Structures.unchecked(**values)


def layer_packing_volume(freedom: CellFreedom, n_atoms: int) -> float:
    """Return the volume that the atoms of a layer may fill, spheres at its faces included, Å³."""
    area = freedom.edge**2
    return area * (freedom.thickness + math.sqrt(area / n_atoms))


def sample_layers(
    freedom: CellFreedom, areas: Tensor, strains: Tensor, points: Tensor, u: Tensor
) -> tuple[Tensor, Tensor]:
    """Return random layers, of all thicknesses up to the largest.

    Args:
        freedom: cells of the space.
        areas: `[n]` Å², areas of the cells.
        strains: `[n, 2, 2]` random numbers of the strains in the plane.
        points: `[n, a, 3]` uniform random numbers.
        u: `[n]` uniform random numbers of the thicknesses.

    Returns:
        fractional coordinates `[n, a, 3]`, and cells `[n, 3, 3]` Å.
    """
    S = (strains + strains.mT) / math.sqrt(2)
    trace = S.diagonal(dim1=-2, dim2=-1).sum(-1)
    S = S - trace.reshape(-1, 1, 1) / 2 * torch.eye(2).to(S)
    H = S.new_zeros(len(areas), 3, 3)
    H[:, :2, :2] = areas.sqrt().reshape(-1, 1, 1) * torch.linalg.matrix_exp(S)
    H[:, 2, 2] = float(freedom.cell[2, 2])
    return within_thickness(freedom, points, u), H


def within_thickness(freedom: CellFreedom, points: Tensor, u: Tensor) -> Tensor:
    """Return points `[n, a, 3]` with heights that differ by up to a part of the thickness.

    Args:
        freedom: cells of the space.
        points: `[n, a, 3]` uniform random numbers.
        u: `[n]` the parts, from 0 to 1.
    """
    height = float(freedom.cell[2, 2])
    z = 0.5 + (points[..., 2:] - 0.5) * (freedom.thickness * u / height).reshape(-1, 1, 1)
    return torch.cat((points[..., :2], z), -1)
