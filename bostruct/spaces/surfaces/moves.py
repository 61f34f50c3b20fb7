"""Random changes of many structures on a surface at once.

Notation as in `deposit`. None of them looks after overlaps or the region: `Surface`
does, once, for all of them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bostruct.spaces.clusters.moves import LOOSENESS
from bostruct.spaces.random_tensors import pick, uniform
from bostruct.spaces.surfaces.deposition import coordination, landed
from bostruct.spaces.surfaces.periodic_plane import Plane


def relocate(
    Q: Tensor,
    f: int,
    bond: Tensor,
    ceiling: float,
    plane: Plane,
    generator: torch.Generator,
) -> Tensor:
    """Take one loosely bound atom off each structure and let it come down again."""
    n, a, _ = Q.shape
    each = torch.arange(n, device=Q.device)
    who = pick(-coordination(Q, f, bond, plane) / LOOSENESS, generator)
    present = torch.ones(n, a, dtype=torch.bool, device=Q.device)
    present[each, who] = False
    choosy = torch.full((n,), LOOSENESS, dtype=Q.dtype, device=Q.device)
    Q = Q.clone()
    Q[each, who] = landed(
        Q, who, present, f, bond[who], ceiling, choosy, plane, generator
    )
    return Q


def slide(
    Q: Tensor, start: int, f: int, plane: Plane, generator: torch.Generator
) -> Tensor:
    """Turn what lies on the slab about its normal, and shift it along the slab.

    The atoms from `start` to f are taken as they lie around one of them.
    """
    n = len(Q)
    each = torch.arange(n, device=Q.device)
    group = Q[:, start:f, :2]
    pivot = pick(group.new_zeros(n, f - start), generator)
    middle = group[each, pivot].unsqueeze(1)
    arms = group - middle
    arms = arms - (arms @ plane.dual).round() @ plane.lattice
    angle = 2 * math.pi * uniform((n, 1), generator).to(Q)
    cos, sin = angle.cos(), angle.sin()
    x, y = arms.unbind(-1)
    turned = torch.stack((x * cos - y * sin, x * sin + y * cos), -1)
    shift = uniform((n, 1, 2), generator).to(Q) @ plane.lattice
    Q = Q.clone()
    Q[:, start:f, :2] = turned + middle + shift
    return Q
