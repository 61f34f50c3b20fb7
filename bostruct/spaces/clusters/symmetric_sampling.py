"""Symmetric sampling: atoms placed on orbits of a random point group that meet the composition."""

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
"""Power of the multiplicity with which Wyckoff positions are drawn."""


@final
@dataclass(frozen=True, eq=False)
class OrbitPlacement:
    """Atoms of n structures as images of points, one point per orbit.

    Atom i of a structure stands at `operations[i] @ q[orbit_index[i]]`, wherever the points q are.

    Attributes:
        groups: Schoenflies symbols of the point groups, n of them.
        operations: `[n, a, 3, 3]` operations that map points to atoms.
        orbit_index: `[n, a]` int64, index of the point of each atom, less than a.
    """

    groups: tuple[str, ...]
    operations: Tensor
    orbit_index: Tensor

    @property
    def has_main_axis(self) -> Tensor:
        """Mask of the structures whose group has a main axis, which is z, `[n]` bool."""
        return torch.tensor([g not in POLYHEDRAL_GROUPS for g in self.groups], dtype=torch.bool)


def sample_orbits(n: int, numbers: Tensor, generator: torch.Generator) -> OrbitPlacement:
    """Return random orbits of random groups for atoms of these species, on the CPU.

    Equal atoms make up complete orbits. In every second structure of several species only the
    sites are symmetric, and the species of each is random.

    Args:
        n: number of structures.
        numbers: `[a]` atomic numbers.
        generator: random number generator.
    """
    a = len(numbers)
    members = [(numbers == number).nonzero().squeeze(-1) for number in numbers.unique().tolist()]
    counts = tuple(len(atoms) for atoms in members)
    random_numbers = uniform((n, a + 2), generator).tolist()
    shuffled = uniform((n, a), generator).cpu().argsort(-1)
    operations = torch.zeros(n, a, 3, 3, dtype=torch.float64)
    orbit_index = torch.zeros(n, a, dtype=torch.int64)
    groups = []
    for row in range(n):
        ignore_species = len(counts) > 1 and row % 2 == 0
        group, positions = _sample_group_and_positions(
            (a,) if ignore_species else counts, iter(random_numbers[row])
        )
        atoms = shuffled[row] if ignore_species else torch.cat(members)
        operations[row, atoms] = torch.cat([p.operations @ p.projection for p in positions])
        sizes = torch.tensor([p.multiplicity for p in positions])
        orbit_index[row, atoms] = torch.arange(len(positions)).repeat_interleave(sizes)
        groups.append(group)
    return OrbitPlacement(tuple(groups), operations, orbit_index)


@cache
def compatible_groups(counts: tuple[int, ...]) -> tuple[str, ...]:
    """Return the groups whose orbits can make up these numbers of equal atoms."""
    return tuple(group for group in POINT_GROUPS if _central_species_options(group, counts))


def _sample_group_and_positions(
    counts: tuple[int, ...], random_numbers: Iterator[float]
) -> tuple[str, list[WyckoffPosition]]:
    """Return a group and the Wyckoff positions of the first species, the second one, and so on.

    Args:
        counts: number of atoms of each species.
        random_numbers: uniform random numbers, two more than there are atoms.
    """
    groups = compatible_groups(counts)
    group = groups[int(next(random_numbers) * len(groups))]
    options = _central_species_options(group, counts)
    central_species = options[int(next(random_numbers) * len(options))]
    positions = []
    for species, count in enumerate(counts):
        n_atoms = count - (species == central_species)
        if species == central_species:
            positions.append(wyckoff_positions(group)[0])
        while n_atoms:
            able = [
                position
                for position in wyckoff_positions(group)
                if not position.is_center
                and _can_fill(n_atoms - position.multiplicity, _multiplicities(group))
            ]
            weights = [float(position.multiplicity**ORBIT_SIZE_EXPONENT) for position in able]
            positions.append(able[_weighted_index(weights, next(random_numbers))])
            n_atoms -= positions[-1].multiplicity
    return group, positions


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
    """Return which species may have an atom in the center; None stands for an empty center."""
    options: list[int | None] = [None, *range(len(counts))]
    if not wyckoff_positions(group)[0].is_center:
        options = [None]
    return tuple(
        species
        for species in options
        if all(
            _can_fill(count - (k == species), _multiplicities(group))
            for k, count in enumerate(counts)
        )
    )


@cache
def _multiplicities(group: str) -> tuple[int, ...]:
    sizes = {p.multiplicity for p in wyckoff_positions(group) if not p.is_center}
    return tuple(sorted(sizes))


@cache
def _can_fill(count: int, sizes: tuple[int, ...]) -> bool:
    """Return whether orbits of these sizes can hold so many atoms."""
    reached = [True]
    for k in range(1, count + 1):
        reached.append(any(size <= k and reached[k - size] for size in sizes))
    return count >= 0 and reached[count]
