"""Packing of molecules: they are placed where they touch, and pushed apart as rigid bodies.

Notation
    P   [n, a, 3]   Å   positions
    L   [a, a]      Å   lengths of contacts between atoms of different units
    W   [a, a]      Å   minimum distances: closer atoms of different units push these apart
"""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces.clusters.packing import DISTANCE_FLOOR, center_positions, distance_matrix
from bostruct.spaces.molecules.contact_distances import is_hydrogen_bond
from bostruct.spaces.molecules.fragments import Fragments
from bostruct.spaces.molecules.moves import random_conformations
from bostruct.spaces.molecules.rotations import random_rotations, rotation_matrices
from bostruct.spaces.random_tensors import (
    log_uniform_between,
    sample_categorical,
    uniform,
    uniform_between,
    unit_vectors,
)

N_SITES = 32
"""Number of places and orientations tried for each molecule."""

CONTACT_STRETCH_RANGE = (0.92, 1.04)
"""Range of the distance at which molecules of one structure touch, in contact lengths."""

CONTACT_CUTOFF_FACTOR = 1.2
"""Distance at which the smooth count of contacts falls to one half, in contact lengths."""

HYDROGEN_BOND_WEIGHT = 4.0
"""Number of other contacts that a hydrogen bond is worth."""

SELECTION_TEMPERATURE_RANGE = (0.5, 5.0)
"""Range of the number of additional contacts that make a place e times as likely."""

MAX_CHUNK_ELEMENTS = 1 << 20
"""Largest number of pairs of atoms compared at once."""


def contact_weights(fragments: Fragments) -> Tensor:
    """Return how much a contact of each pair counts, `[a, a]`, zero within a unit."""
    bonds = is_hydrogen_bond(fragments.numbers, fragments.neighbors)
    weights = torch.where(bonds, HYDROGEN_BOND_WEIGHT, 1.0).to(torch.float64)
    return weights.masked_fill(fragments.is_same_unit, 0.0)


def contact_counts(P: Tensor, lengths: Tensor, fragments: Fragments) -> Tensor:
    """Return the weighted smooth number of contacts of each unit, `[n, u]`."""
    count = _smooth_count(distance_matrix(P), lengths) * contact_weights(fragments).to(P)
    return sum_over_units(count.sum(-1).unsqueeze(-1), fragments).squeeze(-1)


def sample_packed(
    n: int, fragments: Fragments, lengths: Tensor, generator: torch.Generator
) -> Tensor:
    """Return whole molecules packed at random, `[n, a, 3]` Å, centered.

    One after the other comes in along a random direction until it touches; of several places and
    orientations those with many contacts are preferred, in some structures more than in others.
    """
    P = random_conformations(n, fragments, generator)
    order = uniform((n, len(fragments.units)), generator).cpu().argsort(-1)
    temperature = log_uniform_between(SELECTION_TEMPERATURE_RANGE, (n,), generator).cpu()
    stretch = uniform_between(CONTACT_STRETCH_RANGE, (n,), generator).cpu()
    placed = torch.zeros(n, len(fragments.units), dtype=torch.bool)
    rows = torch.arange(n)
    for turn in range(len(fragments.units)):
        if turn:
            args = (placed, lengths, stretch, temperature, generator)
            P = place_unit(P, fragments, order[:, turn], *args)
        placed[rows, order[:, turn]] = True
    return center_positions(P)


