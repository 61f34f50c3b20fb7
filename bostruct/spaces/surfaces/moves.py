"""Random changes of many structures on a surface at once.

Notation as in `deposit`. None of them looks after overlaps or the region: `Surface`
does, once, for all of them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bostruct.spaces.clusters.moves import COORDINATION_TEMPERATURE
from bostruct.spaces.random_tensors import sample_categorical, uniform
from bostruct.spaces.surfaces.deposition import coordination_numbers, drop_atoms
from bostruct.spaces.surfaces.periodic_plane import PeriodicPlane


def move_atom(
    Q: Tensor,
    n_free: int,
    bond_lengths: Tensor,
    max_height: float,
    plane: PeriodicPlane,
    generator: torch.Generator,
) -> Tensor:
    """Take one loosely bound atom off each structure and let it come down again."""
    n, a, _ = Q.shape
    each = torch.arange(n, device=Q.device)
    who = sample_categorical(
        -coordination_numbers(Q, n_free, bond_lengths, plane) / COORDINATION_TEMPERATURE,
        generator,
    )
    present = torch.ones(n, a, dtype=torch.bool, device=Q.device)
    present[each, who] = False
    choosy = torch.full((n,), COORDINATION_TEMPERATURE, dtype=Q.dtype, device=Q.device)
    Q = Q.clone()
    Q[each, who] = drop_atoms(
        Q, who, present, n_free, bond_lengths[who], max_height, choosy, plane, generator
    )
    return Q


def slide_adsorbate(
    Q: Tensor,
    first_adsorbate: int,
    n_free: int,
    plane: PeriodicPlane,
    generator: torch.Generator,
) -> Tensor:
    """Turn what lies on the slab about its normal, and shift it along the slab.

    The atoms from `first_adsorbate` to f are taken as they lie around one of them.
    """
    n = len(Q)
    each = torch.arange(n, device=Q.device)
    group = Q[:, first_adsorbate:n_free, :2]
    pivot = sample_categorical(group.new_zeros(n, n_free - first_adsorbate), generator)
    middle = group[each, pivot].unsqueeze(1)
    arms = group - middle
    arms = arms - (arms @ plane.inverse_lattice).round() @ plane.lattice
    angle = 2 * math.pi * uniform((n, 1), generator).to(Q)
    cos, sin = angle.cos(), angle.sin()
    x, y = arms.unbind(-1)
    turned = torch.stack((x * cos - y * sin, x * sin + y * cos), -1)
    shift = uniform((n, 1, 2), generator).to(Q) @ plane.lattice
    Q = Q.clone()
    Q[:, first_adsorbate:n_free, :2] = turned + middle + shift
    return Q
