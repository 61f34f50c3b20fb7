"""Moves: random changes of many clusters at once.

Every function takes positions P `[n, a, 3]` Å and a generator, and changes each cluster by itself.
None of them checks overlaps or the region: `Cluster` does, once, for all of them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bostruct.spaces.clusters.packing import center_positions, distance_matrix
from bostruct.spaces.random_tensors import (
    log_uniform_between,
    normal,
    sample_categorical,
    uniform,
    unit_vectors,
)

RATTLE_AMPLITUDE_RANGE = (0.05, 0.35)
"""Range of the standard deviation of a rattle, in bond lengths, drawn log-uniformly."""

COORDINATION_TEMPERATURE = 0.7
"""Temperature, in neighbors, at which loosely bound atoms are preferred."""

N_SURFACE_SITES = 16
"""Number of surface sites tried for each atom that is moved."""

NEIGHBOR_CUTOFF_FACTOR = 1.3
"""Distance of neighbors, in bond lengths, at which the smooth count falls to one half."""


def rattle(P: Tensor, bond_length: float | Tensor, generator: torch.Generator) -> Tensor:
    """Displace all atoms at random, each structure by its own fraction of the bond length."""
    n, a, _ = P.shape
    amplitude = log_uniform_between(RATTLE_AMPLITUDE_RANGE, (n, 1, 1), generator).to(P)
    return P + amplitude * bond_length * normal((n, a, 3), generator).to(P)


def move_atom(P: Tensor, bond_lengths: Tensor, radius: float, generator: torch.Generator) -> Tensor:
    """Move one loosely bound atom of each cluster to a random site on the surface.

    A site is where a sphere that comes in from outside along a random direction first touches; of
    several sites those with many neighbors are preferred, and those farther than `radius` from the
    origin avoided.
    """
    n, a, _ = P.shape
    rows = torch.arange(n, device=P.device)
    looseness = -_coordination_numbers(distance_matrix(P), bond_lengths)  # [n, a]
    atom = sample_categorical(looseness / COORDINATION_TEMPERATURE, generator)  # [n]
    contact = bond_lengths[atom]  # [n, a] Å, zero for the atom itself
    center = (P.sum(1) - P[rows, atom]) / (a - 1)  # [n, 3]
    others = P - center.unsqueeze(1)
    u = unit_vectors((n, N_SURFACE_SITES), generator).to(P)
    # on the ray x = s u, atom j at p is touched at s = u.p + sqrt(t² - |p|² + (u.p)²)
    along = u @ others.mT  # [n, sites, a]
    square = contact.square() - others.square().sum(-1)  # [n, a]
    inside = square.unsqueeze(1) + along.square()
    hit = (inside > 0) & (contact > 0).unsqueeze(1)
    s = torch.where(hit, along + inside.clamp(min=0).sqrt(), -torch.inf).amax(-1, keepdim=True)
    missed = s.isinf()  # [n, sites, 1]
    site = torch.where(missed, 0.0, s) * u  # [n, sites, 3]
    D = torch.cdist(site, others, compute_mode="donot_use_mm_for_euclid_dist")
    D = torch.where((contact > 0).unsqueeze(1), D, torch.inf)
    count = _coordination_numbers(D, contact.unsqueeze(1))
    outside = torch.linalg.vector_norm(site + center.unsqueeze(1), dim=-1) > radius
    count = torch.where(missed.squeeze(-1) | outside, -torch.inf, count)
    chosen = sample_categorical(count / COORDINATION_TEMPERATURE, generator)
    moved = P.clone()
    moved[rows, atom] = site[rows, chosen] + center
    return moved


def twist(P: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate one half of each cluster against the other, about the line between them."""
    n = len(P)
    axis = unit_vectors((n,), generator).to(P)
    angle = 2 * math.pi * uniform((n, 1, 1), generator).to(P)
    P = center_positions(P)
    height = (P @ axis.unsqueeze(-1)).squeeze(-1)  # [n, a] Å
    rank = height.argsort(-1, descending=True).argsort(-1)
    upper = (rank < _random_cut(P, generator)).unsqueeze(-1)
    # Rodrigues: x cos + (k x x) sin + k (k.x) (1 - cos)
    k = axis.unsqueeze(1).expand_as(P)
    rotated = P * angle.cos() + torch.linalg.cross(k, P) * angle.sin()
    rotated = rotated + k * height.unsqueeze(-1) * (1 - angle.cos())
    return torch.where(upper, rotated, P)


