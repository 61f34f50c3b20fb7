"""Moves of whole molecules: random changes that keep bonds, of many structures at once.

Every function takes positions P `[n, a, 3]` Å and a generator, and changes each by itself.
None of them checks overlaps or the region: spaces do, once, for all of them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bostruct.spaces.molecules.dihedral_angles import turn_torsions
from bostruct.spaces.molecules.fragments import Fragments
from bostruct.spaces.molecules.rotations import random_rotations, rotation_matrices
from bostruct.spaces.random_tensors import (
    log_uniform_between,
    normal,
    sample_categorical,
    uniform,
    unit_vectors,
)

RATTLE_AMPLITUDE_RANGE = (0.03, 0.2)
"""Range of the standard deviation of a rattle, in contact lengths and half turns."""

MAX_UNITS = 3
"""Largest number of molecules that one move turns."""

METHYL_WEIGHT = 0.25
"""Probability of a methyl rotor relative to other torsions: a third of a turn changes nothing."""


def random_conformations(n: int, fragments: Fragments, generator: torch.Generator) -> Tensor:
    """Return units in random conformations and orientations about the origin, `[n, a, 3]` Å.

    Half of the structures keep the dihedrals of the reference; in the others all are uniform.
    Molecules that may be mirrored are, every second one.
    """
    P = fragments.reference.expand(n, -1, -1)
    angles = 2 * math.pi * uniform((n, len(fragments.torsions)), generator).cpu()
    angles = angles * (uniform((n, 1), generator).cpu() < 0.5)
    P = turn_torsions(P, fragments.torsions, fragments.sides, angles)
    P = fragments.translate(P, -fragments.centers(P))
    R = random_rotations((n, len(fragments.units)), generator).cpu()
    mirrored = uniform((n, len(fragments.units)), generator).cpu() < 0.5
    mirrored = mirrored & fragments.has_mirror_images
    return fragments.rotate(P, torch.where(mirrored[..., None, None], -R, R))


def rattle(P: Tensor, fragments: Fragments, length: float, generator: torch.Generator) -> Tensor:
    """Displace, turn and bend all units a little, each structure by its own amplitude.

    Args:
        P: `[n, a, 3]` Å.
        fragments: units of the structures.
        length: typical length of a contact, Å.
        generator: random number generator.
    """
    n, u = len(P), len(fragments.units)
    amplitude = log_uniform_between(RATTLE_AMPLITUDE_RANGE, (n, 1), generator).to(P)
    twists = amplitude * math.pi * normal((n, len(fragments.torsions)), generator).to(P)
    P = turn_torsions(P, fragments.torsions, fragments.sides, twists)
    amplitude = amplitude.unsqueeze(-1)
    R = rotation_matrices(amplitude * math.pi * normal((n, u, 3), generator).to(P))
    shifts = amplitude * length * normal((n, u, 3), generator).to(P)
    return fragments.translate(fragments.rotate(P, R), shifts)


def turn_molecules(P: Tensor, fragments: Fragments, generator: torch.Generator) -> Tensor:
    """Turn one molecule to a random orientation, sometimes two or three."""
    n, u = len(P), len(fragments.units)
    n_turned = 1 + (MAX_UNITS * uniform((n, 1), generator).to(P) ** 3).floor()
    turned = _random_units(fragments.is_molecule, n_turned, generator)
    R = random_rotations((n, u), generator).to(P)
    eye = torch.eye(3, dtype=P.dtype, device=P.device)
    return fragments.rotate(P, torch.where(turned.to(P.device)[..., None, None], R, eye))


def bend(P: Tensor, fragments: Fragments, generator: torch.Generator) -> Tensor:
    """Give one torsion a random angle, sometimes two or three; methyl rotors less often."""
    n, t = len(P), len(fragments.torsions)
    log_weights = torch.where(fragments.is_methyl_rotor, math.log(METHYL_WEIGHT), 0.0)
    n_bent = 1 + (MAX_UNITS * uniform((n, 1), generator).to(P) ** 3).floor()
    u = uniform((n, t), generator).clamp(min=1e-300)
    rank = (log_weights.to(u) - (-u.log()).log()).argsort(-1, descending=True).argsort(-1)
    angles = 2 * math.pi * uniform((n, t), generator).to(P)
    angles = torch.where(rank.to(P.device) < n_bent, angles, 0.0)
    return turn_torsions(P, fragments.torsions, fragments.sides, angles)


def mirror(P: Tensor, fragments: Fragments, generator: torch.Generator) -> Tensor:
    """Mirror one molecule at a random plane through its center."""
    n = len(P)
    mirrored = _random_units(fragments.has_mirror_images, P.new_ones(n, 1), generator)
    k = unit_vectors((n, 1), generator).to(P)
    eye = torch.eye(3, dtype=P.dtype, device=P.device)
    reflection = eye - 2 * k.unsqueeze(-1) * k.unsqueeze(-2)  # [n, 1, 3, 3]
    return fragments.rotate(P, torch.where(mirrored.to(P.device)[..., None, None], reflection, eye))


def exchange(P: Tensor, fragments: Fragments, generator: torch.Generator) -> Tensor:
    """Exchange the places of two unlike units."""
    rows = torch.arange(len(P), device=P.device)
    kinds = fragments.kinds.to(P.device)
    unlike = kinds.unsqueeze(0) != kinds.unsqueeze(1)  # [u, u]
    anyone = torch.where(unlike.any(-1), 0.0, -torch.inf).to(P).expand(len(P), -1)
    first = sample_categorical(anyone, generator)
    second = sample_categorical(torch.where(unlike[first], 0.0, -torch.inf).to(P), generator)
    C = fragments.centers(P)
    centers = C.clone()
    centers[rows, first], centers[rows, second] = C[rows, second], C[rows, first]
    return fragments.translate(P, centers - C)


def _random_units(allowed: Tensor, count: Tensor, generator: torch.Generator) -> Tensor:
    """Return which units are drawn, `[n, u]` bool, up to `count` `[n, 1]` of those allowed."""
    u = uniform((len(count), len(allowed)), generator).cpu().masked_fill(~allowed, 2.0)
    return (u.argsort(-1).argsort(-1) < count.cpu()) & allowed
