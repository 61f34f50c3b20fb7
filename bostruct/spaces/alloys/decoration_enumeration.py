"""Decoration enumeration: decorations up to symmetry, counted, enumerated and sampled.

Notation
    s   number of sites
    g   number of permutations of the sites, which form a group G
    P   [g, s]  site p of the permuted decoration holds the option of site P[g, p]
    C   [n, s]  decorations: the option that each site holds

Counting is Burnside's lemma: the number of classes of equivalent decorations is 1/|G| Σ_g |Fix g|,
where Fix g are the decorations that g leaves invariant, constant on each of its cycles. Sampling
follows: of the pairs (g, C in Fix g) each class contributes |G|, so that a uniform pair holds a
uniform class.
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
"""Largest number of elements of an intermediate; bounds the memory to about 100 MB."""

N_QUICK_PERMUTATIONS = 16
"""Number of permutations that are tried before all others."""

MAX_EXACT_INTEGER = 2**53
"""Bound of the integers that are exact in float64."""

Array = np.ndarray[Any, np.dtype[Any]]


@final
@dataclass(frozen=True, eq=False)
class Sublattice:
    """Sites with the same options.

    Attributes:
        sites: indices of the sites.
        n_options: number of options of a site.
        counts: number of sites with each option, or None where the composition is free.
    """

    sites: tuple[int, ...]
    n_options: int
    counts: tuple[int, ...] | None

    @property
    def n_decorations(self) -> int:
        """The number of decorations, regardless of symmetry."""
        if self.counts is None:
            return int(self.n_options ** len(self.sites))
        n_permutations = math.factorial(sum(self.counts))
        return n_permutations // math.prod(math.factorial(count) for count in self.counts)


@final
@dataclass(frozen=True, eq=False)
class DecorationEnumerator:
    """The decorations of sublattices, up to a group of permutations.

    Attributes:
        sublattices: sublattices; every site is on one of them.
        permutations: `[g, s]` int64, which map each sublattice to itself.
    """

    sublattices: tuple[Sublattice, ...]
    permutations: Tensor

    @property
    def n_decorations(self) -> int:
        """The number of decorations, regardless of symmetry."""
        return math.prod(sublattice.n_decorations for sublattice in self.sublattices)

    @cached_property
    def n_distinct(self) -> int:
        """The number of classes of equivalent decorations."""
        return sum(self._burnside_terms) // len(self.permutations)

    def canonical(self, C: Tensor) -> Tensor:
        """Return the lexicographically first of all decorations equivalent to each `[n, s]`."""
        canonical = torch.empty_like(C)
        rows = max(MAX_CHUNK_ELEMENTS // len(self.permutations), 1)
        for start in range(0, len(C), rows):
            chunk = C[start : start + rows]
            excluded = torch.zeros(len(chunk), len(self.permutations), dtype=torch.float64)
            for weights in self._lexicographic_weights:
                value = chunk.double() @ weights + excluded
                excluded.masked_fill_(value > value.amin(-1, keepdim=True), torch.inf)
            best = excluded.argmin(-1)  # the first that is still zero
            canonical[start : start + rows] = chunk.gather(1, self.permutations[best])
        return canonical

    def is_canonical(self, C: Tensor) -> Tensor:
        """Return which of decorations `[n, s]` are the first of their class, `[n]` bool.

        A few permutations exclude most that are not.
        """
        weights, order = self._lexicographic_weights[0], torch.arange(self.permutations.shape[1])
        identity = int((order == self.permutations).all(-1).nonzero()[0])
        some = weights[:, :: -(-len(self.permutations) // N_QUICK_PERMUTATIONS)]
        options = C.double()
        first = (options @ some >= (options @ weights[:, identity]).unsqueeze(-1)).all(-1)
        rest = C[first]
        first[first.clone()] = (self.canonical(rest) == rest).all(-1)
        return first

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return a decoration of each of n classes, all equally probable, `[n, s]` int64."""
        bounds = np.cumsum(np.array(self._burnside_terms, dtype=object))
        ranks = random_integers_below(int(bounds[-1]), n, generator)
        C = torch.zeros(n, self.permutations.shape[1], dtype=torch.int64)
        for row, rank in enumerate(ranks):
            members = self._cycle_types[1][int((bounds <= rank).sum())]
            member = members[int(torch.randint(len(members), (), generator=generator))]
            for sublattice in self.sublattices:
                _assign_cycles(C[row], sublattice, self._cycle_representatives[member], generator)
        return C

    def iter_decorations(self) -> Iterator[Tensor]:
        """Yield all decorations, regardless of symmetry, in chunks `[·, s]` int64."""
        yield from _iter_decorations(self.sublattices, self.permutations.shape[1])

    @cached_property
    def _lexicographic_weights(self) -> list[Tensor]:
        """Weights that turn decorations into numbers, `[s, g]` each, one per group of sites.

        The numbers of two decorations, group after group, are in lexicographic order.
        """
        g, s = self.permutations.shape
        base = max(2, *(sublattice.n_options for sublattice in self.sublattices))
        n_sites = max(int(math.log(MAX_EXACT_INTEGER, base)) - 1, 1)
        weights = []
        for start in range(0, s, n_sites):
            sites = self.permutations[:, start : start + n_sites]  # [g, w]
            powers = torch.tensor([float(base**e) for e in reversed(range(sites.shape[1]))])
            table = torch.zeros(g, s, dtype=torch.float64)
            table.scatter_(1, sites, powers.double().expand(sites.shape))
            weights.append(table.T.contiguous())
        return weights

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
        lengths = (cycles[:, :, None] == cycles[:, None, :]).sum(-1)  # [g, s]
        columns = [np.sort(lengths[:, list(sub.sites)], axis=-1) for sub in self.sublattices]
        types, index = np.unique(np.concatenate(columns, -1), axis=0, return_inverse=True)
        return types, [np.flatnonzero(index.reshape(-1) == i) for i in range(len(types))]

    @cached_property
    def _burnside_terms(self) -> list[int]:
        """The decorations invariant under the permutations of each type, summed over these."""
        terms = []
        for lengths, members in zip(*self._cycle_types, strict=True):
            start, n_fixed = 0, 1
            for sublattice in self.sublattices:
                stop = start + len(sublattice.sites)
                n_fixed *= _n_fixed_decorations(_cycle_type(lengths[start:stop]), sublattice)
                start = stop
            terms.append(len(members) * n_fixed)
        return terms


