"""Compositions on a grid: counted exactly, listed, drawn and rounded to.

Notation
    k   elements
    m   steps that make up the whole; element i takes one of its `allowed` numbers
    W   W[i][r, c]: the ways in which elements i, i+1 ... take r steps, c of them > 0

W comes from the last element backwards (dynamic programming), in integers of any size.
The composition of rank j follows from it element by element, so that a uniform rank is
a uniform composition: nothing is drawn to be thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

MAX_INT64_COUNT = 2**62
"""Counts below fit into int64."""

Array = np.ndarray[Any, np.dtype[Any]]


@final
@dataclass(frozen=True)
class CompositionGrid:
    """All ways to share m steps among elements.

    Attributes:
        n_steps: m.
        allowed_steps: the numbers of steps that each element may take, ascending.
        min_components: elements that must take some.
        max_components: elements that may take some.
    """

    n_steps: int
    allowed_steps: tuple[tuple[int, ...], ...]
    min_components: int
    max_components: int

    @property
    def size(self) -> int:
        """How many there are."""
        return int(self._n_completions[0][self.n_steps].sum())

    @cached_property
    def _n_completions(self) -> list[Array]:
        """W, `[k + 1]` arrays `[m + 1, k + 1]`, c counted down from the presence left.

        W[i][r, c]: the ways in which elements i, i+1 ... take r steps such that,
        with c already present, the final number lies between least and most.
        """
        m, k = self.n_steps, len(self.allowed_steps)
        last = np.zeros((m + 1, k + 1), dtype=object)
        last[0, self.min_components : self.max_components + 1] = 1
        found = [last]
        for options in reversed(self.allowed_steps):
            after, ways = found[0], np.zeros((m + 1, k + 1), dtype=object)
            for steps in options:
                shifted = after[: m + 1 - steps]
                if steps:
                    ways[steps:, :-1] += shifted[:, 1:]
                else:
                    ways += shifted
            found.insert(0, ways)
        # all start with none present
        found[0] = found[0][:, :1]
        return found

    @cached_property
    def _cumulative_completions(self) -> list[Array]:
        """Ways up to each option, by element, `[m + 1, k + 1, options + 1]`."""
        m, k = self.n_steps, len(self.allowed_steps)
        kind = np.int64 if self.size < MAX_INT64_COUNT else object
        found = []
        for i, options in enumerate(self.allowed_steps):
            table = np.zeros((m + 1, k + 1, len(options) + 1), dtype=object)
            after = self._n_completions[i + 1]
            for place, steps in enumerate(options):
                table[steps:, :, place + 1] = after[: m + 1 - steps]
                if steps:
                    table[:, :-1, place + 1] = table[:, 1:, place + 1]
                    table[:, -1, place + 1] = 0
            table = np.cumsum(table, axis=-1)
            # entries that are never reached may be larger than the whole
            if kind is np.int64:
                table = np.minimum(table, MAX_INT64_COUNT)
            found.append(table.astype(kind))
        return found

    def unrank(self, ranks: Sequence[int]) -> Tensor:
        """Return the compositions of these ranks, in steps, `[n, k]` int64."""
        cumulative = self._cumulative_completions
        n, k = len(ranks), len(self.allowed_steps)
        kind = cumulative[0].dtype
        left = np.array(list(ranks), dtype=kind)
        rest = np.full(n, self.n_steps, dtype=np.int64)
        present = np.zeros(n, dtype=np.int64)
        steps = np.zeros((n, k), dtype=np.int64)
        for i, options in enumerate(self.allowed_steps):
            table = cumulative[i][rest, present]  # [n, options + 1]
            place = (left[:, None] >= table).sum(-1).astype(np.int64) - 1
            left = left - table[np.arange(n), place]
            steps[:, i] = np.array(options, dtype=np.int64)[place]
            rest -= steps[:, i]
            present += steps[:, i] > 0
        return torch.from_numpy(steps)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n compositions, each equally probable, in steps, `[n, k]` int64."""
        return self.unrank(random_integers_below(self.size, n, generator))

    def nearest(self, target: Tensor) -> Tensor:
        """Return the compositions nearest to targets `[n, k]` in steps, `[n, k]` int64.

        The sum of squares is least over all compositions, by dynamic programming.
        """
        m, k = self.n_steps, len(self.allowed_steps)
        n = len(target)
        cost = torch.full((n, m + 1, k + 1), torch.inf, dtype=torch.float64)
        cost[:, 0, self.min_components : self.max_components + 1] = 0
        choices: list[Tensor] = []
        for i in reversed(range(k)):
            best = torch.full_like(cost, torch.inf)
            choice = torch.zeros(cost.shape, dtype=torch.int64)
            for steps in self.allowed_steps[i]:
                extra = (target[:, i].double().cpu() - steps).square()[:, None, None]
                here = torch.full_like(cost, torch.inf)
                if steps:
                    here[:, steps:, :-1] = cost[:, : m + 1 - steps, 1:] + extra
                else:
                    here = cost + extra
                closer = here < best
                best = torch.where(closer, here, best)
                choice[closer] = steps
            cost = best
            choices.insert(0, choice)
        rest = torch.full((n,), m)
        present = torch.zeros(n, dtype=torch.int64)
        found = torch.zeros(n, k, dtype=torch.int64)
        every = torch.arange(n)
        for i in range(k):
            found[:, i] = choices[i][every, rest, present]
            rest = rest - found[:, i]
            present = present + (found[:, i] > 0)
        return found

    def contains(self, steps: Tensor) -> Tensor:
        """Return whether whole steps `[..., k]` are a composition, `[...]`."""
        inside = steps.sum(-1) == self.n_steps
        for i, options in enumerate(self.allowed_steps):
            allowed = torch.tensor(options, device=steps.device)
            inside = inside & torch.isin(steps[..., i], allowed)
        present = (steps > 0).sum(-1)
        return inside & (present >= self.min_components) & (present <= self.max_components)


def random_integers_below(limit: int, n: int, generator: torch.Generator) -> list[int]:
    """Return n integers uniform below a limit of any size.

    The limit is met by taking a remainder of 62 bits more than it has: no integer is
    more probable than another by a share of 2⁻⁶².
    """
    words = (limit.bit_length() + 61) // 62 + 1
    drawn = torch.randint(2**62, (n, words), generator=generator, dtype=torch.int64)
    found = []
    for row in drawn.tolist():
        value = 0
        for word in row:
            value = value << 62 | word
        found.append(value % limit)
    return found