def place_unit(
    P: Tensor,
    fragments: Fragments,
    unit: Tensor,
    placed: Tensor,
    lengths: Tensor,
    stretch: Tensor,
    temperature: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Return structures in which one unit of each touches those that are placed.

    Args:
        P: `[n, a, 3]` Å.
        fragments: units of the structures.
        unit: `[n]` int64, the unit that comes in.
        placed: `[n, u]` bool, units that it can touch, itself excluded.
        lengths: `[a, a]` Å, lengths of contacts.
        stretch: `[n]`, factor on these.
        temperature: `[n]`, number of additional contacts that make a place e times as likely.
        generator: random number generator.
    """
    n = len(P)
    R = random_rotations((n, N_SITES), generator).to(P)
    u = unit_vectors((n, N_SITES), generator).to(P)
    noise_of = uniform((n, N_SITES), generator).to(P).clamp(min=1e-300)
    noise = -(-noise_of.log()).clamp(min=1e-300).log()
    values = (P, unit, placed, stretch, temperature, R, u, noise)
    width = fragments.unit_atoms.shape[1] * P.shape[1] * N_SITES
    chunks = zip(
        *(value.split(max(MAX_CHUNK_ELEMENTS // width, 1)) for value in values), strict=True
    )
    moved = [_place_unit(fragments, lengths, *chunk) for chunk in chunks]
    return torch.cat(moved) if moved else P


def _place_unit(
    fragments: Fragments,
    lengths: Tensor,
    P: Tensor,
    unit: Tensor,
    placed: Tensor,
    stretch: Tensor,
    temperature: Tensor,
    R: Tensor,
    u: Tensor,
    noise: Tensor,
) -> Tensor:
    """Return the structures of a chunk, from orientations, directions and Gumbel noise."""
    n, rows = len(P), torch.arange(len(P), device=P.device)
    atoms = fragments.unit_atoms.to(P.device)[unit]  # [n, w]
    is_atom = atoms >= 0
    atoms = atoms.clamp(min=0)
    touchable = placed.to(P.device)[:, fragments.unit_index.to(P.device)]  # [n, a]
    pairs = is_atom.unsqueeze(-1) & touchable.unsqueeze(1)  # [n, w, a]
    contact = lengths.to(P)[atoms] * stretch.to(P)[:, None, None]
    middle = (P * touchable.unsqueeze(-1)).sum(1) / touchable.sum(-1, keepdim=True)
    arms = P[rows.unsqueeze(-1), atoms] - fragments.centers(P)[rows, unit].unsqueeze(1)
    arms = arms.unsqueeze(1) @ R.mT  # [n, sites, w, 3]
    others = (P - middle.unsqueeze(1))[:, None, None] - arms.unsqueeze(3)  # [n, sites, w, a, 3]
    # on the ray x = s u, atom j is touched at s = u.p + sqrt(d² - |p|² + (u.p)²)
    along = (others @ u[:, :, None, :, None]).squeeze(-1)
    inside = contact.unsqueeze(1).square() - others.square().sum(-1) + along.square()
    hit = (inside > 0) & pairs.unsqueeze(1)
    s = torch.where(hit, along + inside.clamp(min=0).sqrt(), -torch.inf).flatten(-2).amax(-1)
    missed = s.isinf()  # [n, sites]
    s = torch.where(missed, 0.0, s)
    site = s.unsqueeze(-1) * u
    D = torch.linalg.vector_norm(site[:, :, None, None] - others, dim=-1)
    weights = contact_weights(fragments).to(P)[atoms] * pairs
    count = (_smooth_count(D, contact.unsqueeze(1)) * weights.unsqueeze(1)).flatten(-2).sum(-1)
    score = torch.where(missed, -torch.inf, count / temperature.to(P).unsqueeze(-1))
    chosen = (score + noise).argmax(-1)
    new = (site + middle.unsqueeze(1))[rows, chosen].unsqueeze(1) + arms[rows, chosen]  # [n, w, 3]
    moved = P.clone()
    row = rows.unsqueeze(-1).expand_as(atoms)
    moved[row[is_atom], atoms[is_atom]] = new[is_atom]
    assert len(moved) == n
    return moved


def push_units_apart(
    P: Tensor, fragments: Fragments, min_distances: Tensor, n_steps: int
) -> Tensor:
    """Return positions whose units have been pushed apart as rigid bodies for some steps.

    Each unit moves by the mean of the pushes on its atoms, and turns by their torque.
    """
    W = min_distances.to(P).masked_fill(fragments.is_same_unit.to(P.device), 0.0)
    for _ in range(n_steps):
        # w_ij = (W_ij / d_ij - 1)+;  push_i = 1/2 sum_j w_ij (p_i - p_j)
        w = (W / distance_matrix(P).clamp(min=DISTANCE_FLOOR) - 1).clamp(min=0, max=1)
        push = 0.5 * (P * w.sum(-1, keepdim=True) - w @ P)
        touched = (w.sum(-1, keepdim=True) > 0).to(P)
        count = sum_over_units(touched, fragments).clamp(min=1)
        arms = P - fragments.centers(P)[:, fragments.unit_index.to(P.device)]
        torque = sum_over_units(torch.linalg.cross(arms, push), fragments)
        inertia = sum_over_units(arms.square().sum(-1, keepdim=True), fragments)
        R = rotation_matrices(torque / inertia.clamp(min=DISTANCE_FLOOR))
        shift = sum_over_units(push, fragments) / count
        P = fragments.translate(fragments.rotate(P, R), shift)
    return P


def relocate(
    P: Tensor,
    fragments: Fragments,
    lengths: Tensor,
    temperature: float,
    generator: torch.Generator,
) -> Tensor:
    """Move one loosely bound unit of each structure to where it touches others.

    Args:
        P: `[n, a, 3]` Å.
        fragments: units of the structures.
        lengths: `[a, a]` Å, lengths of contacts.
        temperature: number of contacts that make a unit e times less likely, and a place more.
        generator: random number generator.
    """
    n = len(P)
    looseness = -contact_counts(P, lengths, fragments) / temperature
    unit = sample_categorical(looseness, generator)
    placed = torch.ones(n, len(fragments.units), dtype=torch.bool, device=P.device)
    placed[torch.arange(n, device=P.device), unit] = False
    ones = P.new_ones(n)
    return place_unit(P, fragments, unit, placed, lengths, ones, temperature * ones, generator)


def _smooth_count(D: Tensor, lengths: Tensor) -> Tensor:
    """Return whether atoms are in contact, smoothly from 1 to 0."""
    return torch.sigmoid((CONTACT_CUTOFF_FACTOR - D / lengths.to(D).clamp(min=1e-6)) / 0.05)


def sum_over_units(values: Tensor, fragments: Fragments) -> Tensor:
    """Return sums over the atoms of each unit, `[n, u, k]`, of values `[n, a, k]`."""
    total = values.new_zeros(len(values), len(fragments.units), values.shape[-1])
    return total.index_add(1, fragments.unit_index.to(values.device), values)