CycleType = tuple[tuple[int, int], ...]
"""Pairs of the length of cycles and their number."""


def _cycle_type(lengths: Array) -> CycleType:
    """Return the number of cycles of each length, from the length of the cycle of each site."""
    unique, n_sites = np.unique(lengths, return_counts=True)
    return tuple((int(length), int(n // length)) for length, n in zip(unique, n_sites, strict=True))


def _n_fixed_decorations(cycles: CycleType, sublattice: Sublattice) -> int:
    """Return the number of decorations that are constant on cycles."""
    if sublattice.counts is None:
        return int(sublattice.n_options ** sum(n_cycles for _, n_cycles in cycles))
    return _n_cycle_assignments(cycles, sublattice.counts)


@lru_cache(maxsize=1 << 16)
def _n_cycle_assignments(cycles: CycleType, counts: tuple[int, ...]) -> int:
    """Return the number of ways to assign cycles to options with these numbers of sites."""
    if len(counts) == 1:
        return int(sum(length * n_cycles for length, n_cycles in cycles) == counts[0])
    return sum(n_ways for _, n_ways in _first_option_choices(cycles, counts))


def _first_option_choices(
    cycles: CycleType, counts: tuple[int, ...]
) -> list[tuple[tuple[int, ...], int]]:
    """Return the cycles that the first option may take, and the number of ways of each choice.

    A choice is the number of cycles of each length; its ways include those of the other options.
    """
    choices = []
    for taken in _iter_cycle_subsets(cycles, counts[0]):
        pairs = list(zip(cycles, taken, strict=True))
        n_ways = math.prod(math.comb(n_cycles, n_taken) for (_, n_cycles), n_taken in pairs)
        rest = tuple((length, n_cycles - n_taken) for (length, n_cycles), n_taken in pairs)
        n_ways *= _n_cycle_assignments(rest, counts[1:])
        if n_ways:
            choices.append((taken, n_ways))
    return choices


def _iter_cycle_subsets(cycles: CycleType, n_sites: int) -> Iterator[tuple[int, ...]]:
    """Yield the numbers of cycles of each length that cover this number of sites."""
    if not cycles:
        if not n_sites:
            yield ()
        return
    (length, n_cycles), rest = cycles[0], cycles[1:]
    for n_taken in range(min(n_cycles, n_sites // length) + 1):
        for others in _iter_cycle_subsets(rest, n_sites - n_taken * length):
            yield n_taken, *others


def _assign_cycles(
    decoration: Tensor, sublattice: Sublattice, cycles: Array, generator: torch.Generator
) -> None:
    """Assign the cycles of a sublattice to options, uniformly over all ways."""
    sites = np.array(sublattice.sites)
    unique, index, lengths = np.unique(cycles[sites], return_inverse=True, return_counts=True)
    if sublattice.counts is None:
        options = torch.randint(sublattice.n_options, (len(unique),), generator=generator)
    else:
        options = torch.zeros(len(unique), dtype=torch.int64)
        order = torch.randperm(len(unique), generator=generator).tolist()
        unassigned = {
            int(length): [i for i in order if lengths[i] == length] for length in np.unique(lengths)
        }
        for option in range(sublattice.n_options):
            cycle_type = tuple((length, len(rest)) for length, rest in unassigned.items())
            taken: tuple[int, ...] = tuple(n_cycles for _, n_cycles in cycle_type)
            if option + 1 < sublattice.n_options:
                choices = _first_option_choices(cycle_type, sublattice.counts[option:])
                rank = random_integers_below(sum(n for _, n in choices), 1, generator)[0]
                for taken, n_ways in choices:  # noqa: B007  the choice drawn is used below
                    rank -= n_ways
                    if rank < 0:
                        break
            for (length, _), n_taken in zip(cycle_type, taken, strict=True):
                options[unassigned[length][:n_taken]] = option
                del unassigned[length][:n_taken]
    decoration[torch.from_numpy(sites)] = options[torch.from_numpy(index.reshape(-1))]


def _iter_decorations(sublattices: tuple[Sublattice, ...], n_sites: int) -> Iterator[Tensor]:
    """Yield all decorations of all sublattices, the last one varying fastest."""
    if not sublattices:
        yield torch.zeros(1, n_sites, dtype=torch.int64)
        return
    for base in _iter_decorations(sublattices[:-1], n_sites):
        last = _sublattice_decorations(sublattices[-1])
        sites = list(sublattices[-1].sites)
        for rows in base.split(max(MAX_CHUNK_ELEMENTS // (len(last) * n_sites), 1)):
            for chunk in last.split(max(MAX_CHUNK_ELEMENTS // n_sites, 1)):  # one chunk, or one row
                decorations = rows.repeat_interleave(len(chunk), 0)
                decorations[:, sites] = chunk.repeat(len(rows), 1).long()
                yield decorations


def _sublattice_decorations(sublattice: Sublattice) -> Tensor:
    """Return all decorations of one sublattice, `[·, sites]` uint8, in order."""
    counts = torch.tensor(sublattice.counts or (len(sublattice.sites),) * sublattice.n_options)
    rows = torch.zeros(1, 0, dtype=torch.uint8)
    used = torch.zeros(1, sublattice.n_options, dtype=torch.int16)
    for _ in sublattice.sites:
        parent, option = (used < counts).nonzero(as_tuple=True)
        rows = torch.cat([rows[parent], option.to(torch.uint8).unsqueeze(-1)], -1)
        used = used[parent]
        used[torch.arange(len(used)), option] += 1
    return rows
