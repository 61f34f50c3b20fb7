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
    BRIM,
    centred,
    confined,
    connected,
    distances,
    portions,
    pushed,
)
from bostruct.spaces.clusters.symmetric_sampling import Orbits, orbits
from bostruct.spaces.random_tensors import direction, normal, uniform

TRIAL = 8
"""Samples that must succeed when a space is made."""

ROUNDS = 20
"""Times that trial samples which came out wrong are drawn again."""

PATIENCE = 500
"""The same for samples that are asked for: what the trial found possible is found."""

GATHER = 32
"""Steps in which atoms are drawn together and pushed apart."""

SETTLE = 10
"""Steps in which they are only pushed apart."""

PULL = (0.05, 0.15)
"""Range of the part of the way to the centre that atoms are drawn in the first step."""

ELONGATION = 0.2
"""Standard deviation of the logarithms of the axes of the ellipsoid."""

DENSITY = (0.25, 0.6)
"""Range of the part of the ellipsoid that the atoms fill at first."""

STRETCH = (0.92, 1.04)
"""Range of the bonds of a cluster, in bonds."""

SHAKEN = 0.03
"""Standard deviation of what atoms of symmetric clusters are shaken by, in bonds."""

LINK = 1.25
"""Atoms closer than this times their bond hold together."""


def compact(
    n: int, bond: Tensor, radius: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return random clusters and whether each is of one piece.

    Args:
        n: how many.
        bond: `[a, a]` Å, the length of a bond of each pair; zero on the diagonal.
        radius: Å, of the sphere the atoms are gathered in. Once centred, a few may
            stick out.
        generator: of the randomness.

    Returns:
        positions `[n, a, 3]` Å, centred, and `[n]` bool.
    """
    axes = torch.exp(ELONGATION * normal((n, 1, 3), generator))
    axes = axes / axes.log().mean(-1, keepdim=True).exp()  # of volume 1
    return _packed(axes, bond, radius, generator)


def symmetric(
    n: int, numbers: Tensor, bond: Tensor, radius: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return random symmetric clusters and whether each is of one piece.

    Each has a point group drawn at random among those whose orbits can make up its
    species. At last all atoms are shaken a little: a relaxation never breaks a
    symmetry, and so would end on a saddle.

    Args:
        n: how many.
        numbers: `[a]`, the species.
        bond: as in `compact`, with the radius and the generator.
        radius: see bond.
        generator: see bond.

    Returns:
        As `compact`.
    """
    found = orbits(n, numbers, generator)
    device = generator.device
    long = normal((n, 1, 1), generator) * found.long.to(device).reshape(n, 1, 1)
    axes = torch.exp(ELONGATION * long * long.new_tensor([-0.5, -0.5, 1.0]))
    return _packed(axes, bond, radius, generator, found)


def _packed(
    axes: Tensor,
    bond: Tensor,
    radius: float,
    generator: torch.Generator,
    placed: Orbits | None = None,
) -> tuple[Tensor, Tensor]:
    """Return clusters thrown into ellipsoids of these axes `[n, 1, 3]` and packed."""
    n, a = len(axes), bond.shape[0]
    bond = bond.to(generator.device)
    if n == 0:
        empty = bond.new_zeros(0, a, 3)
        return empty, torch.zeros(0, dtype=torch.bool, device=bond.device)
    density = _between(DENSITY, n, generator)
    stretch = _between(STRETCH, n, generator)
    pull = _between(PULL, n, generator) / axes**2  # so that the shape stays
    # radius of a sphere of the volume of the atoms, which touch at the mean bond
    half = bond.sum() / (2 * a * (a - 1))
    size = half * (a / density) ** (1 / 3)  # [n, 1, 1] Å
    inside = uniform((n, a, 1), generator) ** (1 / 3)
    P = direction((n, a), generator) * inside * size
    if placed is not None:
        place = placed.place.to(P.device).unsqueeze(-1).expand_as(P)
        maps = placed.maps.to(P.device)
        P = (maps @ P.gather(1, place).unsqueeze(-1)).squeeze(-1)
    P = P * axes
    # clusters of shorter bonds are larger ones, made smaller
    P, room = P / stretch, BRIM * radius / stretch
    parts = zip(portions(P), portions(pull, a), portions(room, a), strict=True)
    made = [_gathered(part, bond, draw, limit) for part, draw, limit in parts]
    P = torch.cat(made) * stretch
    if placed is not None:
        P = P + SHAKEN * 2 * half * normal((n, a, 3), generator)
    whole = [connected(distances(part), LINK * bond) for part in portions(P)]
    return P, torch.cat(whole)


def insist(
    n: int, d: int, draw: Callable[[int], tuple[Tensor, Tensor]], rounds: int
) -> Tensor | None:
    """Return n good samples `[n, d]` on the CPU, or None if some could not be made.

    Args:
        n: how many.
        d: numbers in each.
        draw: takes a count, returns samples `[count, d]` and which are good `[count]`.
        rounds: times that those which came out wrong are drawn again.
    """
    X = torch.zeros(n, d, dtype=torch.float64)
    missing = torch.arange(n)
    for _ in range(rounds):
        if not len(missing):
            break
        found, good = draw(len(missing))
        good = good.cpu()
        X[missing[good]] = found.cpu()[good]
        missing = missing[~good]
    return None if len(missing) else X


def _gathered(P: Tensor, bond: Tensor, pull: Tensor, room: Tensor) -> Tensor:
    """Return positions drawn together and pushed apart, centred."""
    P = confined(centred(P), room)
    for step in range(GATHER + SETTLE):
        if step < GATHER:
            P = P * (1 - (1 - step / GATHER) * pull).clamp(min=0.8)
        P = confined(pushed(P, bond), room)
    return centred(P)


def _between(limits: tuple[float, float], n: int, generator: torch.Generator) -> Tensor:
    """Return numbers uniform between limits, `[n, 1, 1]`."""
    low, high = limits
    return low + (high - low) * uniform((n, 1, 1), generator)
