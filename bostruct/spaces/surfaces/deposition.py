"""Deposition: atoms that come down on a surface and stick where they touch.

An atom comes down along the normal until it touches, at several random positions, and takes one of
them, preferably one with many neighbors. So atoms settle in hollows, at steps and beside each
other, one after the other, and structures come out flat and piled up, in one island and scattered.

Notation (see also `periodic_plane`)
    f      number of atoms that move; in every table they are the first f of all a
    Q      [n, a, 3]  Å   positions along the axes of the plane
    bond   [a, a]     Å   bond lengths of all pairs
    W      [f, a]     Å   minimum distances: closer atoms push each other apart
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bostruct.spaces.clusters.moves import COORDINATION_TEMPERATURE, NEIGHBOR_CUTOFF_FACTOR
from bostruct.spaces.clusters.packing import DISTANCE_FLOOR
from bostruct.spaces.random_tensors import (
    log_uniform_between,
    normal,
    sample_categorical,
    uniform,
    uniform_between,
)
from bostruct.spaces.surfaces.periodic_plane import PeriodicPlane, displacement_norms, is_self_pair

N_DROP_POSITIONS = 32
"""Number of positions at which an atom comes down, half of them beside others that move."""

BOND_STRETCH_RANGE = (0.92, 1.04)
"""Range of the distance at which atoms of one structure touch, in bond lengths."""

SELECTION_TEMPERATURE_RANGE = (0.3, 3.0)
"""Range of the number of additional neighbors that make a position e times as likely."""

RATTLE_AMPLITUDE_RANGE = (0.005, 0.1)
"""Range of the displacements of free atoms of the slab, in bond lengths."""

HEIGHT_PENALTY = 24.0
"""Number of neighbors that a position loses for each bond length above the maximum height."""

MAX_CHUNK_PAIRS = 1 << 20
"""Largest number of distances computed at once."""


def coordination_numbers(
    Q: Tensor,
    n_free: int,
    bond_lengths: Tensor,
    plane: PeriodicPlane,
    present: Tensor | None = None,
) -> Tensor:
    """Return a smooth count of the neighbors of the atoms that move, `[n, f]`."""
    shifts = plane.translations(1.5 * float(bond_lengths.max()))
    D = displacement_norms(plane.displacements(Q[:, :n_free], Q, shifts))
    D = D.masked_fill(is_self_pair(n_free, Q.shape[1], shifts), torch.inf)
    count = _smooth_count(D, bond_lengths[:n_free].unsqueeze(-1))
    if present is not None:
        count = count * present.unsqueeze(1)
    return count.sum(-1)


def drop_atoms(
    Q: Tensor,
    atom_index: Tensor,
    present: Tensor,
    n_free: int,
    contact_distances: Tensor,
    max_height: float,
    temperature: Tensor,
    plane: PeriodicPlane,
    generator: torch.Generator,
) -> Tensor:
    """Return where one atom of each structure comes to rest, `[n, 3]` Å.

    Args:
        Q: `[n, a, 3]` Å positions.
        atom_index: `[n]` int64, index of the atom.
        present: `[n, a]` bool, atoms it can touch, itself excluded.
        n_free: number f of atoms that move, beside which it may land.
        contact_distances: `[n, a]` Å, distances at which it touches each atom.
        max_height: height in Å that it should not exceed.
        temperature: `[n]`, number of additional neighbors that make a position e times as likely.
        plane: periodic plane of the surface.
        generator: random number generator.
    """
    n, a, _ = Q.shape
    positions = _sample_drop_positions(
        Q, atom_index, present, n_free, contact_distances, plane, generator
    )  # [n, k, 3]
    if not n:
        return Q[:, 0]
    shifts = plane.translations(1.5 * float(contact_distances.max()))
    rows = max(MAX_CHUNK_PAIRS // (N_DROP_POSITIONS * a * len(shifts)), 1)
    chunks = (value.split(rows) for value in (positions, Q, contact_distances, present))
    contacts = [
        _first_contact(drop, atoms, contact, touchable, shifts, plane)
        for drop, atoms, contact, touchable in zip(*chunks, strict=True)
    ]
    site, count = (torch.cat(values) for values in zip(*contacts, strict=True))
    excess_height = (site[..., 2] - max_height).clamp(min=0)
    excess_height = excess_height / contact_distances.mean(-1, keepdim=True)
    log_weights = (count - HEIGHT_PENALTY * excess_height) / temperature.unsqueeze(-1)
    return site[torch.arange(n, device=Q.device), sample_categorical(log_weights, generator)]


def contact_height(
    Q: Tensor, contact_distances: Tensor, plane: PeriodicPlane, n_grid: int
) -> float:
    """Return the height of the lowest position where an atom comes to rest, Å.

    Holes through which it would fall are left out.

    Args:
        Q: `[a, 3]` Å, positions of the atoms it can touch.
        contact_distances: `[a]` Å, distances at which it touches each atom.
        plane: periodic plane of the surface.
        n_grid: number of grid points along each lattice vector.
    """
    step = torch.arange(n_grid, dtype=Q.dtype, device=Q.device) / n_grid
    grid = torch.cartesian_prod(step, step) @ plane.lattice
    grid = torch.cat((grid, torch.zeros_like(grid[:, :1])), -1)
    present = torch.ones(1, len(Q), dtype=torch.bool, device=Q.device)
    shifts = plane.translations(float(contact_distances.max()))
    heights = []
    for chunk in grid.split(max(MAX_CHUNK_PAIRS // (len(Q) * len(shifts)), 1)):
        site, count = _first_contact(
            chunk[None], Q[None], contact_distances[None], present, shifts, plane
        )
        heights.append(site[..., 2].masked_fill(count.isinf(), torch.inf).min())
    lowest = float(torch.stack(heights).min())
    return lowest if math.isfinite(lowest) else float(Q[:, 2].max())


def relax_overlaps(
    Q: Tensor,
    n_free: int,
    min_distances: Tensor,
    height_range: tuple[float, float],
    plane: PeriodicPlane,
    n_steps: int,
) -> Tensor:
    """Return positions in which the atoms that move have been pushed apart for some steps.

    Of two atoms that move both give way; a fixed atom stays, and the other one gives way alone.
    Atoms stay in the range of heights.
    """
    n, a, _ = Q.shape
    shifts = plane.translations(float(min_distances.max()))
    self_pair = is_self_pair(n_free, a, shifts)
    share = torch.ones(n_free, a, 1, dtype=Q.dtype, device=Q.device)
    share[:, :n_free] = 0.5
    distances = min_distances.unsqueeze(-1)
    max_push = 0.5 * min_distances.max()
    relaxed = []
    for chunk in Q.split(max(MAX_CHUNK_PAIRS // (n_free * a * len(shifts)), 1)) if n else ():
        free, fixed = chunk[:, :n_free], chunk[:, n_free:]
        for _ in range(n_steps):
            vectors = plane.displacements(free, torch.cat((free, fixed), 1), shifts)
            D = displacement_norms(vectors).masked_fill(self_pair, torch.inf)
            w = share * (distances / D - 1).clamp(min=0, max=1 / DISTANCE_FLOOR)
            push = torch.stack([(w * component).sum((-1, -2)) for component in vectors], -1)
            size = torch.linalg.vector_norm(push, dim=-1, keepdim=True)
            free = free + push * (max_push / size.clamp(min=DISTANCE_FLOOR)).clamp(max=1)
            free = torch.cat((free[..., :2], free[..., 2:].clamp(*height_range)), -1)
        relaxed.append(torch.cat((free, fixed), 1))
    return torch.cat(relaxed) if relaxed else Q


def deposit_all(
    n: int,
    Q: Tensor,
    n_slab_free: int,
    n_free: int,
    bond_lengths: Tensor,
    max_height: float,
    plane: PeriodicPlane,
    generator: torch.Generator,
) -> Tensor:
    """Return random structures `[n, a, 3]` Å of atoms that have come down on a slab.

    Free atoms of the slab are displaced a little, and in some structures a few of them are removed
    and come down with the others: in a quarter of them, or in every second one where there are no
    others.

    Args:
        n: number of structures.
        Q: `[a, 3]` Å, free atoms of the slab, those that come down (anywhere), and the fixed ones.
        n_slab_free: number of free atoms in the slab.
        n_free: number f of atoms that move.
        bond_lengths: `[a, a]` Å.
        max_height: height in Å that atoms should not exceed.
        plane: periodic plane of the surface.
        generator: random number generator.
    """
    a = len(Q)
    Q = Q.expand(n, a, 3).clone()
    stretch = uniform_between(BOND_STRETCH_RANGE, (n, 1), generator).to(Q)
    temperature = log_uniform_between(SELECTION_TEMPERATURE_RANGE, (n,), generator).to(Q)
    present = torch.ones(n, a, dtype=torch.bool, device=Q.device)
    present[:, n_slab_free:n_free] = False
    if n_slab_free:
        mean_bond = bond_lengths[:n_slab_free, :n_slab_free].mean()
        amplitude = log_uniform_between(RATTLE_AMPLITUDE_RANGE, (n, 1, 1), generator) * mean_bond
        Q[:, :n_slab_free] += amplitude * normal((n, n_slab_free, 3), generator).to(Q)
        present[:, :n_slab_free] = _retained_slab_atoms(
            Q, n_slab_free, n_free, bond_lengths, plane, present, generator
        )
    missing = ~present[:, :n_free]
    order = uniform((n, n_free), generator).to(Q).masked_fill(~missing, 2).argsort(-1)
    count = missing.sum(-1)
    for turn in range(int(count.max()) if n else 0):
        rows = (count > turn).nonzero().squeeze(-1)
        atom = order[rows, turn]
        Q[rows, atom] = drop_atoms(
            Q[rows],
            atom,
            present[rows],
            n_free,
            stretch[rows] * bond_lengths[atom],
            max_height,
            temperature[rows],
            plane,
            generator,
        )
        present[rows, atom] = True
    return Q


def _retained_slab_atoms(
    Q: Tensor,
    n_slab_free: int,
    n_free: int,
    bond_lengths: Tensor,
    plane: PeriodicPlane,
    present: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Return which free atoms of the slab stay on it, `[n, slab]` bool."""
    n = len(Q)
    u = uniform((n, 1), generator).to(Q)
    fraction = (u - (0.5 if n_free == n_slab_free else 0.75)).clamp(min=0)
    n_removed = (fraction * n_slab_free).ceil()
    looseness = (
        -coordination_numbers(Q, n_free, bond_lengths, plane, present)[:, :n_slab_free]
        / COORDINATION_TEMPERATURE
    )
    u = uniform((n, n_slab_free), generator).to(Q).clamp(min=1e-300)
    rank = (looseness - (-u.log()).log()).argsort(-1, descending=True).argsort(-1)
    return rank >= n_removed


