"""Rotation vectors as coordinates: three columns of X that turn a body.

A rotation vector is the axis times the angle in radians. Every rotation is one in the ball of
radius π, and there are no singular points inside: v and v (1 - 2 π / |v|) are the same rotation. A
linear body has no rotation about its axis; of its rotation vectors the shortest is meant.

Notation
    v      [..., 3]   rotation vectors
    w, u   [...], [..., 3]   unit quaternions w + u, with u along the axis
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.errors import check_shape
from bostruct.spaces.random_tensors import normal

SMALLEST = 1e-150
"""Length below which a vector has no direction."""

ROUNDING = 1e-12
"""Component of a rotation vector along the axis of a linear body that is rounding, radians."""


@final
@dataclass(frozen=True, eq=False)
class BodyRotation:
    """Three coordinates that are a rotation vector, and the body that it turns.

    Attributes:
        column: the first of the three coordinates.
        directions: `[3, m]` vectors of the body whose directions matter: the axis `[3, 1]` of a
            linear body; of others three orthogonal ones of length 1 / √2, so that half their
            squared distance after two rotations an angle t apart is 1 - cos t.
    """

    column: int
    directions: Tensor

    def __post_init__(self) -> None:
        check_shape("directions", self.directions, [3, None], "Vectors are columns.")

    @classmethod
    def of_body(cls, column: int, axis: Tensor | None = None) -> BodyRotation:
        """Return the rotation of a body.

        Args:
            column: the first of the three coordinates.
            axis: `[3]` the axis of a linear body, None for others.
        """
        if axis is None:
            return cls(column, torch.eye(3, dtype=torch.float64) / math.sqrt(2))
        unit = axis / torch.linalg.vector_norm(axis)
        return cls(column, unit.to(torch.float64).unsqueeze(-1))

    @property
    def is_linear(self) -> bool:
        """True if the body has no rotation about its axis."""
        return self.directions.shape[1] == 1

    def of(self, X: Tensor) -> Tensor:
        """Return the rotation vectors of X `[..., d]`, `[..., 3]`."""
        return X[..., self.column : self.column + 3]

    def put(self, X: Tensor, v: Tensor) -> Tensor:
        """Return X `[..., d]` with other rotation vectors v `[..., 3]`."""
        return torch.cat((X[..., : self.column], v, X[..., self.column + 3 :]), -1)

    def wrap(self, v: Tensor) -> Tensor:
        """Return the shortest vectors of the same rotations as v `[..., 3]`.

        Of those of a linear body the shortest ones that turn its axis likewise.
        """
        t = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
        shorter = v * (1 - 2 * math.pi * (t / (2 * math.pi)).round() / t.clamp(min=SMALLEST))
        v = torch.where(t > math.pi, shorter, v)
        if not self.is_linear:
            return v
        axis = self.directions[:, 0].to(v)
        shortest = _shortest_rotation(axis, _rotate(v, axis))
        return torch.where((v @ axis).abs().unsqueeze(-1) > ROUNDING, shortest, v)

    def difference(self, A: Tensor, B: Tensor) -> Tensor:
        """Return the shortest rotations, in the frame of space, that lead from B to A, `[..., 3]`.

        Args:
            A: `[..., 3]` rotation vectors.
            B: `[..., 3]` rotation vectors, broadcast with A.
        """
        A, B = torch.broadcast_tensors(A, B)
        if self.is_linear:
            axis = self.directions[:, 0].to(A)
            return _shortest_rotation(_rotate(B, axis), _rotate(A, axis))
        (wa, a), (wb, b) = _quaternions(A), _quaternions(B)
        w = wa * wb + (a * b).sum(-1)
        u = wb.unsqueeze(-1) * a - wa.unsqueeze(-1) * b - torch.linalg.cross(a, b)
        return from_quaternions(w, u)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return rotation vectors uniform over all orientations, `[n, 3]` float64 on the CPU.

        Unit quaternions of normal components are uniform: Shoemake, Graphics Gems III, 124 (1992).
        """
        q = normal((n, 4), generator).cpu()
        return self.wrap(from_quaternions(q[:, 0], q[:, 1:]))


def from_quaternions(w: Tensor, u: Tensor) -> Tensor:
    """Return the rotation vectors of quaternions of any length, `[..., 3]`, at most π long.

    Args:
        w: `[...]` scalar parts.
        u: `[..., 3]` vector parts.
    """
    u = torch.where((w < 0).unsqueeze(-1), -u, u)
    length = torch.linalg.vector_norm(u, dim=-1, keepdim=True)
    angle = 2 * torch.atan2(length, w.abs().unsqueeze(-1))
    v: Tensor = u * (angle / length.clamp(min=SMALLEST))
    return v


def _quaternions(v: Tensor) -> tuple[Tensor, Tensor]:
    """Return the unit quaternions of rotation vectors, scalar and vector parts."""
    half = torch.linalg.vector_norm(v, dim=-1) / 2
    return half.cos(), v * (torch.sinc(half / math.pi) / 2).unsqueeze(-1)


def _rotate(v: Tensor, x: Tensor) -> Tensor:
    """Return a vector x `[3]` rotated by v `[..., 3]`, `[..., 3]`."""
    w, u = _quaternions(v)
    across = 2 * torch.linalg.cross(u, x.expand_as(u))
    rotated: Tensor = x + w.unsqueeze(-1) * across + torch.linalg.cross(u, across)
    return rotated


def _shortest_rotation(x: Tensor, y: Tensor) -> Tensor:
    """Return the shortest rotation vectors that turn unit vectors x to y, `[..., 3]`."""
    x, y = torch.broadcast_tensors(x, y)
    # the quaternion 1 + x.y, x x y, or about any axis across x where y is -x
    w, u = 1 + (x * y).sum(-1), torch.linalg.cross(x, y)
    least = torch.nn.functional.one_hot(x.abs().argmin(-1), 3).to(x)
    is_opposite = (torch.linalg.vector_norm(u, dim=-1) < ROUNDING) & (w < 1)
    u = torch.where(is_opposite.unsqueeze(-1), torch.linalg.cross(x, least), u)
    return from_quaternions(torch.where(is_opposite, torch.zeros_like(w), w), u)
