"""Periodic plane: geometry with two lattice vectors.

Notation
    e1 e2 n   axes of the frame: e1 along the first lattice vector, n out of the plane
    Q         [..., a, 3]  Å   positions along these axes; the third is the height
    L         [2, 2]       Å   rows are the lattice vectors along e1 and e2
    s         [s, 2]       Å   lattice translations of the periodic images
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.spaces.clusters.packing import DISTANCE_FLOOR

RIGHT_ANGLE_TOLERANCE = 1e-12
"""Largest inclination of a second lattice vector at right angles, relative to the first one."""

Components = tuple[Tensor, Tensor, Tensor]
"""Components of vectors, each a tensor: faster to sum than triples."""


@final
@dataclass(frozen=True, eq=False)
class PeriodicPlane:
    """A plane with two lattice vectors.

    Attributes:
        axes: `[3, 3]`, columns are e1, e2, n.
        lattice: `[2, 2]` Å, rows are the lattice vectors along e1 and e2.
        inverse_lattice: `[2, 2]` 1/Å, inverse of the lattice.
        line_spacings: distances between lattice lines of either direction, Å.
        lattice_components: edge, slant and rise in Å, where the lattice vectors are (edge, 0) and
            (slant, rise).
    """

    axes: Tensor
    lattice: Tensor
    inverse_lattice: Tensor
    line_spacings: tuple[float, float]
    lattice_components: tuple[float, float, float]

    @classmethod
    def from_cell(cls, cell: Tensor) -> PeriodicPlane:
        """Return the plane of the first two lattice vectors of a cell `[3, 3]` Å.

        n points to the side of the third one where there is one, else upwards, along z.
        """
        first, second, third = cell
        normal = torch.linalg.cross(first, second)
        normal = normal / torch.linalg.vector_norm(normal)
        is_down = third @ normal < 0 if third.any() else normal[2] < -RIGHT_ANGLE_TOLERANCE
        if is_down:
            normal = -normal
        along = first / torch.linalg.vector_norm(first)
        axes = torch.stack((along, torch.linalg.cross(normal, along), normal), 1)
        lattice = (cell[:2] @ axes)[:, :2]
        inverse = torch.linalg.inv(lattice)
        spacings = (1 / torch.linalg.vector_norm(inverse, dim=0)).tolist()
        edge, slant, rise = (float(lattice[i, j]) for i, j in ((0, 0), (1, 0), (1, 1)))
        if abs(slant) < RIGHT_ANGLE_TOLERANCE * edge:
            slant = 0.0
        return cls(axes, lattice, inverse, (spacings[0], spacings[1]), (edge, slant, rise))

    def to(self, device: torch.device, dtype: torch.dtype) -> PeriodicPlane:
        """Return the plane on another device, or in another dtype."""
        tensors = (self.axes, self.lattice, self.inverse_lattice)
        axes, lattice, inverse = (value.to(device, dtype) for value in tensors)
        return PeriodicPlane(axes, lattice, inverse, self.line_spacings, self.lattice_components)

    def translations(self, cutoff: float) -> Tensor:
        """Return lattice translations, `[s, 2]` Å, the first of them zero.

        They include every image of a wrapped vector that is shorter than `cutoff`.
        """
        # fractional coordinates of wrapped vectors are up to a half, and those of a
        # vector of length r up to r / spacing
        first, second = (math.floor(cutoff / spacing + 0.5) for spacing in self.line_spacings)
        steps = [(i, j) for i in range(-first, first + 1) for j in range(-second, second + 1)]
        steps.sort(key=lambda step: (abs(step[0]) + abs(step[1]), step))
        return self.lattice.new_tensor(steps) @ self.lattice

    def wrap(self, Q: Tensor, margin: float = 0.0) -> Tensor:
        """Return positions `[..., 3]` moved into the cell that starts at the origin.

        Positions outside by less than `margin`, in lattice vectors, stay: an atom that vibrates
        about the border should not jump.
        """
        lateral = Q[..., :2]
        fraction = lateral @ self.inverse_lattice
        outside = (fraction < -margin) | (fraction >= 1 + margin)
        shift = torch.where(outside, fraction.floor(), 0.0) @ self.lattice
        return torch.cat((lateral - shift, Q[..., 2:]), -1)

    def displacements(self, A: Tensor, B: Tensor, shifts: Tensor) -> Components:
        """Return the vectors from the images of atoms B to atoms A.

        Args:
            A: `[..., f, 3]` Å along the axes.
            B: `[..., a, 3]` Å along the axes.
            shifts: `[s, 2]` Å lattice translations, see `translations`.

        Returns:
            x and y `[..., f, a, s]`, and the height `[..., f, a, 1]`, in Å. The vector of the first
            translation is wrapped.
        """
        # component by component: products of many small matrices are slow
        x, y, z = (
            a.unsqueeze(-1) - b.unsqueeze(-2)
            for a, b in zip(A.unbind(-1), B.unbind(-1), strict=True)
        )
        edge, slant, rise = self.lattice_components
        lines = (y / rise).round_()
        y = y - rise * lines
        if slant:
            x = x - slant * lines
            x = x - edge * ((x - slant / rise * y) / edge).round_()
        else:
            x = x - edge * (x / edge).round_()
        x, y, z = x.unsqueeze(-1), y.unsqueeze(-1), z.unsqueeze(-1)
        if len(shifts) == 1:  # zero
            return x, y, z
        return x - shifts[:, 0], y - shifts[:, 1], z


def displacement_norms(components: Components) -> Tensor:
    """Return the length of vectors given by their components, never quite zero."""
    x, y, z = components
    return (x.square() + y.square() + z.square()).sqrt().clamp(min=DISTANCE_FLOOR)


def is_self_pair(n_free: int, n_atoms: int, shifts: Tensor) -> Tensor:
    """Return which pairs are an atom and itself, without translation, `[f, a, s]` bool.

    The first f of the a atoms are the first ones of the pairs; the first translation is zero.
    """
    equal = torch.eye(n_free, n_atoms, dtype=torch.bool, device=shifts.device).unsqueeze(-1)
    return equal & (torch.arange(len(shifts), device=shifts.device) == 0)
