"""Deposition of molecules: whole ones come down on a surface, turned at random, until they touch.

In some structures they touch where a bond to the surface is formed, in others at van der Waals
distances, or in between: molecules may be chemisorbed or physisorbed.

Notation (see also `deposition`)
    f, a   number of atoms that move, of all atoms; those that move come first
    u, w   number of units that move, of atoms of the largest one
    Q      [n, a, 3]  Å   positions along the axes of the plane
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bostruct.spaces.clusters.molecular_packing import contact_weights, sum_over_units
from bostruct.spaces.clusters.moves import COORDINATION_TEMPERATURE, NEIGHBOR_CUTOFF_FACTOR
from bostruct.spaces.clusters.packing import DISTANCE_FLOOR
from bostruct.spaces.molecules.fragments import Fragments
from bostruct.spaces.molecules.moves import random_conformations
from bostruct.spaces.molecules.rotations import random_rotations, rotation_matrices
from bostruct.spaces.random_tensors import (
    log_uniform_between,
    sample_categorical,
    uniform,
    uniform_between,
)
from bostruct.spaces.surfaces.deposition import (
    BOND_STRETCH_RANGE,
    HEIGHT_PENALTY,
    MAX_CHUNK_PAIRS,
    SELECTION_TEMPERATURE_RANGE,
    coordination_numbers,
)
from bostruct.spaces.surfaces.periodic_plane import (
    PeriodicPlane,
    displacement_norms,
    is_self_pair,
)

N_DROPS = 32
"""Number of positions and orientations in which a molecule comes down."""


def deposit_molecules(
    Q: Tensor,
    fragments: Fragments,
    bond_lengths: Tensor,
    far_lengths: Tensor,
    max_height: float,
    plane: PeriodicPlane,
    generator: torch.Generator,
) -> Tensor:
    """Return structures on which all molecules have come down, `[n, a, 3]` Å.

    Args:
        Q: `[n, a, 3]` Å, with the free atoms and the slab where they are, molecules anywhere.
        fragments: units of the atoms that move, free atoms first.
        bond_lengths: `[a, a]` Å, least distances at which atoms touch.
        far_lengths: `[a, a]` Å, largest distances at which they do.
        max_height: height in Å that atoms should not exceed.
        plane: periodic plane of the surface.
        generator: random number generator.
    """
    n, f, k = len(Q), len(fragments.numbers), len(fragments.free_numbers)
    Q = Q.clone()
    Q[:, k:f] = random_conformations(n, fragments, generator).to(Q)[:, k:]
    stretch = uniform_between(BOND_STRETCH_RANGE, (n,), generator).to(Q)
    share = uniform((n,), generator).to(Q)
    temperature = log_uniform_between(SELECTION_TEMPERATURE_RANGE, (n,), generator).to(Q)
    n_molecules = len(fragments.units) - k
    order = k + uniform((n, n_molecules), generator).to(Q).argsort(-1)
    present = torch.ones(n, Q.shape[1], dtype=torch.bool, device=Q.device)
    present[:, k:f] = False
    for unit in order.unbind(-1):
        Q = drop_unit(
            *(Q, fragments, unit, present, stretch, share, temperature),
            lengths=(bond_lengths, far_lengths),
            max_height=max_height,
            plane=plane,
            generator=generator,
        )
        present = present | _atoms_of(unit, fragments, Q.shape[1])
    return Q


def drop_unit(
    Q: Tensor,
    fragments: Fragments,
    unit: Tensor,
    present: Tensor,
    stretch: Tensor,
    share: Tensor,
    temperature: Tensor,
    *,
    lengths: tuple[Tensor, Tensor],
    max_height: float,
    plane: PeriodicPlane,
    generator: torch.Generator,
) -> Tensor:
    """Return structures in which one unit of each has come down, turned at random.

    Of several positions and orientations those with many contacts are preferred.

    Args:
        Q: `[n, a, 3]` Å positions.
        fragments: units of the atoms that move.
        unit: `[n]` int64, the unit that comes down.
        present: `[n, a]` bool, atoms that it can touch, its own excluded.
        stretch: `[n]`, factor on the distances at which atoms touch.
        share: `[n]`, 0 where they touch at the least distances, 1 where at the largest.
        temperature: `[n]`, number of additional neighbors that make a position e times as likely.
        lengths: least and largest distances at which atoms touch, two `[a, a]` Å.
        max_height: height in Å that its atoms should not exceed.
        plane: periodic plane of the surface.
        generator: random number generator.
    """
    n, f = len(Q), len(fragments.numbers)
    if not n:
        return Q
    width = fragments.unit_atoms.shape[1]
    bond_lengths, far_lengths = lengths
    shifts = plane.translations(1.5 * float(far_lengths.max()))
    R = random_rotations((n, N_DROPS), generator).to(Q)
    lateral = uniform((n, N_DROPS, 2), generator).to(Q) @ plane.lattice
    weights = torch.ones_like(bond_lengths)
    weights[:f, :f] = contact_weights(fragments).to(Q)
    rows = max(MAX_CHUNK_PAIRS // (N_DROPS * width * Q.shape[1] * len(shifts)), 1)
    tensors = (Q, unit, present, stretch, share, R, lateral)
    drops = [
        _first_contact(fragments, lengths, weights, shifts, plane, *chunk)
        for chunk in zip(*(value.split(rows) for value in tensors), strict=True)
    ]
    arms, site, count = (torch.cat(values) for values in zip(*drops, strict=True))
    top = (site[..., 2] + arms[..., 2].amax(-1) - max_height).clamp(min=0)
    penalty = HEIGHT_PENALTY * top / float(bond_lengths[:f].mean())
    chosen = sample_categorical((count - penalty) / temperature.unsqueeze(-1), generator)
    each = torch.arange(n, device=Q.device)
    atoms = fragments.unit_atoms.to(Q.device)[unit]
    is_atom = atoms >= 0
    new = site[each, chosen].unsqueeze(1) + arms[each, chosen]  # [n, w, 3]
    moved = Q.clone()
    row = each.unsqueeze(-1).expand_as(atoms)
    moved[row[is_atom], atoms[is_atom]] = new[is_atom]
    return moved


def _first_contact(
    fragments: Fragments,
    lengths: tuple[Tensor, Tensor],
    weights: Tensor,
    shifts: Tensor,
    plane: PeriodicPlane,
    Q: Tensor,
    unit: Tensor,
    present: Tensor,
    stretch: Tensor,
    share: Tensor,
    R: Tensor,
    lateral: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return arms `[n, k, w, 3]` Å, where centers come to rest `[n, k, 3]` Å, and contacts there.

    On the way down atom i of the unit, at a height h above its center, touches atom j at height z
    and lateral distance r when the center is at z - h + sqrt(t² - r²).
    """
    n, f = len(Q), len(fragments.numbers)
    each = torch.arange(n, device=Q.device)
    atoms = fragments.unit_atoms.to(Q.device)[unit]  # [n, w]
    is_atom, atoms = atoms >= 0, atoms.clamp(min=0)
    centers = fragments.centers(Q[:, :f])[each, unit]
    arms = (Q[each.unsqueeze(-1), atoms] - centers.unsqueeze(1)) * is_atom.unsqueeze(-1)
    arms = arms.unsqueeze(1) @ R.mT  # [n, k, w, 3]
    k, w = arms.shape[1:3]
    drops = torch.cat((lateral, torch.zeros_like(lateral[..., :1])), -1).unsqueeze(2) + arms
    x, y, _ = plane.displacements(drops.flatten(1, 2), Q, shifts)  # [n, k w, a, s]
    square = (x.square() + y.square()).unflatten(1, (k, w))
    least, most = (length[atoms] for length in lengths)  # [n, w, a]
    touch = torch.lerp(least, most, share[:, None, None]) * stretch[:, None, None]
    contact = touch[:, None, :, :, None]
    inside = contact.square() - square
    pairs = (is_atom.unsqueeze(-1) & present.unsqueeze(1))[:, None, :, :, None]
    z = Q[:, None, None, :, 2, None] - arms[..., 2, None, None]
    hit = (inside > 0) & pairs
    height = torch.where(hit, z + inside.clamp(min=0).sqrt(), -torch.inf).flatten(2).amax(-1)
    missed = height.isinf()
    height = torch.where(missed, Q[..., 2].amax(-1, keepdim=True), height)
    D = (square + (height[..., None, None, None] - z).square()).sqrt()
    near = torch.sigmoid((NEIGHBOR_CUTOFF_FACTOR - D / contact.clamp(min=1e-6)) / 0.05)
    count = (near * pairs * weights[atoms][:, None, :, :, None]).flatten(2).sum(-1)
    site = torch.cat((lateral, height.unsqueeze(-1)), -1)
    return arms, site, torch.where(missed, -torch.inf, count)


