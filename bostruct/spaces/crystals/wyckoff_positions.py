"""Wyckoff positions of space groups and layer groups, in primitive cells.

A point at a general position has as many images in a primitive cell as its point group has
operations. On an axis, on a plane or in a center of symmetry they coincide, and fewer equal atoms
make up an orbit. Tables are those of PyXtal, in the standard setting of the International Tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import final

import torch
from torch import Tensor

N_SPACE_GROUPS, N_LAYER_GROUPS = 230, 80
"""Numbers of space groups and of layer groups; they count from 1."""

CRYSTAL_SYSTEMS = {
    2: "triclinic",
    15: "monoclinic",
    74: "orthorhombic",
    142: "tetragonal",
    194: "hexagonal",
    230: "cubic",
}
"""Crystal systems, by the number of their last space group."""

PLANE_SYSTEMS = {7: "oblique", 48: "rectangular", 64: "square", 80: "hexagonal plane"}
"""Crystal systems of layers, by the number of their last layer group."""

COINCIDENCE_TOLERANCE = 1e-6
"""Largest difference between fractional coordinates of coinciding images of a point."""

GENERAL_POINT = (0.1234, 0.3571, 0.7817)
"""Coordinates of a point that no operation leaves in place."""

PRIMITIVE_CELLS = {
    "P": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "A": ((1, 0, 0), (0, 1 / 2, -1 / 2), (0, 1 / 2, 1 / 2)),
    "C": ((1 / 2, 1 / 2, 0), (-1 / 2, 1 / 2, 0), (0, 0, 1)),
    "I": ((-1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (1 / 2, 1 / 2, -1 / 2)),
    "F": ((0, 1 / 2, 1 / 2), (1 / 2, 0, 1 / 2), (1 / 2, 1 / 2, 0)),
    "R": ((2 / 3, 1 / 3, 1 / 3), (-1 / 3, 1 / 3, 1 / 3), (-1 / 3, -2 / 3, 1 / 3)),
}
"""Vectors of a primitive cell in those of the conventional one, by the letter of the centring."""


@final
@dataclass(frozen=True, eq=False)
class WyckoffPosition:
    """All points with equivalent site symmetry.

    Attributes:
        letter: Wyckoff letter.
        rotations: `[m, 3, 3]`, see `translations`.
        translations: `[m, 3]`: the orbit of a point x, in coordinates of the conventional cell, is
            `x @ rotations + translations` in fractional coordinates of the primitive cell.
        is_fixed: true if there is one orbit only, which is the same for all x.
    """

    letter: str
    rotations: Tensor
    translations: Tensor
    is_fixed: bool

    @property
    def multiplicity(self) -> int:
        """The number of atoms of an orbit in a primitive cell."""
        return len(self.rotations)

    def orbit(self, x: Tensor) -> Tensor:
        """Return the orbit of points x `[..., 3]`, `[..., m, 3]`."""
        orbit: Tensor = (x.unsqueeze(-2).unsqueeze(-2) @ self.rotations).squeeze(-2)
        return orbit + self.translations


@final
@dataclass(frozen=True, eq=False)
class SpaceGroup:
    """One of the space groups, or of the layer groups.

    Attributes:
        number: number in the International Tables, volume A, or E of a layer group.
        primitive_cell: `[3, 3]` vectors of a primitive cell in those of the conventional one.
        positions: Wyckoff positions, the general one first.
        is_layer: true for a layer group, whose operations leave the third coordinate as it is, or
            turn it around.
    """

    number: int
    primitive_cell: Tensor
    positions: tuple[WyckoffPosition, ...]
    is_layer: bool = False

    @property
    def crystal_system(self) -> str:
        """The crystal system, which tells how the conventional cell may be strained.

        "triclinic", "monoclinic" (unique axis b), "orthorhombic", "tetragonal", "hexagonal" (also
        trigonal, in hexagonal axes) or "cubic"; of layers "oblique", "rectangular", "square" or
        "hexagonal plane".
        """
        systems = PLANE_SYSTEMS if self.is_layer else CRYSTAL_SYSTEMS
        return next(name for end, name in systems.items() if self.number <= end)


@cache
def space_group(number: int, is_layer: bool = False) -> SpaceGroup:
    """Return a space group by its number from 1 to 230, or a layer group by one from 1 to 80."""
    from pyxtal.symmetry import Group

    group = Group(number, dim=2 if is_layer else 3)
    cell = torch.tensor(PRIMITIVE_CELLS[group.symbol[0].upper()], dtype=torch.float64)
    inverse = torch.linalg.inv(cell)
    positions = []
    for table in group.Wyckoff_positions:
        matrices = [operation.affine_matrix for operation in table.ops]
        affine = torch.stack([torch.as_tensor(matrix) for matrix in matrices]).double()
        # column vectors of the table become rows
        rotations = affine[:, :3, :3].mT @ inverse
        translations = affine[:, :3, 3] @ inverse
        rows = _distinct_rows(translations + torch.tensor(GENERAL_POINT).double() @ rotations)
        positions.append(
            WyckoffPosition(
                letter=str(table.letter),
                rotations=rotations[rows],
                translations=translations[rows],
                is_fixed=not bool(rotations.abs().max() > COINCIDENCE_TOLERANCE),
            )
        )
    return SpaceGroup(number, cell, tuple(positions), is_layer)


def _distinct_rows(F: Tensor) -> list[int]:
    """Return the indices of points `[m, 3]` that are not images of one before."""
    difference = F.unsqueeze(1) - F
    distance = (difference - difference.round()).abs().amax(-1)
    coincide = (distance < COINCIDENCE_TOLERANCE).tril(-1).any(-1)
    return [k for k, is_image in enumerate(coincide.tolist()) if not is_image]
