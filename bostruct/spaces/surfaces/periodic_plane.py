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

from bostruct.spaces.clusters.packing import TINY

STRAIGHT = 1e-12
"""Of an edge: a second lattice vector leaning by less stands at right angles."""

Parts = tuple[Tensor, Tensor, Tensor]
"""The components of vectors, each a tensor: faster to add up than triples."""


@final
@dataclass(frozen=True, eq=False)
class Plane:
    """A plane with two lattice vectors.

    Attributes:
        frame: `[3, 3]`, columns are e1, e2, n.
        lattice: `[2, 2]` Å, see L above.
        dual: `[2, 2]` 1/Å, the inverse of L.
        heights: the distances between lattice lines, Å, of either direction.
        edges: the numbers of L in Å: the rows are (edge, 0) and (slant, rise).
    """

    frame: Tensor
    lattice: Tensor
    dual: Tensor
    heights: tuple[float, float]
    edges: tuple[float, float, float]

    @classmethod
    def of(cls, cell: Tensor) -> Plane:
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
        if abs(slant) < STRAIGHT * edge:
            slant = 0.0
        return cls(frame, lattice, dual, (lines[0], lines[1]), (edge, slant, rise))

    def to(self, device: torch.device, dtype: torch.dtype) -> Plane:
        """Return the plane on another device, or in another dtype."""
        tensors = (self.frame, self.lattice, self.dual)
        frame, lattice, dual = (value.to(device, dtype) for value in tensors)
        return Plane(frame, lattice, dual, self.heights, self.edges)

    def translations(self, reach: float) -> Tensor:
        """Return lattice translations, `[s, 2]` Å, the first of them zero.

        Of a wrapped vector, every image shorter than `reach` is among them.
        """
        # fractional coordinates of wrapped vectors are up to a half, and those of a
        # vector of length r up to r / height
        first, second = (math.floor(reach / height + 0.5) for height in self.heights)
        steps = [
            (i, j) for i in range(-first, first + 1) for j in range(-second, second + 1)
        ]
        steps.sort(key=lambda step: (abs(step[0]) + abs(step[1]), step))
        return self.lattice.new_tensor(steps) @ self.lattice

    def wrapped(self, Q: Tensor, margin: float = 0.0) -> Tensor:
        """Return positions `[..., 3]` moved into the cell that starts at the origin.

        What is outside by less than `margin`, in lattice vectors, stays there: an atom
        that stands on the border and shakes should not jump.
        """
        flat = Q[..., :2]
        fraction = flat @ self.dual
        far = (fraction < -margin) | (fraction >= 1 + margin)
        whole = torch.where(far, fraction.floor(), 0.0) @ self.lattice
        return torch.cat((flat - whole, Q[..., 2:]), -1)

    def gaps(self, A: Tensor, B: Tensor, shifts: Tensor) -> Parts:
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
        edge, slant, rise = self.edges  # the lattice vectors (edge, 0), (slant, rise)
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


def norm(parts: Parts) -> Tensor:
    """Return the length of vectors given by their components, never quite zero."""
    x, y, z = parts
    return (x.square() + y.square() + z.square()).sqrt().clamp(min=TINY)


def itself(f: int, a: int, shifts: Tensor) -> Tensor:
    """Return which gap is that of an atom to itself, `[f, a, s]` bool.

    The first f of the a atoms are those that are looked from; the first shift is zero.
    """
    own = torch.eye(f, a, dtype=torch.bool, device=shifts.device).unsqueeze(-1)
    here = torch.arange(len(shifts), device=shifts.device) == 0
    return own & here
