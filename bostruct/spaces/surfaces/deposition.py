"""Atoms that settle on a surface.

An atom comes down along the normal until it touches, at several random places, and
takes one of them: rather one with many neighbors. So atoms land in hollows, at steps
and beside each other, one after the other, and structures come out flat and piled up,
in one island and scattered.

Notation (see also `plane`)
    f      the atoms that move; in every table they are the first f of all a
    Q      [n, a, 3]  Å   positions along the axes of the plane
    bond   [a, a]     Å   the length of a bond of each pair
    W      [f, a]     Å   wanted distances: atoms closer than that push each other away
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bostruct.spaces.clusters.moves import (
    COORDINATION_TEMPERATURE,
    NEIGHBOR_CUTOFF_FACTOR,
)
from bostruct.spaces.clusters.packing import DISTANCE_FLOOR
from bostruct.spaces.random_tensors import normal, sample_categorical, uniform
from bostruct.spaces.surfaces.periodic_plane import (
    PeriodicPlane,
    displacement_norms,
    is_self_pair,
)

N_DROP_POSITIONS = 32
"""Places at which an atom comes down, half of them beside others that move."""

BOND_STRETCH_RANGE = (0.92, 1.04)
"""Range of the distance at which atoms of one structure touch, in bonds."""

SELECTION_TEMPERATURE_RANGE = (0.3, 3.0)
"""Range of how many more neighbors a place must have to be e times as likely."""

RATTLE_AMPLITUDE_RANGE = (0.005, 0.1)
"""Range of the displacements of free atoms of the slab, in bonds."""

HEIGHT_PENALTY = 9.0
"""Neighbors that a place must have more for each Å above the ceiling."""

MAX_CHUNK_PAIRS = 1 << 20
"""Gaps between atoms worked on at a time."""


def coordination_numbers(
    Q: Tensor,
    n_free: int,
    bond_lengths: Tensor,
    plane: PeriodicPlane,
    present: Tensor | None = None,
) -> Tensor:
    """Return a smooth count of the neighbors of the atoms that move, `[n, f]`."""
    a = Q.shape[1]
    shifts = plane.translations(1.5 * float(bond_lengths.max()))
    D = displacement_norms(plane.displacements(Q[:, :n_free], Q, shifts)).masked_fill(
        is_self_pair(n_free, a, shifts), torch.inf
    )
    count = torch.sigmoid(
        (NEIGHBOR_CUTOFF_FACTOR - D / bond_lengths[:n_free].unsqueeze(-1)) / 0.05
    ).sum(-1)
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
        Q: `[n, a, 3]`.
        atom_index: `[n]` int64, the atom.
        present: `[n, a]` bool, the atoms it can touch, itself not.
        n_free: the first f atoms are those it is to land beside.
        contact_distances: `[n, a]` Å, the distance at which it touches each.
        max_height: Å, the height it should not exceed.
        temperature: `[n]`, see `CHOOSY`.
        plane: of the surface.
        generator: of the randomness.
    """
    n, a, _ = Q.shape
    where = _sample_drop_positions(
        Q, atom_index, present, n_free, contact_distances, plane, generator
    )  # [n, k, 3]
    if not n:
        return Q[:, 0]
    shifts = plane.translations(1.5 * float(contact_distances.max()))
    rows = max(MAX_CHUNK_PAIRS // (N_DROP_POSITIONS * a * len(shifts)), 1)
    inputs = (value.split(rows) for value in (where, Q, contact_distances, present))
    made = [
        _first_contact(there, atoms, reach, here, shifts, plane)
        for there, atoms, reach, here in zip(*inputs, strict=True)
    ]
    site = torch.cat([part[0] for part in made])
    count = torch.cat([part[1] for part in made])
    high = (site[..., 2] - max_height).clamp(min=0)
    chosen = sample_categorical(
        (count - HEIGHT_PENALTY * high) / temperature.unsqueeze(-1), generator
    )
    return site[torch.arange(n, device=Q.device), chosen]


def contact_height(
    Q: Tensor, contact_distances: Tensor, plane: PeriodicPlane, n_grid: int
) -> float:
    """Return the height of the lowest place where an atom comes to rest, Å.

    Holes through which it would fall are left out.

    Args:
        Q: `[a, 3]` Å, what it can touch.
        contact_distances: `[a]` Å, the distances at which it does.
        plane: of the surface.
        n_grid: places along each lattice vector that are tried.
    """
    step = torch.arange(n_grid, dtype=Q.dtype, device=Q.device) / n_grid
    where = torch.cartesian_prod(step, step) @ plane.lattice
    where = torch.cat((where, torch.zeros_like(where[:, :1])), -1)
    present = torch.ones(1, len(Q), dtype=torch.bool, device=Q.device)
    shifts = plane.translations(float(contact_distances.max()))
    heights = []
    for part in where.split(max(MAX_CHUNK_PAIRS // (len(Q) * len(shifts)), 1)):
        site, count = _first_contact(
            part[None], Q[None], contact_distances[None], present, shifts, plane
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
    """Return positions in which those that move have been pushed apart for some steps.

    Of two atoms that move both give way, before one that does not the other alone.
    They stay between the heights of the window.
    """
    n, a, _ = Q.shape
    shifts = plane.translations(float(min_distances.max()))
    own = is_self_pair(n_free, a, shifts)
    share = torch.ones(n_free, a, 1, dtype=Q.dtype, device=Q.device)
    share[:, :n_free] = 0.5
    wanted = min_distances.unsqueeze(-1)
    rows = max(MAX_CHUNK_PAIRS // (n_free * a * len(shifts)), 1)
    found = []
    for part in Q.split(rows) if n else ():
        free, rest = part[:, :n_free], part[:, n_free:]
        for _ in range(n_steps):
            parts = plane.displacements(free, torch.cat((free, rest), 1), shifts)
            D = displacement_norms(parts).masked_fill(own, torch.inf)
            w = share * (wanted / D - 1).clamp(min=0, max=1 / DISTANCE_FLOOR)
            push = torch.stack([(w * part).sum((-1, -2)) for part in parts], -1)
            size = torch.linalg.vector_norm(push, dim=-1, keepdim=True)
            push = push * (0.5 * min_distances.max() / size.clamp(min=DISTANCE_FLOOR)).clamp(max=1)
            free = free + push
            height = free[..., 2:].clamp(*height_range)
            free = torch.cat((free[..., :2], height), -1)
        found.append(torch.cat((free, rest), 1))
    return torch.cat(found) if found else Q


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

    Free atoms of the slab are shaken a little, and in some structures a few of them
    are taken off and come down with the others: in a quarter of them, or in every
    second one where there are no others.

    Args:
        n: how many.
        Q: `[a, 3]` Å, the free atoms of the slab, those that come down (wherever), and
            the fixed ones.
        n_slab_free: how many free atoms the slab has.
        n_free: the first f atoms move.
        bond_lengths: `[a, a]` Å.
        max_height: Å, the height that atoms should not exceed.
        plane: of the surface.
        generator: of the randomness.
    """
    a = len(Q)
    Q = Q.expand(n, a, 3).clone()
    stretch = _uniform_between(BOND_STRETCH_RANGE, (n, 1), generator).to(Q)
    choosy = _log_uniform_between(SELECTION_TEMPERATURE_RANGE, (n,), generator).to(Q)
    if n_slab_free:
        size = (
            _log_uniform_between(RATTLE_AMPLITUDE_RANGE, (n, 1, 1), generator)
            * bond_lengths[:n_slab_free, :n_slab_free].mean()
        )
        Q[:, :n_slab_free] += size * normal((n, n_slab_free, 3), generator).to(Q)
    present = torch.ones(n, a, dtype=torch.bool, device=Q.device)
    present[:, n_slab_free:n_free] = False
    if n_slab_free:
        present[:, :n_slab_free] = _retained_slab_atoms(
            Q, n_slab_free, n_free, bond_lengths, plane, present, generator
        )
    coming = ~present[:, :n_free]
    order = uniform((n, n_free), generator).to(Q).masked_fill(~coming, 2).argsort(-1)
    count = coming.sum(-1)
    for turn in range(int(count.max()) if n else 0):
        rows = (count > turn).nonzero().squeeze(-1)
        who = order[rows, turn]
        touch = stretch[rows] * bond_lengths[who]
        Q[rows, who] = drop_atoms(
            Q[rows],
            who,
            present[rows],
            n_free,
            touch,
            max_height,
            choosy[rows],
            plane,
            generator,
        )
        present[rows, who] = True
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
    drawn = uniform((n, 1), generator).to(Q)
    share = (drawn - (0.5 if n_free == n_slab_free else 0.75)).clamp(min=0)
    taken = (share * n_slab_free).ceil()
    loose = (
        -coordination_numbers(Q, n_free, bond_lengths, plane, present)[:, :n_slab_free]
        / COORDINATION_TEMPERATURE
    )
    drawn = uniform((n, n_slab_free), generator).to(Q).clamp(min=1e-300)
    rank = (loose - (-drawn.log()).log()).argsort(-1, descending=True).argsort(-1)
    return rank >= taken


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
    each = torch.arange(n, device=Q.device)
    anywhere = uniform((n, N_DROP_POSITIONS, 2), generator).to(Q) @ plane.lattice
    beside = present[:, :n_free].clone()
    beside[each, atom_index] = False
    alone = ~beside.any(-1, keepdim=True)
    weight = torch.where(beside, 0.0, -torch.inf).to(Q).masked_fill(alone, 0.0)
    weight = weight.unsqueeze(1).expand(n, N_DROP_POSITIONS, n_free)
    partner = sample_categorical(weight, generator)  # [n, k]
    angle = 2 * math.pi * uniform((n, N_DROP_POSITIONS), generator).to(Q)
    far = contact_distances.gather(1, partner) * _uniform_between(
        (0.3, 1.0), (n, N_DROP_POSITIONS), generator
    ).to(Q)
    step = torch.stack((angle.cos(), angle.sin()), -1) * far.unsqueeze(-1)
    near = Q[each.unsqueeze(1), partner, :2] + step
    half = torch.arange(N_DROP_POSITIONS, device=Q.device) % 2 == 0
    flat = torch.where((half | alone).unsqueeze(-1), anywhere, near)
    return plane.wrap(torch.cat((flat, torch.zeros_like(flat[..., :1])), -1))


def _first_contact(
    drop_positions: Tensor,
    Q: Tensor,
    contact_distances: Tensor,
    present: Tensor,
    shifts: Tensor,
    plane: PeriodicPlane,
) -> tuple[Tensor, Tensor]:
    """Return where atoms first touch, `[n, k, 3]` Å, and their neighbors there.

    On the way down over a lateral distance r, an atom at height z is touched at
    z + sqrt(t² - r²). Where nothing is touched, the count is minus infinity.
    """
    x, y, _ = plane.displacements(drop_positions, Q, shifts)  # [n, k, a, s]
    square = x.square() + y.square()
    reach = contact_distances.square().unsqueeze(1).unsqueeze(-1) - square
    hit = (reach > 0) & present.unsqueeze(1).unsqueeze(-1)
    z = Q[..., 2].unsqueeze(1).unsqueeze(-1)  # [n, 1, a, 1]
    stop = torch.where(hit, z + reach.clamp(min=0).sqrt(), -torch.inf)
    height = stop.amax((-1, -2))  # [n, k]
    missed = height.isinf()
    height = torch.where(missed, Q[..., 2].amax(-1, keepdim=True), height)
    D = (square + (height.unsqueeze(-1).unsqueeze(-1) - z).square()).sqrt()
    count = torch.sigmoid(
        (NEIGHBOR_CUTOFF_FACTOR - D / contact_distances.unsqueeze(1).unsqueeze(-1)) / 0.05
    ).sum(-1)
    count = (count * present.unsqueeze(1)).sum(-1)
    site = torch.cat((drop_positions[..., :2], height.unsqueeze(-1)), -1)
    return site, torch.where(missed, -torch.inf, count)


def _uniform_between(
    limits: tuple[float, float], shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    low, high = limits
    return low + (high - low) * uniform(shape, generator)


def _log_uniform_between(
    limits: tuple[float, float], shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    low, high = (math.log(value) for value in limits)
    return torch.exp(low + (high - low) * uniform(shape, generator))
