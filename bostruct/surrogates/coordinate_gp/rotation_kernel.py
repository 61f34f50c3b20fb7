"""Kernel of rotations of a body, with derivatives by rotation vectors.

    k = exp(-s),   s = |Z - Z'|² / (2 l²),   Z = R(v) A

where the columns of A are directions of the body and R(v) is the matrix of a rotation vector. Of
three orthogonal directions of length 1 / √2 it is s = (1 - cos t) / l² with the angle t between two
rotations, the periodic kernel of `coordinate_kernel` and a Gaussian of the distance of q qᵀ, with q
the unit quaternions. Vectors of one rotation have equal values, and derivatives that agree; of a
linear body, whose one direction is its axis, so have those that differ by a turn about it.

Notation
    n, m, c   points, other points, directions
    v, w      [n, 3], [m, 3]    rotation vectors in radians
    Z         [..., 3, c]       directions after the rotation
    dZ        [..., 3, c, 3]    derivatives of Z by v, the last index
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from bostruct.spaces.molecules.rotations import rotation_jacobians, rotation_matrices


class RotationSlopes(NamedTuple):
    """Derivatives of the exponent s of n points with m others.

    Attributes:
        left: `[..., n, m, 3]` by the vectors of the points.
        right: `[..., n, m, 3]` by those of the others.
        mixed: `[..., n, m, 3, 3]` by both, the points first.
    """

    left: Tensor
    right: Tensor
    mixed: Tensor


class RotationKernel(NamedTuple):
    """The rotation among coordinates.

    Attributes:
        column: the first of its three coordinates, whose range is from 0 to 2 π.
        directions: `[3, c]` of the body, see `BodyRotation`.
    """

    column: int
    directions: Tensor

    def vectors(self, U: Tensor) -> Tensor:
        """Return the rotation vectors of points U `[..., d]`, `[..., 3]`."""
        return U[..., self.column : self.column + 3] - math.pi

    def squared_distances(self, U: Tensor, V: Tensor) -> Tensor:
        """Return |Z - Z'|² / 2 of U `[..., n, d]` and V `[..., m, d]`, `[..., n, m]`.

        Differentiable.
        """
        A, B = self._directions(U), self._directions(V)
        return 0.5 * (A.unsqueeze(-3) - B.unsqueeze(-4)).square().sum((-2, -1))

    def right_slopes(self, U: Tensor, V: Tensor) -> Tensor:
        """Return the derivatives of `squared_distances` by the vectors of V `[..., n, m, 3]`.

        Differentiable in U.
        """
        A, B = self._directions(U), self._directions(V)
        away = B.unsqueeze(-4) - A.unsqueeze(-3)
        return torch.einsum("...nmac,...maci->...nmi", away, self._derivatives(V, B))

    def slopes(self, U: Tensor, V: Tensor) -> RotationSlopes:
        """Return all derivatives of `squared_distances`."""
        A, B = self._directions(U), self._directions(V)
        dA, dB = self._derivatives(U, A), self._derivatives(V, B)
        away = A.unsqueeze(-3) - B.unsqueeze(-4)
        left = torch.einsum("...nmac,...naci->...nmi", away, dA)
        right = -torch.einsum("...nmac,...maci->...nmi", away, dB)
        mixed = -torch.einsum("...naci,...macj->...nmij", dA, dB)
        return RotationSlopes(left, right, mixed)

    def _directions(self, U: Tensor) -> Tensor:
        """Return Z `[..., 3, c]`."""
        Z: Tensor = rotation_matrices(self.vectors(U)) @ self.directions
        return Z

    def _derivatives(self, U: Tensor, Z: Tensor) -> Tensor:
        """Return dZ `[..., 3, c, 3]`."""
        J = rotation_jacobians(self.vectors(U)).unsqueeze(-2)  # [..., 3, 1, 3]
        J, Z = torch.broadcast_tensors(J, Z.unsqueeze(-1))
        dZ: Tensor = torch.linalg.cross(J, Z, dim=-3)
        return dZ
