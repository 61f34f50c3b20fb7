"""Random compact clusters.

As in ab initio random structure searching [P11], atoms are thrown at random into a
small volume and pushed apart until none overlap. The volume is an ellipsoid of random
shape and density, and the atoms are drawn together while they push, so that clusters
come out round, long and flat, always of one piece, and never with atoms on top of each
other: cheap to relax, and unlike each other.

    [P11] Pickard, Needs, J. Phys.: Condens. Matter 23, 053201 (2011),
          doi:10.1088/0953-8984/23/5/053201
"""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces.packing import (
    BRIM,
    centred,
    confined,
    connected,
    distances,
    portions,
    pushed,
)

GATHER = 32
"""Steps in which atoms are drawn together and pushed apart."""

SETTLE = 10
"""Steps in which they are only pushed apart."""

PULL = 0.12
"""Part of the way to the centre that atoms are drawn in the first step."""

ELONGATION = 0.2
"""Standard deviation of the logarithms of the axes of the ellipsoid."""

DENSITY = (0.25, 0.6)
"""Range of the part of the ellipsoid that the atoms fill at first."""

STRETCH = (0.92, 1.04)
"""Range of the bonds of a cluster, in bonds."""

LINK = 1.25
"""Atoms closer than this times their bond hold together."""


def compact(
    n: int, bond: Tensor, radius: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return random clusters and whether each is of one piece.

    Args:
        n: how many.
        bond: `[a, a]` Å, the length of a bond of each pair; zero on the diagonal.
        radius: Å, of the sphere that holds all atoms.
        generator: of the randomness.

    Returns:
        positions `[n, a, 3]` Å, centred, and `[n]` bool.
    """
    a = bond.shape[0]
    device = generator.device
    draw = {"generator": generator, "device": device, "dtype": torch.float64}
    bond = bond.to(device)
    axes = torch.exp(ELONGATION * torch.randn(n, 1, 3, **draw))
    axes = axes / axes.log().mean(-1, keepdim=True).exp()  # of volume 1
    least, most = DENSITY
    density = least + (most - least) * torch.rand(n, 1, 1, **draw)
    # volume of the atoms: spheres that touch at the mean bond
    half = bond.sum() / (2 * a * max(a - 1, 1))
    size = half * (a / density) ** (1 / 3)  # [n, 1, 1] Å
    low, high = STRETCH
    stretch = low + (high - low) * torch.rand(n, 1, 1, **draw)
    P = confined(_ball(n, a, draw) * size * axes, BRIM * radius)
    # clusters of shorter bonds are larger ones, made smaller
    P, room = P / stretch, BRIM * radius / stretch
    parts = portions(P)
    ends = zip(parts, _like(axes, parts), _like(room, parts), strict=True)
    made = [_gathered(part, bond, shape, limit) for part, shape, limit in ends]
    P = torch.cat(made) * stretch
    whole = [connected(distances(part), LINK * bond) for part in portions(P)]
    return P, torch.cat(whole)


def _gathered(P: Tensor, bond: Tensor, axes: Tensor, room: Tensor) -> Tensor:
    """Return positions drawn together and pushed apart, centred."""
    P = centred(P)
    pull = PULL / axes**2  # more along the short axes, so that the shape stays
    for step in range(GATHER + SETTLE):
        if step < GATHER:
            P = P * (1 - (1 - step / GATHER) * pull).clamp(min=0.8)
        P = confined(pushed(P, bond), room)
    return centred(P)


def _like(values: Tensor, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return values.split([len(part) for part in parts])


def _ball(n: int, a: int, draw: dict[str, object]) -> Tensor:
    """Return points uniform in the unit ball, `[n, a, 3]`."""
    P: Tensor = torch.randn(n, a, 3, **draw)  # type: ignore[call-overload]
    P = P / torch.linalg.vector_norm(P, dim=-1, keepdim=True)
    u: Tensor = torch.rand(n, a, 1, **draw)  # type: ignore[call-overload]
    return P * u ** (1 / 3)
