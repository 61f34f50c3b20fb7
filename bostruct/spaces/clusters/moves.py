"""Random changes of many clusters at once.

Every function takes positions P `[n, a, 3]` Å and a generator, and changes each cluster
on its own. None of them looks after overlaps or the region: `Cluster` does, once, for
all of them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bostruct.spaces.clusters.packing import center_positions, distance_matrix
from bostruct.spaces.random_tensors import (
    normal,
    sample_categorical,
    uniform,
    unit_vectors,
)

RATTLE_AMPLITUDE_RANGE = (0.05, 0.35)
"""Range of the standard deviation of a rattle, in bonds, drawn log-uniformly."""

COORDINATION_TEMPERATURE = 0.7
"""Temperature, in neighbors, at which loose atoms are preferred."""

N_SURFACE_SITES = 16
"""Surface sites that are looked at for each atom that is relocated."""

NEIGHBOR_CUTOFF_FACTOR = 1.3
"""Atoms closer than this times their bond are neighbors; the count is smoothed."""


def rattle(P: Tensor, bond_length: float | Tensor, generator: torch.Generator) -> Tensor:
    """Shake all atoms, each structure by its own part of the length of a bond."""
    n, a, _ = P.shape
    low, high = (math.log(value) for value in RATTLE_AMPLITUDE_RANGE)
    strength = torch.exp(low + (high - low) * uniform((n, 1, 1), generator).to(P))
    return P + strength * bond_length * normal((n, a, 3), generator).to(P)


def move_atom(P: Tensor, bond_lengths: Tensor, radius: float, generator: torch.Generator) -> Tensor:
    """Move one loosely bound atom of each cluster to a random place on the surface.

    The place is where a sphere that comes in from outside along a random direction
    first touches; of several such places those with many neighbors are preferred, and
    those further than `radius` from the origin avoided.
    """
    n, a, _ = P.shape
    each = torch.arange(n, device=P.device)
    loose = -_coordination_numbers(distance_matrix(P), bond_lengths)  # [n, a]
    atom = sample_categorical(loose / COORDINATION_TEMPERATURE, generator)  # [n]
    touch = bond_lengths[atom]  # [n, a] Å, zero for the atom itself
    centre = (P.sum(1) - P[each, atom]) / (a - 1)  # [n, 3]
    others = P - centre.unsqueeze(1)
    u = unit_vectors((n, N_SURFACE_SITES), generator).to(P)
    # on the ray x = s u, atom j at p is touched at s = u.p + sqrt(t² - |p|² + (u.p)²)
    along = u @ others.mT  # [n, sites, a]
    square = touch.square() - others.square().sum(-1)  # [n, a]
    inside = square.unsqueeze(1) + along.square()
    hit = (inside > 0) & (touch > 0).unsqueeze(1)
    reach = torch.where(hit, along + inside.clamp(min=0).sqrt(), -torch.inf)
    s = reach.amax(-1, keepdim=True)  # [n, sites, 1]
    missed = s.isinf()
    site = torch.where(missed, 0.0, s) * u  # [n, sites, 3]
    D = torch.cdist(site, others, compute_mode="donot_use_mm_for_euclid_dist")
    D = torch.where((touch > 0).unsqueeze(1), D, torch.inf)
    count = _coordination_numbers(D, touch.unsqueeze(1))
    far = torch.linalg.vector_norm(site + centre.unsqueeze(1), dim=-1) > radius
    count = torch.where(missed.squeeze(-1) | far, -torch.inf, count)
    chosen = sample_categorical(count / COORDINATION_TEMPERATURE, generator)
    moved = P.clone()
    moved[each, atom] = site[each, chosen] + centre
    return moved


def twist(P: Tensor, generator: torch.Generator) -> Tensor:
    """Turn one half of each cluster against the other, about the line between them."""
    n, a, _ = P.shape
    axis = unit_vectors((n,), generator).to(P)
    angle = 2 * math.pi * uniform((n, 1, 1), generator).to(P)
    P = center_positions(P)
    height = (P @ axis.unsqueeze(-1)).squeeze(-1)  # [n, a] Å
    # the plane passes between two atoms: 1 to a - 1 of them lie above it
    few = max(a // 4, 1)
    above = few + (uniform((n, 1), generator).to(P) * (a - 2 * few + 1)).floor()
    rank = height.argsort(-1, descending=True).argsort(-1)
    upper = (rank < above).unsqueeze(-1)
    # Rodrigues: x cos + (k x x) sin + k (k.x) (1 - cos)
    k = axis.unsqueeze(1).expand_as(P)
    cross = torch.linalg.cross(k, P)
    turned = P * angle.cos() + cross * angle.sin()
    turned = turned + k * height.unsqueeze(-1) * (1 - angle.cos())
    return torch.where(upper, turned, P)


def cut_and_splice(P: Tensor, numbers: Tensor, generator: torch.Generator) -> Tensor:
    """Join the upper part of each cluster to the lower part of another one.

    As Deaven and Ho, Phys. Rev. Lett. 75, 288 (1995): both are turned at random and cut
    by a plane. The other is another row, the same where there is no other. What is
    above the plane stays, and of each species the lowest atoms of the other make up
    for the rest, so that the composition is kept.
    """
    n, a, _ = P.shape
    few = max(a // 4, 1)
    drawn = uniform((n, 1), generator).to(P)
    above = few + (drawn * (a - 2 * few + 1)).floor().long()  # [n, 1] atoms
    upper = _shift_cut_to_origin(_randomly_rotated(P, generator), above)
    lower = _shift_cut_to_origin(
        _randomly_rotated(P[random_partners(n, generator).to(P.device)], generator),
        above,
    )
    P = P.clone()
    for kind in numbers.unique().tolist():
        rows = (numbers == kind).nonzero().squeeze(-1)
        one, other = (_sort_by_height(part[:, rows]) for part in (upper, lower))
        stay = (one[..., 2:] > 0).sum(1, keepdim=True)  # [n, 1, 1]
        rank = torch.arange(len(rows), device=P.device).unsqueeze(-1)
        P[:, rows] = torch.where(rank < stay, one, other)
    return P


def random_partners(n: int, generator: torch.Generator) -> Tensor:
    """Return another row for each of n, `[n]` int64; the same where there is no other.

    All other rows are equally likely.
    """
    ahead = 1 + (uniform((n,), generator) * (n - 1)).floor().long()
    return (torch.arange(n, device=ahead.device) + ahead) % max(n, 1)


def swap_species(P: Tensor, numbers: Tensor, generator: torch.Generator) -> Tensor:
    """Exchange unlike atoms: one pair, sometimes two or three that share no atom."""
    n, a, _ = P.shape
    each = torch.arange(n, device=P.device)
    unlike = numbers.unsqueeze(0) != numbers.unsqueeze(1)  # [a, a]
    free = torch.ones(n, a, dtype=torch.bool, device=P.device)
    P = P.clone()
    pairs = 1 + (3 * uniform((n,), generator).to(P) ** 3).floor()
    for step in range(3):
        able = free & (free.unsqueeze(1) & unlike).any(-1)  # has a partner left
        one = sample_categorical(torch.where(able, 0.0, -torch.inf).to(P), generator)
        fitting = free & unlike[one] & able.any(-1, keepdim=True)
        two = sample_categorical(torch.where(fitting, 0.0, -torch.inf).to(P), generator)
        two = torch.where((pairs > step) & fitting.any(-1), two, one)
        first, second = P[each, one], P[each, two]
        P[each, one], P[each, two] = second, first
        free[each, one] = free[each, two] = False
    return P


def _coordination_numbers(D: Tensor, bond_lengths: Tensor) -> Tensor:
    """Return a smooth count of neighbors, `[..., a]`."""
    gap = D / bond_lengths.clamp(min=1e-6)
    count = torch.sigmoid((NEIGHBOR_CUTOFF_FACTOR - gap) / 0.05)
    return torch.where(bond_lengths > 0, count, 0.0).sum(-1)


def _randomly_rotated(P: Tensor, generator: torch.Generator) -> Tensor:
    """Return clusters turned about their centre at random, half of them mirrored."""
    # the orthogonal part of a Gaussian matrix is uniform once signs are fixed
    Q, R = torch.linalg.qr(normal((len(P), 3, 3), generator))
    Q = Q * R.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
    turned: Tensor = center_positions(P) @ Q.to(P)
    return turned


def _shift_cut_to_origin(P: Tensor, n_above: Tensor) -> Tensor:
    """Return clusters shifted such that `n_above` `[n, 1]` atoms have heights above 0."""
    height = P[..., 2].sort(-1, descending=True).values
    middle = (height.gather(-1, n_above - 1) + height.gather(-1, n_above)) / 2
    return torch.cat((P[..., :2], P[..., 2:] - middle.unsqueeze(-1)), -1)


def _sort_by_height(P: Tensor) -> Tensor:
    """Return atoms `[n, k, 3]` in the order of falling heights."""
    order = P[..., 2:].argsort(1, descending=True)
    return P.gather(1, order.expand_as(P))
