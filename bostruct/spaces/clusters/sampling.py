"""Random compact clusters.

As in ab initio random structure searching [P11], atoms are thrown at random into a
small volume and pushed apart until none overlap. The volume is an ellipsoid of random
shape and density, and the atoms are drawn together while they push, so that clusters
come out round, long and flat, always of one piece, and never with atoms on top of each
other: cheap to relax, and unlike each other. Thrown at the places of a point group they
stay symmetric while they push; the most stable clusters often are, and few that are
drawn without have a chance to be.

    [P11] Pickard, Needs, J. Phys.: Condens. Matter 23, 053201 (2011),
          doi:10.1088/0953-8984/23/5/053201
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bostruct.spaces.clusters.packing import (
    CONFINEMENT_FRACTION,
    center_positions,
    confine,
    distance_matrix,
    is_connected,
    push_apart,
    split_chunks,
)
from bostruct.spaces.clusters.symmetric_sampling import OrbitPlacement, sample_orbits
from bostruct.spaces.random_tensors import normal, uniform, unit_vectors

N_TRIAL_SAMPLES = 8
"""Samples that must succeed when a space is made."""

N_TRIAL_ATTEMPTS = 20
"""Times that trial samples which came out wrong are drawn again."""

N_SAMPLE_ATTEMPTS = 500
"""The same for samples that are asked for: what the trial found possible is found."""

N_GATHER_STEPS = 32
"""Steps in which atoms are drawn together and pushed apart."""

N_SETTLE_STEPS = 10
"""Steps in which they are only pushed apart."""

PULL_FRACTION_RANGE = (0.05, 0.15)
"""Range of the part of the way to the centre that atoms are drawn in the first step."""

LOG_AXIS_STD = 0.2
"""Standard deviation of the logarithms of the axes of the ellipsoid."""

PACKING_FRACTION_RANGE = (0.25, 0.6)
"""Range of the part of the ellipsoid that the atoms fill at first."""

BOND_STRETCH_RANGE = (0.92, 1.04)
"""Range of the bonds of a cluster, in bonds."""

SYMMETRY_BREAKING_STD = 0.03
"""Standard deviation of what atoms of symmetric clusters are shaken by, in bonds."""

CONNECTION_FACTOR = 1.25
"""Atoms closer than this times their bond hold together."""


def sample_compact(
    n: int, bond_lengths: Tensor, radius: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return random clusters and whether each is of one piece.

    Args:
        n: how many.
        bond_lengths: `[a, a]` Å, the length of a bond of each pair; zero on the diagonal.
        radius: Å, of the sphere the atoms are gathered in. Once centred, a few may
            stick out.
        generator: of the randomness.

    Returns:
        positions `[n, a, 3]` Å, centred, and `[n]` bool.
    """
    axes = torch.exp(LOG_AXIS_STD * normal((n, 1, 3), generator))
    axes = axes / axes.log().mean(-1, keepdim=True).exp()  # of volume 1
    return _pack_atoms(axes, bond_lengths, radius, generator)


