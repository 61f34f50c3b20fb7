"""Structures that differ and have bit-identical energies.

A program that fails and leaves the output of an earlier run, or reads that of another process,
returns the energy of another structure. No two structures that differ have energies equal to the
last bit, unless one of these is so:

    copy       they differ by symmetry, or by atoms on which no force acts but rounding errors
    discrete   the energies are few-valued, rounded, or constant, so that they coincide by chance

Where forces are known, these tell: equal forces on structures that differ are a copy of a result,
whatever the energies are like.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bostruct.campaign.records import Trial
from bostruct.spaces import DiscreteSpace, Pool, Space
from bostruct.structures import Structures, build_neighbor_list

MAX_EXPECTED_COINCIDENCES = 0.01
"""Expected number of equal pairs by chance above which energies count as discrete."""

QUANTUM_TOLERANCE = 1e-9
"""Remainder of a division of energy differences that is zero, in units of the largest one."""

ROUNDING = 1e-12
"""Relative difference of energies that are equal but for rounding, and relative size of forces that
are none."""

SAME_DISTANCE = 0.005
"""Difference of two distances that count as equal, in units of the shortest one."""

CUTOFF_FACTOR = 2.5
"""Largest distance that is compared, in lengths of the longest bond."""

FIRST_SHELL = 1.25
"""Distances to neighbors on a lattice, in units of the shortest one: potentials of a short range
give different decorations the same energy."""


def equal_groups(energies: Mapping[int, float]) -> list[list[int]]:
    """Return the numbers of trials with one energy, where there are several, in order.

    Args:
        energies: Energy of each trial by number, eV.
    """
    groups = defaultdict(list)
    for number, energy in sorted(energies.items()):
        groups[energy].append(number)
    return [numbers for numbers in groups.values() if len(numbers) > 1]


def is_discrete(energies: Sequence[float]) -> bool:
    """Return whether energies coincide by chance: few-valued, rounded or constant ones.

    Args:
        energies: Energies of all trials, eV.
    """
    values = np.unique(np.asarray(energies, dtype=np.float64))
    if len(values) < 2:
        return True
    low, high = np.percentile(values, (25, 75))
    n = len(energies)
    return bool(n * (n - 1) / 2 * _quantum(values) > MAX_EXPECTED_COINCIDENCES * (high - low))


def _quantum(values: NDArray[np.float64]) -> float:
    """Return the unit of which all differences of sorted values are multiples, 0 without one."""
    decimals = max(len(f"{value!r}".partition(".")[2]) for value in values.tolist())
    is_exponential = any("e" in repr(value) for value in values.tolist())
    rounded = 0.0 if is_exponential else 10.0**-decimals
    gaps = np.diff(values)
    gaps = gaps[gaps > ROUNDING * np.abs(values).max()]
    if len(gaps) < 2:
        return rounded
    tolerance = max(QUANTUM_TOLERANCE * gaps.max(), ROUNDING * np.abs(values).max())
    divisor = float(gaps[0])
    for gap in gaps[1:].tolist():
        while gap > tolerance:  # Euclid's algorithm
            divisor, gap = gap, abs(math.remainder(divisor, gap))  # noqa: PLW2901
    return max(divisor, rounded)


def equal_energies(trials: Sequence[Trial], space: Space) -> dict[int, str]:
    """Return the trials whose energy is that of another structure, each with the reason.

    Args:
        trials: All trials of a campaign with an energy.
        space: Space that decodes the structures.
    """
    by_number = {trial.number: trial for trial in trials}
    energies = {n: trial.energy for n, trial in by_number.items() if trial.energy is not None}
    groups = equal_groups(energies)
    discrete = bool(groups) and is_discrete(list(energies.values()))
    is_lattice = isinstance(space, DiscreteSpace) and not isinstance(space, Pool)
    largest = [float(t.forces.nan_to_num().abs().max()) for t in trials if t.forces is not None]
    no_force = ROUNDING * max(largest, default=0.0)
    reasons: dict[int, str] = {}
    for numbers in groups:
        members = [by_number[number] for number in numbers]
        for compared in _groups_of_equal_forces(members) if discrete else [members]:
            for trial, twin in _differing_twins(compared, space, is_lattice, no_force):
                is_copy = _are_equal(trial.forces, twin.forces)
                what = "energy and forces equal those" if is_copy else "energy equals that"
                reasons[trial.number] = (
                    f"its {what} of trial {twin.number} to the last bit ({trial.energy!r} eV), "
                    "and the structures differ"
                )
    return reasons


def _groups_of_equal_forces(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Return the groups of trials with equal forces; trials without forces are in none."""
    groups = defaultdict(list)
    for trial in trials:
        if trial.forces is not None:
            groups[tuple(trial.forces.flatten().tolist())].append(trial)
    return list(groups.values())