def _sample_drop_positions(
    Q: Tensor,
    atom_index: Tensor,
    present: Tensor,
    n_free: int,
    contact_distances: Tensor,
    plane: PeriodicPlane,
    generator: torch.Generator,
) -> Tensor:
    """Return where atoms come down, `[n, k, 3]`: anywhere, or beside one that moves."""
    n = len(Q)
    rows = torch.arange(n, device=Q.device)
    anywhere = uniform((n, N_DROP_POSITIONS, 2), generator).to(Q) @ plane.lattice
    possible = present[:, :n_free].clone()
    possible[rows, atom_index] = False
    alone = ~possible.any(-1, keepdim=True)
    log_weights = torch.where(possible, 0.0, -torch.inf).to(Q).masked_fill(alone, 0.0)
    log_weights = log_weights.unsqueeze(1).expand(n, N_DROP_POSITIONS, n_free)
    partner = sample_categorical(log_weights, generator)  # [n, k]
    angle = 2 * math.pi * uniform((n, N_DROP_POSITIONS), generator).to(Q)
    ratio = uniform_between((0.3, 1.0), (n, N_DROP_POSITIONS), generator).to(Q)
    distance = contact_distances.gather(1, partner) * ratio
    step = torch.stack((angle.cos(), angle.sin()), -1) * distance.unsqueeze(-1)
    beside = Q[rows.unsqueeze(1), partner, :2] + step
    even = torch.arange(N_DROP_POSITIONS, device=Q.device) % 2 == 0
    lateral = torch.where((even | alone).unsqueeze(-1), anywhere, beside)
    return plane.wrap(torch.cat((lateral, torch.zeros_like(lateral[..., :1])), -1))


