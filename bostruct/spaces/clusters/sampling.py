"""Sampling of random compact clusters.

As in ab initio random structure searching [P11], atoms are thrown at random into a small volume and
pushed apart until none overlap. The volume is an ellipsoid of random shape and density, and the
atoms are drawn together while they push, so that clusters come out round, long and flat, always
connected, and never with atoms on top of each other: cheap to relax, and diverse. Placed on the
orbits of a point group they stay symmetric while they push; the most stable clusters often are
symmetric, and few that are sampled without symmetry become so.

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
    push_apart,
    split_chunks,
)
from bostruct.spaces.clusters.symmetric_sampling import OrbitPlacement, sample_orbits
from bostruct.spaces.connectivity import is_connected
from bostruct.spaces.random_tensors import normal, uniform, uniform_between, unit_vectors

N_TRIAL_SAMPLES = 8
"""Number of samples that must succeed when a space is made."""

N_TRIAL_ATTEMPTS = 20
"""Number of attempts at the trial samples."""

N_SAMPLE_ATTEMPTS = 500
"""Number of attempts at all other samples, which the trial has shown to be possible."""

N_GATHER_STEPS = 32
"""Number of steps in which atoms are drawn together and pushed apart."""

N_SETTLE_STEPS = 10
"""Number of steps after these, in which atoms are only pushed apart."""

PULL_FRACTION_RANGE = (0.05, 0.15)
"""Range of the fraction of the way to the center that atoms are drawn in the first step."""

LOG_AXIS_STD = 0.2
"""Standard deviation of the logarithms of the axes of the ellipsoid."""

PACKING_FRACTION_RANGE = (0.25, 0.6)
"""Range of the fraction of the ellipsoid that the atoms fill at first."""

BOND_STRETCH_RANGE = (0.92, 1.04)
"""Range of the bond lengths in a cluster, relative to the sum of the radii."""

SYMMETRY_BREAKING_STD = 0.03
"""Standard deviation of the displacements of atoms in symmetric clusters, in bond lengths."""

CONNECTION_FACTOR = 1.25
"""Largest distance of bonded atoms, in bond lengths."""


def sample_compact(
    n: int, bond_lengths: Tensor, radius: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return random clusters, and whether each is connected.

    Args:
        n: number of clusters.
        bond_lengths: `[a, a]` Å, zero on the diagonal.
        radius: radius in Å of the sphere the atoms are gathered in. After centering, a few may lie
            outside.
        generator: random number generator.

    Returns:
        positions `[n, a, 3]` Å, centered, and `[n]` bool.
    """
    axes = torch.exp(LOG_AXIS_STD * normal((n, 1, 3), generator))
    axes = axes / axes.log().mean(-1, keepdim=True).exp()  # of volume 1
    return _pack_atoms(axes, bond_lengths, radius, generator)


def sample_symmetric(
    n: int, numbers: Tensor, bond_lengths: Tensor, radius: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return random symmetric clusters, and whether each is connected.

    The point group of each is drawn among those whose orbits can make up its species. In the end
    all atoms are displaced a little: a relaxation never breaks a symmetry, and would end on a
    saddle point.

    Args:
        n: number of clusters.
        numbers: `[a]` atomic numbers.
        bond_lengths: `[a, a]` Å, zero on the diagonal.
        radius: radius in Å of the sphere the atoms are gathered in.
        generator: random number generator.

    Returns:
        positions `[n, a, 3]` Å, centered, and `[n]` bool.
    """
    placement = sample_orbits(n, numbers, generator)
    has_main_axis = placement.has_main_axis.to(generator.device).reshape(n, 1, 1)
    elongation = normal((n, 1, 1), generator) * has_main_axis
    axes = torch.exp(LOG_AXIS_STD * elongation * elongation.new_tensor([-0.5, -0.5, 1.0]))
    return _pack_atoms(axes, bond_lengths, radius, generator, placement)


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
    density = uniform_between(PACKING_FRACTION_RANGE, (n, 1, 1), generator)
    stretch = uniform_between(BOND_STRETCH_RANGE, (n, 1, 1), generator)
    pull = uniform_between(PULL_FRACTION_RANGE, (n, 1, 1), generator) / axes**2  # keeps the shape
    # radius of a sphere of the volume of the atoms, which touch at the mean bond
    half = bond_lengths.sum() / (2 * a * (a - 1))
    size = half * (a / density) ** (1 / 3)  # [n, 1, 1] Å
    radii = uniform((n, a, 1), generator) ** (1 / 3)
    P = unit_vectors((n, a), generator) * radii * size
    if placement is not None:
        orbit_index = placement.orbit_index.to(P.device).unsqueeze(-1).expand_as(P)
        operations = placement.operations.to(P.device)
        P = (operations @ P.gather(1, orbit_index).unsqueeze(-1)).squeeze(-1)
    P = P * axes
    # clusters of shorter bonds are packed as larger ones, then scaled down
    P, max_radius = P / stretch, CONFINEMENT_FRACTION * radius / stretch
    chunks = zip(split_chunks(P), split_chunks(pull, a), split_chunks(max_radius, a), strict=True)
    P = torch.cat([_gather_atoms(p, bond_lengths, f, r) for p, f, r in chunks]) * stretch
    if placement is not None:
        P = P + SYMMETRY_BREAKING_STD * 2 * half * normal((n, a, 3), generator)
    max_bonds = CONNECTION_FACTOR * bond_lengths
    connected = [is_connected(distance_matrix(chunk), max_bonds) for chunk in split_chunks(P)]
    return P, torch.cat(connected)


def rejection_sample(
    n: int, dimension: int, draw: Callable[[int], tuple[Tensor, Tensor]], max_attempts: int
) -> Tensor | None:
    """Return n valid samples `[n, d]` on the CPU, or None if some could not be made.

    Args:
        n: number of samples.
        dimension: number of coordinates d of each.
        draw: function of a count that returns samples `[count, d]` and which are valid `[count]`.
        max_attempts: largest number of times that invalid samples are drawn again.
    """
    X = torch.zeros(n, dimension, dtype=torch.float64)
    missing = torch.arange(n)
    for _ in range(max_attempts):
        if not len(missing):
            break
        samples, valid = (tensor.cpu() for tensor in draw(len(missing)))
        X[missing[valid]] = samples[valid]
        missing = missing[~valid]
    return None if len(missing) else X


def _gather_atoms(P: Tensor, bond_lengths: Tensor, pull: Tensor, max_radius: Tensor) -> Tensor:
    """Return positions drawn together and pushed apart, centered."""
    P = confine(center_positions(P), max_radius)
    for step in range(N_GATHER_STEPS + N_SETTLE_STEPS):
        if step < N_GATHER_STEPS:
            P = P * (1 - (1 - step / N_GATHER_STEPS) * pull).clamp(min=0.8)
        P = confine(push_apart(P, bond_lengths), max_radius)
    return center_positions(P)
