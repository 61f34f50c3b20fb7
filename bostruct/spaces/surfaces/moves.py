"""Moves: random changes of many structures on a surface at once.

Notation as in `deposition`. None of them checks overlaps or the region: `Surface` does, once, for
all of them.
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
    """Remove one loosely bound atom of each structure and deposit it again."""
    n, a, _ = Q.shape
    rows = torch.arange(n, device=Q.device)
    looseness = -coordination_numbers(Q, n_free, bond_lengths, plane)
    atom = sample_categorical(looseness / COORDINATION_TEMPERATURE, generator)
    present = torch.ones(n, a, dtype=torch.bool, device=Q.device)
    present[rows, atom] = False
    temperature = torch.full((n,), COORDINATION_TEMPERATURE, dtype=Q.dtype, device=Q.device)
    contact = bond_lengths[atom]
    Q = Q.clone()
    Q[rows, atom] = drop_atoms(
        Q, atom, present, n_free, contact, max_height, temperature, plane, generator
    )
    return Q


def slide_adsorbate(
    Q: Tensor, first_adsorbate: int, n_free: int, plane: PeriodicPlane, generator: torch.Generator
) -> Tensor:
    """Rotate the adsorbate about the normal of the surface, and shift it along the surface.

    The atoms from `first_adsorbate` to f move as one, in the images nearest to one of them.
    """
    n = len(Q)
    adsorbate = Q[:, first_adsorbate:n_free, :2]
    pivot = sample_categorical(adsorbate.new_zeros(n, n_free - first_adsorbate), generator)
    center = adsorbate[torch.arange(n, device=Q.device), pivot].unsqueeze(1)
    arms = adsorbate - center
    arms = arms - (arms @ plane.inverse_lattice).round() @ plane.lattice
    angle = 2 * math.pi * uniform((n, 1), generator).to(Q)
    cos, sin = angle.cos(), angle.sin()
    x, y = arms.unbind(-1)
    rotated = torch.stack((x * cos - y * sin, x * sin + y * cos), -1)
    shift = uniform((n, 1, 2), generator).to(Q) @ plane.lattice
    Q = Q.clone()
    Q[:, first_adsorbate:n_free, :2] = rotated + center + shift
    return Q