def _first_contact(
    drop_positions: Tensor,
    Q: Tensor,
    contact_distances: Tensor,
    present: Tensor,
    shifts: Tensor,
    plane: PeriodicPlane,
) -> tuple[Tensor, Tensor]:
    """Return where atoms first touch, `[n, k, 3]` Å, and their neighbors there.

    On the way down at a lateral distance r from an atom at height z, that atom is touched at
    z + sqrt(t² - r²). Where none is touched, the count is minus infinity.
    """
    x, y, _ = plane.displacements(drop_positions, Q, shifts)  # [n, k, a, s]
    square = x.square() + y.square()
    contact = contact_distances.unsqueeze(1).unsqueeze(-1)  # [n, 1, a, 1]
    inside = contact.square() - square
    hit = (inside > 0) & present.unsqueeze(1).unsqueeze(-1)
    z = Q[..., 2].unsqueeze(1).unsqueeze(-1)  # [n, 1, a, 1]
    height = torch.where(hit, z + inside.clamp(min=0).sqrt(), -torch.inf).amax((-1, -2))  # [n, k]
    missed = height.isinf()
    height = torch.where(missed, Q[..., 2].amax(-1, keepdim=True), height)
    D = (square + (height.unsqueeze(-1).unsqueeze(-1) - z).square()).sqrt()
    count = (_smooth_count(D, contact) * present.unsqueeze(1)).sum(-1)
    site = torch.cat((drop_positions[..., :2], height.unsqueeze(-1)), -1)
    return site, torch.where(missed, -torch.inf, count)


def _smooth_count(D: Tensor, bond_lengths: Tensor) -> Tensor:
    """Return the number of images within bonding distance, smoothly counted, `[..., a]`."""
    return torch.sigmoid((NEIGHBOR_CUTOFF_FACTOR - D / bond_lengths) / 0.05).sum(-1)
