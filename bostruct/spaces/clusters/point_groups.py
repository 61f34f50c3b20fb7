"""Point groups, and the kinds of places there are in them.

An atom at a general place has as many images as its group has operations. On an axis,
on a mirror plane or in the centre they fall together, and fewer equal atoms will do.

Notation
    G   [g, 3, 3]   operations of a group, the identity first
    orbit           all images of one place
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import final

import torch
from torch import Tensor

OPERATION_TOLERANCE = 1e-6
"""Operations, and images of a place near the centre, that differ by less are one."""

POLYHEDRAL_GROUPS = ("T", "Td", "Th", "O", "Oh", "I", "Ih")
"""Groups without a direction of their own."""

POINT_GROUPS = (
    *("Cs", "Ci", "C2", "C3", "C4", "C5", "C6"),
    *("C2v", "C3v", "C4v", "C5v", "C6v", "C2h", "C3h"),
    *("D2", "D3", "D4", "D5", "D6", "D2h", "D3h", "D4h", "D5h", "D6h"),
    *("D2d", "D3d", "D4d", "D5d", "D6d"),
    *POLYHEDRAL_GROUPS,
)
"""The groups, by their Schoenflies symbols. The main axis, if any, is z."""

GENERAL_POSITION = (0.31, 0.47, 0.83)
"""A place that no operation of these groups leaves where it is."""


@final
@dataclass(frozen=True, eq=False)
class WyckoffPosition:
    """All places of one kind: on axes, on planes, in the centre, or anywhere.

    Attributes:
        projection: `[3, 3]`, projects onto one of these axes or planes.
        operations: `[m, 3, 3]`, operations that take a place there to its orbit.
    """

    projection: Tensor
    operations: Tensor

    @property
    def multiplicity(self) -> int:
        """How many atoms an orbit takes."""
        return len(self.operations)

    @property
    def is_center(self) -> bool:
        """Whether it is but one point, the centre."""
        return not bool(self.projection.any())


@cache
def wyckoff_positions(group: str) -> tuple[WyckoffPosition, ...]:
    """Return the kinds of places of a group, the centre first and general ones last."""
    G = group_operations(group)
    one = _identity()
    found = []
    if G.mean(0).abs().max() < OPERATION_TOLERANCE:  # it leaves no direction as it is
        found.append(WyckoffPosition(torch.zeros_like(one), one.unsqueeze(0)))
    fixed: list[Tensor] = []
    for R in G:
        onto = _fixed_subspace(R)
        if onto is None or any(_contains_operation(G @ onto @ G.mT, other) for other in fixed):
            continue
        fixed.append(onto)
        found.append(_wyckoff_position(G, onto))
    return (*found, _wyckoff_position(G, one))


@cache
def group_operations(group: str) -> Tensor:
    """Return the operations of a group, `[g, 3, 3]` float64, the identity first."""
    return generate_group(_generators(group))


def generate_group(generators: Sequence[Tensor]) -> Tensor:
    """Return all products of some operations, `[g, 3, 3]`."""
    found = [_identity()]
    for R in found:  # grows
        for S in generators:
            if not _contains_operation(torch.stack(found), S @ R):
                found.append(S @ R)
    return torch.stack(found)


def _fixed_subspace(R: Tensor) -> Tensor | None:
    """Return the projection onto the axis or the mirror plane of an operation."""
    trace = float(R.trace())
    if torch.linalg.det(R) > 0:
        # a turn by t about u is symmetrised to cos t 1 + (1 - cos t) u u^T
        cos = (trace - 1) / 2
        return (
            ((R + R.T) / 2 - cos * _identity()) / (1 - cos)
            if cos < 1 - OPERATION_TOLERANCE
            else None
        )
    return (_identity() + R) / 2 if trace > 1 - OPERATION_TOLERANCE else None


def _wyckoff_position(G: Tensor, projection: Tensor) -> WyckoffPosition:
    places = G @ projection @ projection.new_tensor(GENERAL_POSITION)
    same = (places.unsqueeze(1) - places).abs().amax(-1) < OPERATION_TOLERANCE  # [g, g]
    first = same.to(torch.int64).argmax(-1)
    return WyckoffPosition(projection, G[first == torch.arange(len(G))])


def _contains_operation(operations: Tensor, operation: Tensor) -> bool:
    return bool(((operations - operation).abs().amax((-1, -2)) < OPERATION_TOLERANCE).any())


def _generators(group: str) -> list[Tensor]:
    if group in POLYHEDRAL_GROUPS:
        return _polyhedral_generators(group)
    mirror = _diagonal(1, 1, -1)
    if group == "Cs":
        return [mirror]
    if group == "Ci":
        return [-_identity()]
    n = int(group[1])
    found = [_rotation((0, 0, 1), n)]
    if group[0] == "D":
        found.append(_diagonal(1, -1, -1))
    if group[2:] == "v":
        found.append(_diagonal(-1, 1, 1))
    if group[2:] == "h":
        found.append(mirror)
    if group[2:] == "d":
        found.append(_rotation((0, 0, 1), 2 * n) @ mirror)
    return found


def _polyhedral_generators(group: str) -> list[Tensor]:
    found = [_identity()[[1, 2, 0]], _diagonal(-1, -1, 1)]  # the group T
    if group[0] == "O":
        found.append(_rotation((0, 0, 1), 4))
    if group[0] == "I":
        found.append(_rotation((0, 1, (1 + math.sqrt(5)) / 2), 5))
    if group == "Td":
        found.append(_identity()[[1, 0, 2]])
    if group[1:] == "h":
        found.append(-_identity())
    return found


def _identity() -> Tensor:
    return torch.eye(3, dtype=torch.float64)


def _diagonal(*values: float) -> Tensor:
    return torch.diag(torch.tensor(values, dtype=torch.float64))


def _rotation(axis: Sequence[float], n: int) -> Tensor:
    """Return the turn by an n-th about an axis (Rodrigues)."""
    u = torch.tensor(axis, dtype=torch.float64)
    x, y, z = (u / torch.linalg.vector_norm(u)).tolist()
    K = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    angle = 2 * math.pi / n
    return _identity() + math.sin(angle) * K + (1 - math.cos(angle)) * K @ K
