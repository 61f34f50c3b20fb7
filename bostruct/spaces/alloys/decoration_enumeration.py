"""Decorations of sites that symmetries make equal: named, counted and drawn.

Notation
    s   sites
    g   permutations of them that form a group
    P   [g, s]  site p of the permuted decoration holds what site P[g, p] held
    C   [n, s]  decorations: which of its options each site holds

Counting is Burnside's lemma: the classes of decorations are 1/|G| Σ_g |Fix g|, where
Fix g are those that g leaves as they are, constant on each of its cycles. Drawing
follows from it: of the pairs (g, C in Fix g) each class is part of |G|, so that a
uniform pair holds a uniform class.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from bostruct.spaces.alloys.composition_grid import random_integers_below

MAX_CHUNK_ELEMENTS = 1 << 23
"""Numbers of an intermediate; bounds the memory to some 100 MB."""

N_QUICK_PERMUTATIONS = 16
"""Permutations that are tried before all others."""

MAX_EXACT_INTEGER = 2**53
"""Integers below are exact in float64."""

Array = np.ndarray[Any, np.dtype[Any]]


@final
@dataclass(frozen=True, eq=False)
class Sublattice:
    """Sites with the same options.

    Attributes:
        sites: which they are.
        n_options: how many things a site may hold.
        counts: how often each option occurs; or None, where that is free.
    """

    sites: tuple[int, ...]
    n_options: int
    counts: tuple[int, ...] | None

    @property
    def n_decorations(self) -> int:
        """How many decorations it has, symmetry aside."""
        if self.counts is None:
            return int(self.n_options ** len(self.sites))
        return _multinomial(self.counts)


@final
@dataclass(frozen=True, eq=False)
class DecorationEnumerator:
    """The decorations of sublattices, up to a group of permutations.

    Attributes:
        sublattices: the sublattices; every site is on one of them.
        permutations: `[g, s]` int64, which map each sublattice to itself.
    """

    sublattices: tuple[Sublattice, ...]
    permutations: Tensor

    @property
    def n_decorations(self) -> int:
        """How many decorations there are, symmetry aside."""
        return math.prod(part.n_decorations for part in self.sublattices)

    @cached_property
    def n_distinct(self) -> int:
        """How many classes of equal decorations there are."""
        weights = [many * fixed for many, fixed in zip(*self._burnside_terms, strict=True)]
        return sum(weights) // len(self.permutations)

    def canonical(self, C: Tensor) -> Tensor:
        """Return of all decorations equal to each `[n, s]` int64 the first.

        Decorations are ordered as words are.
        """
        found = torch.empty_like(C)
        words = self._lexicographic_weights
        rows = max(MAX_CHUNK_ELEMENTS // len(self.permutations), 1)
        for start in range(0, len(C), rows):
            part = C[start : start + rows]
            least = torch.zeros(len(part), len(self.permutations), dtype=torch.float64)
            for word in words:
                value = part.double() @ word + least
                first = value.amin(-1, keepdim=True)
                least.masked_fill_(value > first, torch.inf)
            best = least.argmin(-1)  # the first that is still zero
            found[start : start + rows] = part.gather(1, self.permutations[best])
        return found

    def is_canonical(self, C: Tensor) -> Tensor:
        """Return which of decorations `[n, s]` are the first of their class, `[n]`.

        A few permutations tell it of most that are not.
        """
        word, same = (
            self._lexicographic_weights[0],
            torch.arange(self.permutations.shape[1]),
        )
        identity = int((same == self.permutations).all(-1).nonzero()[0])
        some = word[:, :: -(-len(self.permutations) // N_QUICK_PERMUTATIONS)]
        letters = C.double()
        own = letters @ word[:, identity]
        found = (letters @ some >= own.unsqueeze(-1)).all(-1)
        rest = C[found]
        found[found.clone()] = (self.canonical(rest) == rest).all(-1)
        return found

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return a decoration of each of n classes, all as probable, `[n, s]` int64."""
        many, fixed = self._burnside_terms
        bounds = np.cumsum(
            np.array([m * f for m, f in zip(many, fixed, strict=True)], dtype=object)
        )
        kinds = [
            int((bounds <= rank).sum())
            for rank in random_integers_below(int(bounds[-1]), n, generator)
        ]
        C = torch.zeros(n, self.permutations.shape[1], dtype=torch.int64)
        for row, kind in enumerate(kinds):
            members = self._cycle_types[1][kind]
            place = torch.randint(len(members), (), generator=generator)
            cycles = self._cycle_representatives[members[int(place)]]
            for part in self.sublattices:
                _assign_cycles(C[row], part, cycles, generator)
        return C

    def iter_decorations(self) -> Iterator[Tensor]:
        """Yield all decorations, symmetry aside, in blocks `[·, s]` int64."""
        yield from _iter_decorations(self.sublattices, self.permutations.shape[1])

    @cached_property
    def _lexicographic_weights(self) -> list[Tensor]:
        """Weights that turn decorations into numbers, `[s, g]` each.

        The numbers of two decorations compare as their letters do, word after word.
        """
        g, s = self.permutations.shape
        base = max(2, *(part.n_options for part in self.sublattices))
        letters = max(int(math.log(MAX_EXACT_INTEGER, base)) - 1, 1)
        found = []
        for start in range(0, s, letters):
            places = self.permutations[:, start : start + letters]  # [g, w]
            width = places.shape[1]
            power = torch.tensor([float(base**e) for e in reversed(range(width))])
            word = torch.zeros(g, s, dtype=torch.float64)
            word.scatter_(1, places, power.double().expand(g, width))
            found.append(word.T.contiguous())
        return found

    @cached_property
    def _cycle_representatives(self) -> Array:
        """The first site of the cycle that each site is in, `[g, s]`."""
        P = self.permutations.numpy()
        first = np.broadcast_to(np.arange(P.shape[1]), P.shape).copy()
        for _ in range(max(P.shape[1].bit_length(), 1)):
            first = np.minimum(first, np.take_along_axis(first, P, 1))
            P = np.take_along_axis(P, P, 1)
        return first

    @cached_property
    def _cycle_types(self) -> tuple[Array, list[Array]]:
        """Cycle lengths by site, sorted `[types, s]`, and the permutations of each."""
        cycles = self._cycle_representatives
        same = cycles[:, :, None] == cycles[:, None, :]
        lengths = same.sum(-1)  # [g, s]
        columns = [np.sort(lengths[:, list(p.sites)], axis=-1) for p in self.sublattices]
        rows, kind = np.unique(np.concatenate(columns, -1), axis=0, return_inverse=True)
        kind = kind.reshape(-1)
        return rows, [np.flatnonzero(kind == i) for i in range(len(rows))]

    @cached_property
    def _burnside_terms(self) -> tuple[list[int], list[int]]:
        """Permutations of each type, and decorations that each of them keeps."""
        rows, members = self._cycle_types
        fixed = []
        for row in rows:
            start, ways = 0, 1
            for part in self.sublattices:
                stop = start + len(part.sites)
                ways *= _n_fixed_decorations(
                    _cycle_type(row[start:stop]), part.n_options, part.counts
                )
                start = stop
            fixed.append(ways)
        return [len(rows) for rows in members], fixed


