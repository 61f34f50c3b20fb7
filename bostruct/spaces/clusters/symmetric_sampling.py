"""Atoms put on the places of a random point group, such that the composition is met."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import final

import torch
from torch import Tensor

from bostruct.spaces.clusters.point_groups import (
    POINT_GROUPS,
    POLYHEDRAL_GROUPS,
    WyckoffPosition,
    wyckoff_positions,
)
from bostruct.spaces.random_tensors import uniform

ORBIT_SIZE_EXPONENT = 2
"""Kinds of places are as likely as the atoms they take to this power."""


@final
@dataclass(frozen=True, eq=False)
class OrbitPlacement:
    """How the atoms of n structures follow from a few places.

    Atom i of a structure stands at `maps[i] @ q[place[i]]` wherever the places q are.

    Attributes:
        groups: the group of each.
        operations: `[n, a, 3, 3]`.
        orbit_index: `[n, a]` int64, less than a.
        has_main_axis: `[n]` bool, whether the group has a main axis, which is z.
    """

    groups: tuple[str, ...]
    operations: Tensor
    orbit_index: Tensor
    has_main_axis: Tensor


def sample_orbits(n: int, numbers: Tensor, generator: torch.Generator) -> OrbitPlacement:
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
        group, kept = _sample_group_and_positions((a,) if alike else counts, u)
        atoms = shuffled[row] if alike else torch.cat(members)
        maps[row, atoms] = torch.cat([site.operations @ site.projection for site in kept])
        sizes = torch.tensor([site.multiplicity for site in kept])
        place[row, atoms] = torch.arange(len(kept)).repeat_interleave(sizes)
        groups.append(group)
    long = torch.tensor([group not in POLYHEDRAL_GROUPS for group in groups], dtype=torch.bool)
    return OrbitPlacement(tuple(groups), maps, place, long)


@cache
def compatible_groups(counts: tuple[int, ...]) -> tuple[str, ...]:
    """Return the groups of which orbits can make up these numbers of equal atoms."""
    return tuple(group for group in POINT_GROUPS if _central_species_options(group, counts))


def _sample_group_and_positions(
    counts: tuple[int, ...], random_numbers: Iterator[float]
) -> tuple[str, list[WyckoffPosition]]:
    """Return a group and the sites of the first species, the second one, and so on.

    Args:
        counts: atoms of each species.
        random_numbers: random numbers, two and as many as there are atoms.
    """
    groups = compatible_groups(counts)
    group = groups[int(next(random_numbers) * len(groups))]
    options = _central_species_options(group, counts)
    central = options[int(next(random_numbers) * len(options))]
    kept = []
    for species, count in enumerate(counts):
        left = count
        if species == central:
            kept.append(wyckoff_positions(group)[0])
            left -= 1
        while left:
            able = [
                site
                for site in wyckoff_positions(group)
                if not site.is_center
                and _can_fill(left - site.multiplicity, _multiplicities(group))
            ]
            weights = [float(site.multiplicity**ORBIT_SIZE_EXPONENT) for site in able]
            kept.append(able[_weighted_index(weights, next(random_numbers))])
            left -= kept[-1].multiplicity
    return group, kept


def _weighted_index(weights: list[float], u: float) -> int:
    """Return k with a probability in proportion to the k-th weight."""
    rest = u * sum(weights)
    for k, weight in enumerate(weights):
        rest -= weight
        if rest < 0:
            return k
    return len(weights) - 1


@cache
def _central_species_options(group: str, counts: tuple[int, ...]) -> tuple[int | None, ...]:
    """Return which species may have an atom in the centre; None stands for no one."""
    found: list[int | None] = []
    if all(_can_fill(count, _multiplicities(group)) for count in counts):
        found.append(None)
    if wyckoff_positions(group)[0].is_center:
        for species in range(len(counts)):
            rest = [count - (k == species) for k, count in enumerate(counts)]
            if all(_can_fill(count, _multiplicities(group)) for count in rest):
                found.append(species)
    return tuple(found)


@cache
def _multiplicities(group: str) -> tuple[int, ...]:
    return tuple(
        sorted({site.multiplicity for site in wyckoff_positions(group) if not site.is_center})
    )


@cache
def _can_fill(count: int, sizes: tuple[int, ...]) -> bool:
    """Return whether orbits of these sizes can take so many atoms."""
    reached = [True]
    for k in range(1, count + 1):
        reached.append(any(size <= k and reached[k - size] for size in sizes))
    return count >= 0 and reached[count]