def relocate_unit(
    Q: Tensor,
    fragments: Fragments,
    bond_lengths: Tensor,
    far_lengths: Tensor,
    max_height: float,
    plane: PeriodicPlane,
    generator: torch.Generator,
) -> Tensor:
    """Remove one loosely bound unit of each structure and deposit it again, turned at random."""
    n, f = len(Q), len(fragments.numbers)
    count = coordination_numbers(Q, f, bond_lengths, plane)
    own = fragments.is_same_unit.sum(-1).to(Q) - 1  # neighbors within the unit
    looseness = -sum_over_units((count - own).unsqueeze(-1), fragments).squeeze(-1)
    unit = sample_categorical(looseness / COORDINATION_TEMPERATURE, generator)
    present = ~_atoms_of(unit, fragments, Q.shape[1])
    ones, share = Q.new_ones(n), uniform((n,), generator).to(Q)
    return drop_unit(
        *(Q, fragments, unit, present, ones, share, COORDINATION_TEMPERATURE * ones),
        lengths=(bond_lengths, far_lengths),
        max_height=max_height,
        plane=plane,
        generator=generator,
    )


def slide_units(
    Q: Tensor,
    fragments: Fragments,
    first_unit: int,
    plane: PeriodicPlane,
    generator: torch.Generator,
) -> Tensor:
    """Rotate all units from one on about the normal of the surface, and shift them along it.

    They move as one, in the images nearest to one of them.
    """
    n, f = len(Q), len(fragments.numbers)
    moving = Q[:, :f]
    centers = fragments.centers(moving)[:, first_unit:]  # [n, u, 3]
    pivot = sample_categorical(centers.new_zeros(centers.shape[:2]), generator)
    middle = centers[torch.arange(n, device=Q.device), pivot].unsqueeze(1)
    arms = (centers - middle)[..., :2]
    lattice_shift = (arms @ plane.inverse_lattice).round() @ plane.lattice
    shifts = Q.new_zeros(n, len(fragments.units), 3)
    shifts[:, first_unit:, :2] = -lattice_shift
    gathered = fragments.translate(moving, shifts) - middle
    angle = 2 * math.pi * uniform((n, 1), generator).to(Q)
    x, y, z = gathered.unbind(-1)
    cos, sin = angle.cos(), angle.sin()
    turned = torch.stack((x * cos - y * sin, x * sin + y * cos, z), -1) + middle
    step = uniform((n, 1, 2), generator).to(Q) @ plane.lattice
    turned = turned + torch.nn.functional.pad(step, (0, 1))
    slides = (fragments.unit_index >= first_unit).to(Q.device).unsqueeze(-1)
    return torch.cat((torch.where(slides, turned, moving), Q[:, f:]), 1)


