"""Atoms put on the places of a random point group, such that the composition is met."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import final

import torch
from torch import Tensor

from bostruct.spaces.clusters.point_groups import GROUPS, ROUND, Site, sites
from bostruct.spaces.random_tensors import uniform

CROWD = 2
"""Kinds of places are as likely as the atoms they take to this power."""


@final
@dataclass(frozen=True, eq=False)
class Orbits:
    """How the atoms of n structures follow from a few places.

    Atom i of a structure stands at `maps[i] @ q[place[i]]` wherever the places q are.

    Attributes:
        groups: the group of each.
        maps: `[n, a, 3, 3]`.
        place: `[n, a]` int64, less than a.
        long: `[n]` bool, whether the group has a main axis, which is z.
    """

    groups: tuple[str, ...]
    maps: Tensor
    place: Tensor
    long: Tensor


def orbits(n: int, numbers: Tensor, generator: torch.Generator) -> Orbits:
    """Return random orbits of random groups for atoms of these species, on the CPU.

    Equal atoms make up whole orbits. In every second structure of several species
    their places alone are symmetric, and which atom stands where is random.

    Args:
        n: how many structures.
        numbers: `[a]`, the species.
        generator: of the randomness.
    """
    a = len(numbers)
    kinds = numbers.unique().tolist()
    members = [(numbers == kind).nonzero().squeeze(-1) for kind in kinds]
    counts = tuple(len(rows) for rows in members)
    drawn = uniform((n, a + 2), generator).tolist()
    shuffled = uniform((n, a), generator).cpu().argsort(-1)
    maps = torch.zeros(n, a, 3, 3, dtype=torch.float64)
    place = torch.zeros(n, a, dtype=torch.int64)
    groups = []
    for row in range(n):
        alike = len(kinds) > 1 and row % 2 == 0
        u = iter(drawn[row])
        group, kept = _occupied((a,) if alike else counts, u)
        atoms = shuffled[row] if alike else torch.cat(members)
        maps[row, atoms] = torch.cat([site.images @ site.onto for site in kept])
        sizes = torch.tensor([site.size for site in kept])
        place[row, atoms] = torch.arange(len(kept)).repeat_interleave(sizes)
        groups.append(group)
    long = torch.tensor([group not in ROUND for group in groups], dtype=torch.bool)
    return Orbits(tuple(groups), maps, place, long)


@cache
def fitting(counts: tuple[int, ...]) -> tuple[str, ...]:
    """Return the groups of which orbits can make up these numbers of equal atoms."""
    return tuple(group for group in GROUPS if _central(group, counts))


def _occupied(counts: tuple[int, ...], u: Iterator[float]) -> tuple[str, list[Site]]:
    """Return a group and the sites of the first species, the second one, and so on.

    Args:
        counts: atoms of each species.
        u: random numbers, two and as many as there are atoms.
    """
    groups = fitting(counts)
    group = groups[int(next(u) * len(groups))]
    options = _central(group, counts)
    central = options[int(next(u) * len(options))]
    kept = []
    for species, count in enumerate(counts):
        left = count
        if species == central:
            kept.append(sites(group)[0])
            left -= 1
        while left:
            able = [
                site
                for site in sites(group)
                if not site.single and _fills(left - site.size, _sizes(group))
            ]
            weights = [float(site.size**CROWD) for site in able]
            kept.append(able[_index(weights, next(u))])
            left -= kept[-1].size
    return group, kept


def _index(weights: list[float], u: float) -> int:
    """Return k with a probability in proportion to the k-th weight."""
    rest = u * sum(weights)
    for k, weight in enumerate(weights):
        rest -= weight
        if rest < 0:
            return k
    return len(weights) - 1


@cache
def _central(group: str, counts: tuple[int, ...]) -> tuple[int | None, ...]:
    """Return which species may have an atom in the centre; None stands for no one."""
    found: list[int | None] = []
    if all(_fills(count, _sizes(group)) for count in counts):
        found.append(None)
    if sites(group)[0].single:
        for species in range(len(counts)):
            rest = [count - (k == species) for k, count in enumerate(counts)]
            if all(_fills(count, _sizes(group)) for count in rest):
                found.append(species)
    return tuple(found)


@cache
def _sizes(group: str) -> tuple[int, ...]:
    return tuple(sorted({site.size for site in sites(group) if not site.single}))


@cache
def _fills(count: int, sizes: tuple[int, ...]) -> bool:
    """Return whether orbits of these sizes can take so many atoms."""
    reached = [True]
    for k in range(1, count + 1):
        reached.append(any(size <= k and reached[k - size] for size in sizes))
    return count >= 0 and reached[count]
