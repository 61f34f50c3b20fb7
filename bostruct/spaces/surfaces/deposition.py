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

from bostruct.spaces.clusters.moves import CLOSE, LOOSENESS
from bostruct.spaces.clusters.packing import TINY
from bostruct.spaces.random_tensors import normal, pick, uniform
from bostruct.spaces.surfaces.periodic_plane import Plane, itself, norm

PLACES = 32
"""Places at which an atom comes down, half of them beside others that move."""

STRETCH = (0.92, 1.04)
"""Range of the distance at which atoms of one structure touch, in bonds."""

CHOOSY = (0.3, 3.0)
"""Range of how many more neighbors a place must have to be e times as likely."""

RATTLE = (0.005, 0.1)
"""Range of the displacements of free atoms of the slab, in bonds."""

TOO_HIGH = 9.0
"""Neighbors that a place must have more for each Å above the ceiling."""

BUDGET = 1 << 20
"""Gaps between atoms worked on at a time."""


def coordination(
    Q: Tensor, f: int, bond: Tensor, plane: Plane, present: Tensor | None = None
) -> Tensor:
    """Return a smooth count of the neighbors of the atoms that move, `[n, f]`."""
    a = Q.shape[1]
    shifts = plane.translations(1.5 * float(bond.max()))
    D = norm(plane.gaps(Q[:, :f], Q, shifts)).masked_fill(
        itself(f, a, shifts), torch.inf
    )
    count = torch.sigmoid((CLOSE - D / bond[:f].unsqueeze(-1)) / 0.05).sum(-1)
    if present is not None:
        count = count * present.unsqueeze(1)
    return count.sum(-1)