CycleType = tuple[tuple[int, int], ...]
"""Pairs of the length of cycles and how many there are."""


def _cycle_type(lengths: Array) -> CycleType:
    """Return how many cycles of each length there are, from the one of each site."""
    found, sites = np.unique(lengths, return_counts=True)
    return tuple(
        (int(length), int(many // length)) for length, many in zip(found, sites, strict=True)
    )


def _n_fixed_decorations(cycles: CycleType, n_options: int, counts: tuple[int, ...] | None) -> int:
    """Return the decorations that are constant on cycles."""
    if counts is None:
        return int(n_options ** sum(many for _, many in cycles))
    return _n_cycle_assignments(cycles, counts)


@lru_cache(maxsize=1 << 16)
def _n_cycle_assignments(cycles: CycleType, counts: tuple[int, ...]) -> int:
    """Return the ways to give cycles to options, which hold so many sites each."""
    if len(counts) == 1:
        return int(sum(length * many for length, many in cycles) == counts[0])
    return sum(weight for _, weight in _first_option_choices(cycles, counts))


def _first_option_choices(
    cycles: CycleType, counts: tuple[int, ...]
) -> list[tuple[tuple[int, ...], int]]:
    """Return which cycles the first option may take, and in how many ways each.

    A choice is the number of cycles of each length; its ways count those of the others
    too.
    """
    found = []
    for taken in _iter_cycle_subsets(cycles, counts[0]):
        ways = math.prod(
            math.comb(many, take) for (_, many), take in zip(cycles, taken, strict=True)
        )
        rest = tuple(
            (length, many - take) for (length, many), take in zip(cycles, taken, strict=True)
        )
        ways *= _n_cycle_assignments(rest, counts[1:])
        if ways:
            found.append((taken, ways))
    return found


def _iter_cycle_subsets(cycles: CycleType, n_sites: int) -> Iterator[tuple[int, ...]]:
    """Yield the numbers of cycles of each length that cover so many sites."""
    if not cycles:
        if not n_sites:
            yield ()
        return
    (length, many), rest = cycles[0], cycles[1:]
    for take in range(min(many, n_sites // length) + 1):
        for others in _iter_cycle_subsets(rest, n_sites - take * length):
            yield take, *others


def _assign_cycles(
    decoration: Tensor,
    sublattice: Sublattice,
    cycles: Array,
    generator: torch.Generator,
) -> None:
    """Give the cycles of a sublattice to options, uniformly over all ways."""
    sites = np.array(sublattice.sites)
    names, where, lengths = np.unique(cycles[sites], return_inverse=True, return_counts=True)
    if sublattice.counts is None:
        options = torch.randint(sublattice.n_options, (len(names),), generator=generator)
        decoration[torch.from_numpy(sites)] = options[torch.from_numpy(where.reshape(-1))]
        return
    order = torch.randperm(len(names), generator=generator).tolist()
    waiting = {
        int(length): [i for i in order if lengths[i] == length] for length in np.unique(lengths)
    }
    held = torch.zeros(len(names), dtype=torch.int64)
    for option in range(sublattice.n_options):
        cells = tuple((length, len(left)) for length, left in waiting.items())
        taken: tuple[int, ...] = tuple(many for _, many in cells)
        if option + 1 < sublattice.n_options:
            choices = _first_option_choices(cells, sublattice.counts[option:])
            rank = random_integers_below(sum(ways for _, ways in choices), 1, generator)[0]
            for taken, ways in choices:  # noqa: B007  the one drawn is used below
                rank -= ways
                if rank < 0:
                    break
        for (length, _), take in zip(cells, taken, strict=True):
            given, waiting[length] = waiting[length][:take], waiting[length][take:]
            held[given] = option
    decoration[torch.from_numpy(sites)] = held[torch.from_numpy(where.reshape(-1))]


def _iter_decorations(sublattices: tuple[Sublattice, ...], n_sites: int) -> Iterator[Tensor]:
    """Yield all decorations of all sublattices, the last one varying fastest."""
    if not sublattices:
        yield torch.zeros(1, n_sites, dtype=torch.int64)
        return
    for base in _iter_decorations(sublattices[:-1], n_sites):
        own = _sublattice_decorations(sublattices[-1])
        sites = list(sublattices[-1].sites)
        for rows in base.split(max(MAX_CHUNK_ELEMENTS // (len(own) * n_sites), 1)):
            for some in own.split(max(MAX_CHUNK_ELEMENTS // n_sites, 1)):  # one part, or one row
                full = rows.repeat_interleave(len(some), 0)
                full[:, sites] = some.repeat(len(rows), 1).long()
                yield full


def _sublattice_decorations(sublattice: Sublattice) -> Tensor:
    """Return all decorations of one sublattice, `[·, sites]` uint8, in order."""
    counts = torch.tensor(sublattice.counts or (len(sublattice.sites),) * sublattice.n_options)
    rows = torch.zeros(1, 0, dtype=torch.uint8)
    used = torch.zeros(1, sublattice.n_options, dtype=torch.int16)
    for _ in sublattice.sites:
        parent, letter = (used < counts).nonzero(as_tuple=True)
        rows = torch.cat([rows[parent], letter.to(torch.uint8).unsqueeze(-1)], -1)
        used = used[parent]
        used[torch.arange(len(used)), letter] += 1
    return rows


def _multinomial(counts: tuple[int, ...]) -> int:
    total, ways = 0, 1
    for count in counts:
        total += count
        ways *= math.comb(total, count)
    return ways
