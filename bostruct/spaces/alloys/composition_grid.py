"""Composition grid: all compositions in whole steps that meet the bounds.

They are counted, enumerated and sampled exactly, and the nearest one is found exactly.

Notation
    k   number of elements
    m   number of steps of the sum; element i takes one of its allowed numbers of steps
    W   W[i][r, c]: number of ways in which elements i, i+1 ... take r steps, c of them > 0

W comes from the last element backwards (dynamic programming), in integers of any size. The
composition of rank j follows from it element by element, so that a uniform rank is a uniform
composition, without rejection.
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
"""Bound of the counts that are kept as int64."""

Array = np.ndarray[Any, np.dtype[Any]]


@final
@dataclass(frozen=True)
class CompositionGrid:
    """All ways to divide m steps among k elements.

    Attributes:
        n_steps: number of steps m.
        allowed_steps: numbers of steps that each element may take, ascending.
        min_components: smallest number of elements that take any.
        max_components: largest number of elements that take any.
    """

    n_steps: int
    allowed_steps: tuple[tuple[int, ...], ...]
    min_components: int
    max_components: int

    @property
    def size(self) -> int:
        """The number of compositions."""
        return int(self._n_completions[0][self.n_steps].sum())

    @cached_property
    def _n_completions(self) -> list[Array]:
        """W, `[k + 1]` arrays `[m + 1, k + 1]`, c counted down from the number present.

        W[i][r, c]: number of ways in which elements i, i+1 ... take r steps such that, with c
        already present, the final number of components is allowed.
        """
        m, k = self.n_steps, len(self.allowed_steps)
        last = np.zeros((m + 1, k + 1), dtype=object)
        last[0, self.min_components : self.max_components + 1] = 1
        completions = [last]
        for options in reversed(self.allowed_steps):
            after, ways = completions[0], np.zeros((m + 1, k + 1), dtype=object)
            for steps in options:
                shifted = after[: m + 1 - steps]
                if steps:
                    ways[steps:, :-1] += shifted[:, 1:]
                else:
                    ways += shifted
            completions.insert(0, ways)
        completions[0] = completions[0][:, :1]  # none present at first
        return completions

    @cached_property
    def _cumulative_completions(self) -> list[Array]:
        """Number of ways up to each option, by element, `[m + 1, k + 1, options + 1]`."""
        m, k = self.n_steps, len(self.allowed_steps)
        dtype = np.int64 if self.size < MAX_INT64_COUNT else object
        tables = []
        for options, after in zip(self.allowed_steps, self._n_completions[1:], strict=True):
            table = np.zeros((m + 1, k + 1, len(options) + 1), dtype=object)
            for i, steps in enumerate(options):
                table[steps:, :, i + 1] = after[: m + 1 - steps]
                if steps:
                    table[:, :-1, i + 1] = table[:, 1:, i + 1]
                    table[:, -1, i + 1] = 0
            table = np.cumsum(table, axis=-1)
            # entries that are never reached may exceed the size
            if dtype is np.int64:
                table = np.minimum(table, MAX_INT64_COUNT)
            tables.append(table.astype(dtype))
        return tables

    def unrank(self, ranks: Sequence[int]) -> Tensor:
        """Return the compositions of these ranks, in steps, `[n, k]` int64."""
        tables = self._cumulative_completions
        n, k = len(ranks), len(self.allowed_steps)
        rank = np.array(list(ranks), dtype=tables[0].dtype)
        rest = np.full(n, self.n_steps, dtype=np.int64)
        n_present = np.zeros(n, dtype=np.int64)
        steps = np.zeros((n, k), dtype=np.int64)
        for i, options in enumerate(self.allowed_steps):
            table = tables[i][rest, n_present]  # [n, options + 1]
            option = (rank[:, None] >= table).sum(-1).astype(np.int64) - 1
            rank = rank - table[np.arange(n), option]
            steps[:, i] = np.array(options, dtype=np.int64)[option]
            rest -= steps[:, i]
            n_present += steps[:, i] > 0
        return torch.from_numpy(steps)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n compositions, all equally probable, in steps, `[n, k]` int64."""
        return self.unrank(random_integers_below(self.size, n, generator))

    def nearest(self, target: Tensor) -> Tensor:
        """Return the compositions nearest to targets `[n, k]` in steps, `[n, k]` int64.

        They minimize the sum of squares over all compositions, by dynamic programming.
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
                square = (target[:, i].double().cpu() - steps).square()[:, None, None]
                if steps:
                    trial = torch.full_like(cost, torch.inf)
                    trial[:, steps:, :-1] = cost[:, : m + 1 - steps, 1:] + square
                else:
                    trial = cost + square
                closer = trial < best
                best = torch.where(closer, trial, best)
                choice[closer] = steps
            cost = best
            choices.insert(0, choice)
        rest = torch.full((n,), m)
        n_present = torch.zeros(n, dtype=torch.int64)
        nearest = torch.zeros(n, k, dtype=torch.int64)
        for i, choice in enumerate(choices):
            nearest[:, i] = choice[torch.arange(n), rest, n_present]
            rest = rest - nearest[:, i]
            n_present = n_present + (nearest[:, i] > 0)
        return nearest

    def contains(self, steps: Tensor) -> Tensor:
        """Return whether whole steps `[..., k]` are a composition of the grid, `[...]` bool."""
        inside = steps.sum(-1) == self.n_steps
        for i, options in enumerate(self.allowed_steps):
            inside = inside & torch.isin(steps[..., i], torch.tensor(options, device=steps.device))
        n_present = (steps > 0).sum(-1)
        return inside & (n_present >= self.min_components) & (n_present <= self.max_components)


def random_integers_below(limit: int, n: int, generator: torch.Generator) -> list[int]:
    """Return n integers uniform below a limit of any size.

    They are remainders of random integers with 62 bits more than the limit: no integer is more
    probable than another by a factor of more than 1 + 2⁻⁶².
    """
    n_words = (limit.bit_length() + 61) // 62 + 1
    words = torch.randint(2**62, (n, n_words), generator=generator, dtype=torch.int64)
    integers = []
    for row in words.tolist():
        value = 0
        for word in row:
            value = value << 62 | word
        integers.append(value % limit)
    return integers