def landed(
    Q: Tensor,
    who: Tensor,
    present: Tensor,
    f: int,
    touch: Tensor,
    ceiling: float,
    choosy: Tensor,
    plane: Plane,
    generator: torch.Generator,
) -> Tensor:
    """Return where one atom of each structure comes to rest, `[n, 3]` Å.

    Args:
        Q: `[n, a, 3]`.
        who: `[n]` int64, the atom.
        present: `[n, a]` bool, the atoms it can touch, itself not.
        f: the first f atoms are those it is to land beside.
        touch: `[n, a]` Å, the distance at which it touches each.
        ceiling: Å, the height it should not exceed.
        choosy: `[n]`, see `CHOOSY`.
        plane: of the surface.
        generator: of the randomness.
    """
    n, a, _ = Q.shape
    where = _places(Q, who, present, f, touch, plane, generator)  # [n, k, 3]
    if not n:
        return Q[:, 0]
    shifts = plane.translations(1.5 * float(touch.max()))
    rows = max(BUDGET // (PLACES * a * len(shifts)), 1)
    inputs = (value.split(rows) for value in (where, Q, touch, present))
    made = [
        _touching(there, atoms, reach, here, shifts, plane)
        for there, atoms, reach, here in zip(*inputs, strict=True)
    ]
    site = torch.cat([part[0] for part in made])
    count = torch.cat([part[1] for part in made])
    high = (site[..., 2] - ceiling).clamp(min=0)
    chosen = pick((count - TOO_HIGH * high) / choosy.unsqueeze(-1), generator)
    return site[torch.arange(n, device=Q.device), chosen]


def resting(Q: Tensor, touch: Tensor, plane: Plane, grid: int) -> float:
    """Return the height of the lowest place where an atom comes to rest, Å.

    Holes through which it would fall are left out.

    Args:
        Q: `[a, 3]` Å, what it can touch.
        touch: `[a]` Å, the distances at which it does.
        plane: of the surface.
        grid: places along each lattice vector that are tried.
    """
    step = torch.arange(grid, dtype=Q.dtype, device=Q.device) / grid
    where = torch.cartesian_prod(step, step) @ plane.lattice
    where = torch.cat((where, torch.zeros_like(where[:, :1])), -1)
    present = torch.ones(1, len(Q), dtype=torch.bool, device=Q.device)
    shifts = plane.translations(float(touch.max()))
    heights = []
    for part in where.split(max(BUDGET // (len(Q) * len(shifts)), 1)):
        site, count = _touching(
            part[None], Q[None], touch[None], present, shifts, plane
        )
        heights.append(site[..., 2].masked_fill(count.isinf(), torch.inf).min())
    lowest = float(torch.stack(heights).min())
    return lowest if math.isfinite(lowest) else float(Q[:, 2].max())


def settled(
    Q: Tensor,
    f: int,
    W: Tensor,
    window: tuple[float, float],
    plane: Plane,
    steps: int,
) -> Tensor:
    """Return positions in which those that move have been pushed apart for some steps.

    Of two atoms that move both give way, before one that does not the other alone.
    They stay between the heights of the window.
    """
    n, a, _ = Q.shape
    shifts = plane.translations(float(W.max()))
    own = itself(f, a, shifts)
    share = torch.ones(f, a, 1, dtype=Q.dtype, device=Q.device)
    share[:, :f] = 0.5
    wanted = W.unsqueeze(-1)
    rows = max(BUDGET // (f * a * len(shifts)), 1)
    found = []
    for part in Q.split(rows) if n else ():
        free, rest = part[:, :f], part[:, f:]
        for _ in range(steps):
            parts = plane.gaps(free, torch.cat((free, rest), 1), shifts)
            D = norm(parts).masked_fill(own, torch.inf)
            w = share * (wanted / D - 1).clamp(min=0, max=1 / TINY)
            push = torch.stack([(w * part).sum((-1, -2)) for part in parts], -1)
            size = torch.linalg.vector_norm(push, dim=-1, keepdim=True)
            push = push * (0.5 * W.max() / size.clamp(min=TINY)).clamp(max=1)
            free = free + push
            height = free[..., 2:].clamp(*window)
            free = torch.cat((free[..., :2], height), -1)
        found.append(torch.cat((free, rest), 1))
    return torch.cat(found) if found else Q


def covered(
    n: int,
    Q: Tensor,
    slab: int,
    f: int,
    bond: Tensor,
    ceiling: float,
    plane: Plane,
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
        slab: how many free atoms the slab has.
        f: the first f atoms move.
        bond: `[a, a]` Å.
        ceiling: Å, the height that atoms should not exceed.
        plane: of the surface.
        generator: of the randomness.
    """
    a = len(Q)
    Q = Q.expand(n, a, 3).clone()
    stretch = _between(STRETCH, (n, 1), generator).to(Q)
    choosy = _logarithmic(CHOOSY, (n,), generator).to(Q)
    if slab:
        size = _logarithmic(RATTLE, (n, 1, 1), generator) * bond[:slab, :slab].mean()
        Q[:, :slab] += size * normal((n, slab, 3), generator).to(Q)
    present = torch.ones(n, a, dtype=torch.bool, device=Q.device)
    present[:, slab:f] = False
    if slab:
        present[:, :slab] = _kept(Q, slab, f, bond, plane, present, generator)
    coming = ~present[:, :f]
    order = uniform((n, f), generator).to(Q).masked_fill(~coming, 2).argsort(-1)
    count = coming.sum(-1)
    for turn in range(int(count.max()) if n else 0):
        rows = (count > turn).nonzero().squeeze(-1)
        who = order[rows, turn]
        touch = stretch[rows] * bond[who]
        Q[rows, who] = landed(
            Q[rows],
            who,
            present[rows],
            f,
            touch,
            ceiling,
            choosy[rows],
            plane,
            generator,
        )
        present[rows, who] = True
    return Q


def _kept(
    Q: Tensor,
    slab: int,
    f: int,
    bond: Tensor,
    plane: Plane,
    present: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Return which free atoms of the slab stay on it, `[n, slab]` bool."""
    n = len(Q)
    drawn = uniform((n, 1), generator).to(Q)
    share = (drawn - (0.5 if f == slab else 0.75)).clamp(min=0)
    taken = (share * slab).ceil()
    loose = -coordination(Q, f, bond, plane, present)[:, :slab] / LOOSENESS
    drawn = uniform((n, slab), generator).to(Q).clamp(min=1e-300)
    rank = (loose - (-drawn.log()).log()).argsort(-1, descending=True).argsort(-1)
    return rank >= taken


def _places(
    Q: Tensor,
    who: Tensor,
    present: Tensor,
    f: int,
    touch: Tensor,
    plane: Plane,
    generator: torch.Generator,
) -> Tensor:
    """Return where atoms come down, `[n, k, 3]`: anywhere, or beside one that moves."""
    n = len(Q)
    each = torch.arange(n, device=Q.device)
    anywhere = uniform((n, PLACES, 2), generator).to(Q) @ plane.lattice
    beside = present[:, :f].clone()
    beside[each, who] = False
    alone = ~beside.any(-1, keepdim=True)
    weight = torch.where(beside, 0.0, -torch.inf).to(Q).masked_fill(alone, 0.0)
    weight = weight.unsqueeze(1).expand(n, PLACES, f)
    partner = pick(weight, generator)  # [n, k]
    angle = 2 * math.pi * uniform((n, PLACES), generator).to(Q)
    far = touch.gather(1, partner) * _between((0.3, 1.0), (n, PLACES), generator).to(Q)
    step = torch.stack((angle.cos(), angle.sin()), -1) * far.unsqueeze(-1)
    near = Q[each.unsqueeze(1), partner, :2] + step
    half = torch.arange(PLACES, device=Q.device) % 2 == 0
    flat = torch.where((half | alone).unsqueeze(-1), anywhere, near)
    return plane.wrapped(torch.cat((flat, torch.zeros_like(flat[..., :1])), -1))


def _touching(
    where: Tensor,
    Q: Tensor,
    touch: Tensor,
    present: Tensor,
    shifts: Tensor,
    plane: Plane,
) -> tuple[Tensor, Tensor]:
    """Return where atoms first touch, `[n, k, 3]` Å, and their neighbors there.

    On the way down over a lateral distance r, an atom at height z is touched at
    z + sqrt(t² - r²). Where nothing is touched, the count is minus infinity.
    """
    x, y, _ = plane.gaps(where, Q, shifts)  # [n, k, a, s]
    square = x.square() + y.square()
    reach = touch.square().unsqueeze(1).unsqueeze(-1) - square
    hit = (reach > 0) & present.unsqueeze(1).unsqueeze(-1)
    z = Q[..., 2].unsqueeze(1).unsqueeze(-1)  # [n, 1, a, 1]
    stop = torch.where(hit, z + reach.clamp(min=0).sqrt(), -torch.inf)
    height = stop.amax((-1, -2))  # [n, k]
    missed = height.isinf()
    height = torch.where(missed, Q[..., 2].amax(-1, keepdim=True), height)
    D = (square + (height.unsqueeze(-1).unsqueeze(-1) - z).square()).sqrt()
    count = torch.sigmoid((CLOSE - D / touch.unsqueeze(1).unsqueeze(-1)) / 0.05).sum(-1)
    count = (count * present.unsqueeze(1)).sum(-1)
    site = torch.cat((where[..., :2], height.unsqueeze(-1)), -1)
    return site, torch.where(missed, -torch.inf, count)


def _between(
    limits: tuple[float, float], shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    low, high = limits
    return low + (high - low) * uniform(shape, generator)


def _logarithmic(
    limits: tuple[float, float], shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    low, high = (math.log(value) for value in limits)
    return torch.exp(low + (high - low) * uniform(shape, generator))
