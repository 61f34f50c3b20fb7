"""Point groups, and their Wyckoff positions.

A point at a general position has as many images as its group has operations. On an axis, on a
mirror plane or in the center they coincide, and fewer equal atoms make up an orbit.

Notation
    G   [g, 3, 3]   operations of a group, the identity first
    orbit           all images of one point
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
"""Largest difference between equal operations, and between coinciding images of a point."""

POLYHEDRAL_GROUPS = ("T", "Td", "Th", "O", "Oh", "I", "Ih")
"""Groups without a main axis."""

POINT_GROUPS = (
    *("Cs", "Ci", "C2", "C3", "C4", "C5", "C6"),
    *("C2v", "C3v", "C4v", "C5v", "C6v", "C2h", "C3h"),
    *("D2", "D3", "D4", "D5", "D6", "D2h", "D3h", "D4h", "D5h", "D6h"),
    *("D2d", "D3d", "D4d", "D5d", "D6d"),
    *POLYHEDRAL_GROUPS,
)
"""Schoenflies symbols of the groups. The main axis, if any, is z."""

GENERAL_POSITION = (0.31, 0.47, 0.83)
"""A point that no operation of these groups leaves in place."""


@final
@dataclass(frozen=True, eq=False)
class WyckoffPosition:
    """All points with equivalent site symmetry: on axes, on planes, in the center, or general.

    Attributes:
        projection: `[3, 3]` projection onto one of these axes or planes.
        operations: `[m, 3, 3]` operations that map a point there to its orbit.
    """

    projection: Tensor
    operations: Tensor

    @property
    def multiplicity(self) -> int:
        """The number of atoms in an orbit."""
        return len(self.operations)

    @property
    def is_center(self) -> bool:
        """True if it is a single point, the center."""
        return not bool(self.projection.any())


@cache
def wyckoff_positions(group: str) -> tuple[WyckoffPosition, ...]:
    """Return the Wyckoff positions of a group, the center first and the general one last."""
    G = group_operations(group)
    identity = _identity()
    positions = []
    if G.mean(0).abs().max() < OPERATION_TOLERANCE:  # no direction is invariant
        positions.append(WyckoffPosition(torch.zeros_like(identity), identity.unsqueeze(0)))
    projections: list[Tensor] = []
    for R in G:
        onto = _fixed_subspace(R)
        if onto is None or any(_contains_operation(G @ onto @ G.mT, p) for p in projections):
            continue
        projections.append(onto)
        positions.append(_wyckoff_position(G, onto))
    return (*positions, _wyckoff_position(G, identity))


@cache
def group_operations(group: str) -> Tensor:
    """Return the operations of a group, `[g, 3, 3]` float64, the identity first."""
    return generate_group(_generators(group))


def generate_group(generators: Sequence[Tensor]) -> Tensor:
    """Return all products of some operations, `[g, 3, 3]`."""
    operations = [_identity()]
    for R in operations:  # grows
        for S in generators:
            if not _contains_operation(torch.stack(operations), S @ R):
                operations.append(S @ R)
    return torch.stack(operations)


def _fixed_subspace(R: Tensor) -> Tensor | None:
    """Return the projection onto the axis or the mirror plane of an operation."""
    trace = float(R.trace())
    if torch.linalg.det(R) <= 0:
        return (_identity() + R) / 2 if trace > 1 - OPERATION_TOLERANCE else None
    # a rotation by t about u, symmetrized, is cos t 1 + (1 - cos t) u u^T
    cos = (trace - 1) / 2
    if cos >= 1 - OPERATION_TOLERANCE:
        return None
    return ((R + R.T) / 2 - cos * _identity()) / (1 - cos)


def _wyckoff_position(G: Tensor, projection: Tensor) -> WyckoffPosition:
    images = G @ projection @ projection.new_tensor(GENERAL_POSITION)
    equal = (images.unsqueeze(1) - images).abs().amax(-1) < OPERATION_TOLERANCE  # [g, g]
    first = equal.to(torch.int64).argmax(-1)
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
    generators = [_rotation((0, 0, 1), n)]
    if group[0] == "D":
        generators.append(_diagonal(1, -1, -1))
    if group[2:] == "v":
        generators.append(_diagonal(-1, 1, 1))
    if group[2:] == "h":
        generators.append(mirror)
    if group[2:] == "d":
        generators.append(_rotation((0, 0, 1), 2 * n) @ mirror)
    return generators


def _polyhedral_generators(group: str) -> list[Tensor]:
    generators = [_identity()[[1, 2, 0]], _diagonal(-1, -1, 1)]  # the group T
    if group[0] == "O":
        generators.append(_rotation((0, 0, 1), 4))
    if group[0] == "I":
        generators.append(_rotation((0, 1, (1 + math.sqrt(5)) / 2), 5))
    if group == "Td":
        generators.append(_identity()[[1, 0, 2]])
    if group[1:] == "h":
        generators.append(-_identity())
    return generators


def _identity() -> Tensor:
    return torch.eye(3, dtype=torch.float64)


def _diagonal(*values: float) -> Tensor:
    return torch.diag(torch.tensor(values, dtype=torch.float64))


def _rotation(axis: Sequence[float], n: int) -> Tensor:
    """Return the rotation by 360°/n about an axis (Rodrigues)."""
    u = torch.tensor(axis, dtype=torch.float64)
    x, y, z = (u / torch.linalg.vector_norm(u)).tolist()
    K = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    angle = 2 * math.pi / n
    return _identity() + math.sin(angle) * K + (1 - math.cos(angle)) * K @ K
