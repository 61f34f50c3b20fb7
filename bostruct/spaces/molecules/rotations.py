"""Rotations: uniform random ones, and rotation vectors as matrices.

Notation
    R   [..., 3, 3]   rotation matrices; positions are rows, so that x becomes x Rᵀ
    v   [..., 3]      rotation vectors: the axis times the angle in radians
"""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces.random_tensors import normal

SMALL_ANGLE_SQUARED = 1e-4
"""Squared angle in radians² below which the series of sine and cosine are exact to 10⁻¹³."""


def random_rotations(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return rotation matrices uniform over all orientations, `[*shape, 3, 3]`.

    Unit quaternions of normal components are uniform: Shoemake, Graphics Gems III, 124 (1992).
    """
    q = normal((*shape, 4), generator)
    w, x, y, z = (q / torch.linalg.vector_norm(q, dim=-1, keepdim=True)).unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def rotation_matrices(v: Tensor) -> Tensor:
    """Return the matrices of rotation vectors v `[..., 3]`, `[..., 3, 3]`, differentiable.

    Rodrigues' formula R = 1 + (sin t / t) K + ((1 - cos t) / t²) K², K x = v x x, t = |v|, with
    series for small angles, so that derivatives at zero are right too.
    """
    square = v.square().sum(-1)
    is_small = square < SMALL_ANGLE_SQUARED
    safe = torch.where(is_small, 1.0, square)
    t = safe.sqrt()
    first = torch.where(is_small, 1 - square / 6 + square**2 / 120, t.sin() / t)
    second = torch.where(is_small, 0.5 - square / 24 + square**2 / 720, (1 - t.cos()) / safe)
    K = _cross_matrices(v)
    eye = torch.eye(3, dtype=v.dtype, device=v.device)
    first, second = (value.unsqueeze(-1).unsqueeze(-1) for value in (first, second))
    R: Tensor = eye + first * K + second * (K @ K)
    return R


def rotation_jacobians(v: Tensor) -> Tensor:
    """Return the left Jacobian J of rotations by v `[..., 3]`, `[..., 3, 3]`.

    A rotation vector v + e turns by J e more, so that the derivative of R x by the component i of v
    is J_i x R x, with J_i the column i of

        J = 1 + ((1 - cos t) / t²) K + ((t - sin t) / t³) K²,   K x = v x x,   t = |v|

    Solà, Deray and Atchuthan, A micro Lie theory, arXiv:1812.01537, equation (145).
    """
    square = v.square().sum(-1)
    is_small = square < SMALL_ANGLE_SQUARED
    safe = torch.where(is_small, 1.0, square)
    t = safe.sqrt()
    first = torch.where(is_small, 0.5 - square / 24 + square**2 / 720, (1 - t.cos()) / safe)
    series = 1 / 6 - square / 120 + square**2 / 5040
    second = torch.where(is_small, series, (t - t.sin()) / (safe * t))
    first, second = (value.unsqueeze(-1).unsqueeze(-1) for value in (first, second))
    K = _cross_matrices(v)
    eye = torch.eye(3, dtype=v.dtype, device=v.device)
    J: Tensor = eye + first * K + second * (K @ K)
    return J


def _cross_matrices(v: Tensor) -> Tensor:
    """Return K with K x = v x x, `[..., 3, 3]`."""
    x, y, z = v.unbind(-1)
    zero = torch.zeros_like(x)
    K: Tensor = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1).unflatten(-1, (3, 3))
    return K
