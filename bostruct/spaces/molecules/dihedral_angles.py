"""Dihedral angles: computed, and changed by rotations about bonds.

Notation
    a, t      atoms, torsions
    P         [..., a, 3]  Å   positions
    torsions  [t, 4]           atoms i, j, k, l of each dihedral; k - l and what hangs on it turns
    sides     [t, a]           which atoms a torsion moves
"""

from __future__ import annotations

import torch
from torch import Tensor

AXIS_FLOOR = 1e-12
"""Å. Keeps the direction of a bond finite where its atoms coincide."""


def dihedral_angles(P: Tensor, torsions: Tensor) -> Tensor:
    """Return the dihedral angles of torsions, `[..., t]` in radians from -π to π.

    The sign is that of IUPAC: positive if the bond k - l is clockwise of i - j, seen along j - k.
    Differentiable where no three atoms are in line.
    """
    i, j, k, m = (P[..., atoms, :] for atoms in torsions.to(P.device).unbind(-1))
    b1, b2, b3 = j - i, k - j, m - k
    n1, n2 = torch.linalg.cross(b1, b2), torch.linalg.cross(b2, b3)
    # tan φ = |b2| b1 . (b2 x b3) / (b1 x b2) . (b2 x b3)
    y = torch.linalg.vector_norm(b2, dim=-1) * (b1 * n2).sum(-1)
    x = (n1 * n2).sum(-1)
    angles: Tensor = torch.atan2(y, x)
    return angles


def rotate_about(P: Tensor, origin: Tensor, axis: Tensor, angle: Tensor) -> Tensor:
    """Return positions rotated about a line.

    Args:
        P: `[..., a, 3]` Å.
        origin: `[..., 3]` Å, a point on the line.
        axis: `[..., 3]` direction of the line, of any length.
        angle: `[...]` radians, counterclockwise seen against the axis.
    """
    length = torch.linalg.vector_norm(axis, dim=-1, keepdim=True).clamp(min=AXIS_FLOOR)
    u = (axis / length).unsqueeze(-2).expand_as(P)
    arms = P - origin.unsqueeze(-2)
    cos, sin = (f(angle).unsqueeze(-1).unsqueeze(-1) for f in (torch.cos, torch.sin))
    # Rodrigues: x cos + (u x x) sin + u (u.x) (1 - cos)
    along = (u * arms).sum(-1, keepdim=True)
    turned: Tensor = arms * cos + torch.linalg.cross(u, arms) * sin + u * along * (1 - cos)
    return turned + origin.unsqueeze(-2)


def turn_torsions(P: Tensor, torsions: Tensor, sides: Tensor, changes: Tensor) -> Tensor:
    """Return positions with every dihedral changed by an angle.

    Bond lengths, bond angles and all other dihedrals stay. Differentiable.

    Args:
        P: `[..., a, 3]` Å.
        torsions: `[t, 4]` int64.
        sides: `[t, a]` bool.
        changes: `[..., t]` radians, added to the dihedrals.
    """
    for (_, j, k, _), side, change in zip(
        torsions.tolist(), sides.to(P.device), changes.unbind(-1), strict=True
    ):
        turned = rotate_about(P, P[..., k, :], P[..., k, :] - P[..., j, :], change)
        P = torch.where(side.unsqueeze(-1), turned, P)
    return P