def push_units_apart(
    Q: Tensor,
    fragments: Fragments,
    min_distances: Tensor,
    height_range: tuple[float, float],
    plane: PeriodicPlane,
    n_steps: int,
) -> Tensor:
    """Return positions whose units have been pushed apart as rigid bodies for some steps.

    Of two units that move both give way; a fixed atom stays. Units stay in the range of heights.

    Args:
        Q: `[n, a, 3]` Å.
        fragments: units of the atoms that move.
        min_distances: `[f, a]` Å, closer atoms of different units push these apart.
        height_range: heights between which atoms stay, Å.
        plane: periodic plane of the surface.
        n_steps: number of steps.
    """
    f, a = min_distances.shape
    if not len(Q):
        return Q
    limits = min_distances.clone()
    limits[:, :f].masked_fill_(fragments.is_same_unit.to(Q.device), 0.0)
    shifts = plane.translations(float(limits.max()))
    self_pair = is_self_pair(f, a, shifts)
    share = Q.new_ones(f, a, 1)
    share[:, :f] = 0.5
    rows = max(MAX_CHUNK_PAIRS // (f * a * len(shifts)), 1)
    pushed = []
    for chunk in Q.split(rows):
        free, fixed = chunk[:, :f], chunk[:, f:]
        for _ in range(n_steps):
            vectors = plane.displacements(free, torch.cat((free, fixed), 1), shifts)
            D = displacement_norms(vectors).masked_fill(self_pair, torch.inf)
            w = share * (limits.unsqueeze(-1) / D - 1).clamp(min=0, max=1)
            push = torch.stack([(w * component).sum((-1, -2)) for component in vectors], -1)
            touched = (w.sum((-1, -2)) > 0).to(Q).unsqueeze(-1)
            count = sum_over_units(touched, fragments).clamp(min=1)
            arms = free - fragments.centers(free)[:, fragments.unit_index.to(Q.device)]
            torque = sum_over_units(torch.linalg.cross(arms, push), fragments)
            inertia = sum_over_units(arms.square().sum(-1, keepdim=True), fragments)
            R = rotation_matrices(torque / inertia.clamp(min=DISTANCE_FLOOR))
            free = fragments.rotate(free, R)
            free = fragments.translate(free, sum_over_units(push, fragments) / count)
            free = clamp_heights(free, fragments, height_range)
        pushed.append(torch.cat((free, fixed), 1))
    return torch.cat(pushed)


def clamp_heights(Q: Tensor, fragments: Fragments, height_range: tuple[float, float]) -> Tensor:
    """Return units `[n, f, 3]` Å shifted along the normal into a range of heights."""
    low, high = height_range
    index = fragments.unit_index.to(Q.device).expand(Q.shape[:-1])
    heights = Q.new_zeros(*Q.shape[:-2], len(fragments.units))
    bottom, top = (
        heights.scatter_reduce(-1, index, Q[..., 2], kind, include_self=False)
        for kind in ("amin", "amax")
    )
    shift = (low - bottom).clamp(min=0) - (top - high).clamp(min=0)
    return fragments.translate(Q, torch.nn.functional.pad(shift.unsqueeze(-1), (2, 0)))


def wrap_units(Q: Tensor, fragments: Fragments, plane: PeriodicPlane, margin: float) -> Tensor:
    """Return units `[..., f, 3]` Å, each in one piece, with its first atom in the cell."""
    first = Q[..., torch.tensor(fragments.first_atoms, device=Q.device), :]
    return fragments.translate(Q, plane.wrap(first, margin) - first)


def join_units(Q: Tensor, fragments: Fragments, plane: PeriodicPlane) -> Tensor:
    """Return units `[..., f, 3]` Å put together: bonded atoms in the nearest images."""
    Q = Q.clone()
    placed: set[int] = set()
    for first in fragments.first_atoms:
        order = [first]
        placed.add(first)
        for i in order:
            for j in fragments.neighbors[i]:
                if j not in placed:
                    placed.add(j)
                    order.append(j)
                    step = (Q[..., j, :2] - Q[..., i, :2]) @ plane.inverse_lattice
                    Q[..., j, :2] -= step.round() @ plane.lattice
    return Q


def _atoms_of(unit: Tensor, fragments: Fragments, n_atoms: int) -> Tensor:
    """Return the atoms of one unit of each structure, `[n, a]` bool."""
    own = fragments.unit_index.to(unit.device) == unit.unsqueeze(-1)  # [n, f]
    return torch.nn.functional.pad(own, (0, n_atoms - own.shape[1]))