def cut_and_splice(P: Tensor, numbers: Tensor, generator: torch.Generator) -> Tensor:
    """Join the upper part of each cluster to the lower part of another one.

    As Deaven and Ho, Phys. Rev. Lett. 75, 288 (1995): both are rotated at random and cut by a
    plane. The other cluster is another row, the same one where there is no other. Atoms above the
    plane stay, and of each species the lowest atoms of the other cluster make up for the rest, so
    that the composition is kept.
    """
    n_above = _random_cut(P, generator).long()  # [n, 1]
    upper = _shift_cut_to_origin(_randomly_rotated(P, generator), n_above)
    partners = P[random_partners(len(P), generator).to(P.device)]
    lower = _shift_cut_to_origin(_randomly_rotated(partners, generator), n_above)
    P = P.clone()
    for number in numbers.unique().tolist():
        atoms = (numbers == number).nonzero().squeeze(-1)
        kept, added = (_sort_by_height(half[:, atoms]) for half in (upper, lower))
        n_kept = (kept[..., 2:] > 0).sum(1, keepdim=True)  # [n, 1, 1]
        rank = torch.arange(len(atoms), device=P.device).unsqueeze(-1)
        P[:, atoms] = torch.where(rank < n_kept, kept, added)
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
    rows = torch.arange(n, device=P.device)
    unlike = numbers.unsqueeze(0) != numbers.unsqueeze(1)  # [a, a]
    free = torch.ones(n, a, dtype=torch.bool, device=P.device)
    P = P.clone()
    n_pairs = 1 + (3 * uniform((n,), generator).to(P) ** 3).floor()
    for pair in range(3):
        has_partner = free & (free.unsqueeze(1) & unlike).any(-1)
        first = sample_categorical(torch.where(has_partner, 0.0, -torch.inf).to(P), generator)
        partners = free & unlike[first] & has_partner.any(-1, keepdim=True)
        second = sample_categorical(torch.where(partners, 0.0, -torch.inf).to(P), generator)
        second = torch.where((n_pairs > pair) & partners.any(-1), second, first)
        P[rows, first], P[rows, second] = P[rows, second], P[rows, first]
        free[rows, first] = free[rows, second] = False
    return P


def _coordination_numbers(D: Tensor, bond_lengths: Tensor) -> Tensor:
    """Return a smooth count of neighbors, `[..., a]`; pairs without a bond length do not count."""
    ratio = D / bond_lengths.clamp(min=1e-6)
    count = torch.sigmoid((NEIGHBOR_CUTOFF_FACTOR - ratio) / 0.05)
    return torch.where(bond_lengths > 0, count, 0.0).sum(-1)


def _random_cut(P: Tensor, generator: torch.Generator) -> Tensor:
    """Return the number of atoms above a random plane, a quarter or more on each side, `[n, 1]`."""
    n, a, _ = P.shape
    fewest = max(a // 4, 1)
    return fewest + (uniform((n, 1), generator).to(P) * (a - 2 * fewest + 1)).floor()


def _randomly_rotated(P: Tensor, generator: torch.Generator) -> Tensor:
    """Return clusters rotated about their center at random, half of them mirrored."""
    # the orthogonal factor of a Gaussian matrix is uniform once signs are fixed
    Q, R = torch.linalg.qr(normal((len(P), 3, 3), generator))
    Q = Q * R.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
    rotated: Tensor = center_positions(P) @ Q.to(P)
    return rotated


def _shift_cut_to_origin(P: Tensor, n_above: Tensor) -> Tensor:
    """Return clusters shifted such that `n_above` `[n, 1]` atoms have heights above 0."""
    height = P[..., 2].sort(-1, descending=True).values
    middle = (height.gather(-1, n_above - 1) + height.gather(-1, n_above)) / 2
    return torch.cat((P[..., :2], P[..., 2:] - middle.unsqueeze(-1)), -1)


def _sort_by_height(P: Tensor) -> Tensor:
    """Return atoms `[n, k, 3]` in the order of falling heights."""
    order = P[..., 2:].argsort(1, descending=True)
    return P.gather(1, order.expand_as(P))