def sample_symmetric(
    n: int,
    numbers: Tensor,
    bond_lengths: Tensor,
    radius: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Return random symmetric clusters and whether each is of one piece.

    Each has a point group drawn at random among those whose orbits can make up its
    species. At last all atoms are shaken a little: a relaxation never breaks a
    symmetry, and so would end on a saddle.

    Args:
        n: how many.
        numbers: `[a]`, the species.
        bond_lengths: as in `compact`, with the radius and the generator.
        radius: see bond.
        generator: see bond.

    Returns:
        As `compact`.
    """
    found = sample_orbits(n, numbers, generator)
    device = generator.device
    long = normal((n, 1, 1), generator) * found.has_main_axis.to(device).reshape(n, 1, 1)
    axes = torch.exp(LOG_AXIS_STD * long * long.new_tensor([-0.5, -0.5, 1.0]))
    return _pack_atoms(axes, bond_lengths, radius, generator, found)


def _pack_atoms(
    axes: Tensor,
    bond_lengths: Tensor,
    radius: float,
    generator: torch.Generator,
    placement: OrbitPlacement | None = None,
) -> tuple[Tensor, Tensor]:
    """Return clusters thrown into ellipsoids of these axes `[n, 1, 3]` and packed."""
    n, a = len(axes), bond_lengths.shape[0]
    bond_lengths = bond_lengths.to(generator.device)
    if n == 0:
        empty = bond_lengths.new_zeros(0, a, 3)
        return empty, torch.zeros(0, dtype=torch.bool, device=bond_lengths.device)
    density = _uniform_between(PACKING_FRACTION_RANGE, n, generator)
    stretch = _uniform_between(BOND_STRETCH_RANGE, n, generator)
    pull = _uniform_between(PULL_FRACTION_RANGE, n, generator) / axes**2  # so that the shape stays
    # radius of a sphere of the volume of the atoms, which touch at the mean bond
    half = bond_lengths.sum() / (2 * a * (a - 1))
    size = half * (a / density) ** (1 / 3)  # [n, 1, 1] Å
    inside = uniform((n, a, 1), generator) ** (1 / 3)
    P = unit_vectors((n, a), generator) * inside * size
    if placement is not None:
        place = placement.orbit_index.to(P.device).unsqueeze(-1).expand_as(P)
        maps = placement.operations.to(P.device)
        P = (maps @ P.gather(1, place).unsqueeze(-1)).squeeze(-1)
    P = P * axes
    # clusters of shorter bonds are larger ones, made smaller
    P, room = P / stretch, CONFINEMENT_FRACTION * radius / stretch
    parts = zip(split_chunks(P), split_chunks(pull, a), split_chunks(room, a), strict=True)
    made = [_gather_atoms(part, bond_lengths, draw, limit) for part, draw, limit in parts]
    P = torch.cat(made) * stretch
    if placement is not None:
        P = P + SYMMETRY_BREAKING_STD * 2 * half * normal((n, a, 3), generator)
    whole = [
        is_connected(distance_matrix(part), CONNECTION_FACTOR * bond_lengths)
        for part in split_chunks(P)
    ]
    return P, torch.cat(whole)


def rejection_sample(
    n: int,
    dimension: int,
    draw: Callable[[int], tuple[Tensor, Tensor]],
    max_attempts: int,
) -> Tensor | None:
    """Return n good samples `[n, d]` on the CPU, or None if some could not be made.

    Args:
        n: how many.
        dimension: numbers in each.
        draw: takes a count, returns samples `[count, d]` and which are good `[count]`.
        max_attempts: times that those which came out wrong are drawn again.
    """
    X = torch.zeros(n, dimension, dtype=torch.float64)
    missing = torch.arange(n)
    for _ in range(max_attempts):
        if not len(missing):
            break
        found, good = draw(len(missing))
        good = good.cpu()
        X[missing[good]] = found.cpu()[good]
        missing = missing[~good]
    return None if len(missing) else X


def _gather_atoms(P: Tensor, bond_lengths: Tensor, pull: Tensor, max_radius: Tensor) -> Tensor:
    """Return positions drawn together and pushed apart, centred."""
    P = confine(center_positions(P), max_radius)
    for step in range(N_GATHER_STEPS + N_SETTLE_STEPS):
        if step < N_GATHER_STEPS:
            P = P * (1 - (1 - step / N_GATHER_STEPS) * pull).clamp(min=0.8)
        P = confine(push_apart(P, bond_lengths), max_radius)
    return center_positions(P)


def _uniform_between(limits: tuple[float, float], n: int, generator: torch.Generator) -> Tensor:
    """Return numbers uniform between limits, `[n, 1, 1]`."""
    low, high = limits
    return low + (high - low) * uniform((n, 1, 1), generator)