def _differing_twins(
    trials: Sequence[Trial], space: Space, is_lattice: bool, no_force: float
) -> list[tuple[Trial, Trial]]:
    """Return each trial with the first one of another structure; none if all have one structure.

    Args:
        trials: Trials in order, all compared with the first of them.
        space: Space that decodes the structures.
        is_lattice: True to compare nearest neighbors alone.
        no_force: Largest force that is none, eV/Å.
    """
    if len(trials) < 2:
        return []
    decoded = space.decode(torch.stack([trial.X for trial in trials]))
    cutoff = CUTOFF_FACTOR * 2 * float(space.atomic_radii.max())
    distances = [
        _neighbor_distances(decoded[k], trial.forces, is_lattice, cutoff, no_force)
        for k, trial in enumerate(trials)
    ]
    is_first = [_is_same(distances[0], other) for other in distances]
    if all(is_first):
        return []
    first, second = trials[0], trials[is_first.index(False)]
    return [
        (trial, second if same else first) for trial, same in zip(trials, is_first, strict=True)
    ]


def _are_equal(a: Tensor | None, b: Tensor | None) -> bool:
    return a is not None and b is not None and torch.equal(a, b)


def _neighbor_distances(
    structures: Structures,
    forces: Tensor | None,
    is_lattice: bool,
    cutoff: float,
    no_force: float,
) -> dict[tuple[int, int], Tensor]:
    """Return the sorted distances between atoms by their atomic numbers, Å.

    Args:
        structures: One structure.
        forces: `[a, 3]` eV/Å; atoms without any force do not count. None where unknown.
        is_lattice: True to take nearest neighbors alone.
        cutoff: Largest distance, Å.
        no_force: Largest force that is none, eV/Å.
    """
    neighbors = build_neighbor_list(structures, cutoff)
    r = torch.linalg.vector_norm(neighbors.vectors(structures.positions, structures.cell), dim=-1)
    pairs = torch.stack((neighbors.center, neighbors.neighbor))
    if is_lattice and len(r):
        first = r < FIRST_SHELL * r.min()
        r, pairs = r[first], pairs[:, first]
    elif forces is not None:
        acts = (
            (forces.nan_to_num(nan=torch.inf).abs() > no_force)
            .any(-1)
            .to(pairs.device)[pairs]
            .all(0)
        )
        r, pairs = r[acts], pairs[:, acts]
    species = structures.numbers[pairs].sort(0).values
    return {
        (int(a), int(b)): r[(species[0] == a) & (species[1] == b)].sort().values
        for a, b in species.unique(dim=1).T.tolist()
    }


def _is_same(a: Mapping[tuple[int, int], Tensor], b: Mapping[tuple[int, int], Tensor]) -> bool:
    """Return whether two structures have the same distances."""
    if a.keys() != b.keys() or any(len(a[pair]) != len(b[pair]) for pair in a):
        return False
    tolerance = SAME_DISTANCE * min((float(r.min()) for r in a.values()), default=0.0)
    return all(bool(((a[pair] - b[pair]).abs() < tolerance).all()) for pair in a)
