"""Geometry that repeats in a plane.

Notation
    e1 e2 n   axes of the frame: e1 along the first lattice vector, n out of the plane
    Q         [..., a, 3]  Å   positions along these axes; the third is the height
    L         [2, 2]       Å   rows are the lattice vectors along e1 and e2
    s         [s, 2]       Å   lattice translations that are looked at
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.spaces.clusters.packing import DISTANCE_FLOOR

RIGHT_ANGLE_TOLERANCE = 1e-12
"""Of an edge: a second lattice vector leaning by less stands at right angles."""

Components = tuple[Tensor, Tensor, Tensor]
"""The components of vectors, each a tensor: faster to add up than triples."""


@final
@dataclass(frozen=True, eq=False)
class PeriodicPlane:
    """A plane with two lattice vectors.

    Attributes:
        axes: `[3, 3]`, columns are e1, e2, n.
        lattice: `[2, 2]` Å, see L above.
        inverse_lattice: `[2, 2]` 1/Å, the inverse of L.
        line_spacings: the distances between lattice lines, Å, of either direction.
        lattice_components: the numbers of L in Å: the rows are (edge, 0) and (slant, rise).
    """

    axes: Tensor
    lattice: Tensor
    inverse_lattice: Tensor
    line_spacings: tuple[float, float]
    lattice_components: tuple[float, float, float]

    @classmethod
    def from_cell(cls, cell: Tensor) -> PeriodicPlane:
        """Return the plane of the first two lattice vectors of a cell `[3, 3]` Å.

        n points to the side of the third one where there is one.
        """
        first, second, third = cell
        normal = torch.linalg.cross(first, second)
        normal = normal / torch.linalg.vector_norm(normal)
        if third @ normal < 0:
            normal = -normal
        along = first / torch.linalg.vector_norm(first)
        frame = torch.stack((along, torch.linalg.cross(normal, along), normal), 1)
        lattice = (cell[:2] @ frame)[:, :2]
        dual = torch.linalg.inv(lattice)
        lines = (1 / torch.linalg.vector_norm(dual, dim=0)).tolist()
        edge, slant, rise = (float(lattice[i, j]) for i, j in ((0, 0), (1, 0), (1, 1)))
        if abs(slant) < RIGHT_ANGLE_TOLERANCE * edge:
            slant = 0.0
        return cls(frame, lattice, dual, (lines[0], lines[1]), (edge, slant, rise))

    def to(self, device: torch.device, dtype: torch.dtype) -> PeriodicPlane:
        """Return the plane on another device, or in another dtype."""
        tensors = (self.axes, self.lattice, self.inverse_lattice)
        frame, lattice, dual = (value.to(device, dtype) for value in tensors)
        return PeriodicPlane(frame, lattice, dual, self.line_spacings, self.lattice_components)

    def translations(self, cutoff: float) -> Tensor:
        """Return lattice translations, `[s, 2]` Å, the first of them zero.

        Of a wrapped vector, every image shorter than `cutoff` is among them.
        """
        # fractional coordinates of wrapped vectors are up to a half, and those of a
        # vector of length r up to r / height
        first, second = (math.floor(cutoff / height + 0.5) for height in self.line_spacings)
        steps = [(i, j) for i in range(-first, first + 1) for j in range(-second, second + 1)]
        steps.sort(key=lambda step: (abs(step[0]) + abs(step[1]), step))
        return self.lattice.new_tensor(steps) @ self.lattice

    def wrap(self, Q: Tensor, margin: float = 0.0) -> Tensor:
        """Return positions `[..., 3]` moved into the cell that starts at the origin.

        What is outside by less than `margin`, in lattice vectors, stays there: an atom
        that stands on the border and shakes should not jump.
        """
        flat = Q[..., :2]
        fraction = flat @ self.inverse_lattice
        far = (fraction < -margin) | (fraction >= 1 + margin)
        whole = torch.where(far, fraction.floor(), 0.0) @ self.lattice
        return torch.cat((flat - whole, Q[..., 2:]), -1)

    def displacements(self, A: Tensor, B: Tensor, shifts: Tensor) -> Components:
        """Return the vectors from the images of atoms B to atoms A.

        Args:
            A: `[..., f, 3]` Å along the axes.
            B: `[..., a, 3]`.
            shifts: `[s, 2]` Å, see `translations`.

        Returns:
            x and y `[..., f, a, s]`, and the height `[..., f, a, 1]`, in Å. That of the
            first translation is wrapped.
        """
        # component by component: products of many small matrices are slow
        x, y, z = (
            one.unsqueeze(-1) - two.unsqueeze(-2)
            for one, two in zip(A.unbind(-1), B.unbind(-1), strict=True)
        )
        edge, slant, rise = self.lattice_components  # the lattice vectors (edge, 0), (slant, rise)
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
    """Return which gap is that of an atom to itself, `[f, a, s]` bool.

    The first f of the a atoms are those that are looked from; the first shift is zero.
    """
    own = torch.eye(n_free, n_atoms, dtype=torch.bool, device=shifts.device).unsqueeze(-1)
    here = torch.arange(len(shifts), device=shifts.device) == 0
    return own & here
