"""Columns over the trials of a log, kept from one step to the next.

Every column is a function of the trials that it is asked for. Where the first of them are those of
the last time, only the others are computed, so a step costs what its own trials cost. Lists of
trials must not be changed: the same list is taken for the same trials.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import accumulate, compress
from typing import Any, TypeVar, final

import torch
from torch import Tensor

from bostruct.campaign.analysis.calibration import OnlineCalibration
from bostruct.campaign.analysis.hypervolume_history import is_complete_and_feasible
from bostruct.campaign.analysis.outcome_table import (
    ENERGY,
    outcome_matrix,
    single_outcome,
)
from bostruct.campaign.analysis.z_scores import z_score
from bostruct.campaign.records import Trial, training_structures
from bostruct.objectives import OptimizationConfig, pareto_front
from bostruct.objectives.pareto import count_dominating
from bostruct.spaces import Space
from bostruct.structures import Structures

T = TypeVar("T")

STRUCTURES_BLOCK_SIZE = 64
"""Number of structures decoded together, so that what one decodes to rests on no earlier step."""


@final
class TrialColumns:
    """Columns of the trials of one log by name, with the trials that they are of."""

    def __init__(self) -> None:
        self._columns: dict[Hashable, tuple[list[Trial], Any]] = {}

    def coordinates(self, trials: Sequence[Trial], name: str = "coordinates") -> Tensor:
        """Return the coordinates of trials, `[t, d]`.

        Args:
            trials: Trials, at least one.
            name: Name of the column, another one for each selection of trials.
        """

        def extend(X: Tensor | None, n: int) -> Tensor:
            rest = [trial.X for trial in trials[n:]]
            first = [] if X is None else [X[:n]]
            return torch.cat([*first, torch.stack(rest)] if rest else first)

        return self._column(name, trials, extend)

    def structures(self, trials: Sequence[Trial], space: Space) -> Structures:
        """Return the structures of finished trials with their energies and forces."""
        size = STRUCTURES_BLOCK_SIZE

        def extend(blocks: list[Structures] | None, n: int) -> list[Structures]:
            n_kept = n // size
            return (blocks or [])[:n_kept] + [
                training_structures(list(trials[i : i + size]), space)
                for i in range(n_kept * size, len(trials), size)
            ]

        blocks: list[Structures] = self._column("structures", trials, extend)
        return Structures.cat(blocks)

    def outcomes(self, trials: Sequence[Trial], optimization_config: OptimizationConfig) -> Tensor:
        """Return the outcomes of trials, `[t, k]`, as `outcome_matrix` does."""

        def extend(Y: Tensor | None, n: int) -> Tensor:
            rest = outcome_matrix(trials[n:], optimization_config)
            return rest if Y is None else torch.cat([Y[:n], rest])

        return self._column("outcomes", trials, extend)

    def calibration(
        self,
        trials: Sequence[Trial],
        optimization_config: OptimizationConfig | None = None,
        outcome: str = ENERGY,
    ) -> OnlineCalibration:
        """Return the calibration of the predictions of one outcome.

        Args:
            trials: Trials.
            optimization_config: Objectives and constraints; None where the energy is minimized.
            outcome: Name of the outcome.
        """

        def extend(scores: list[float | None] | None, n: int) -> list[float | None]:
            rest = list(trials[n:])
            if optimization_config is not None:
                rest = single_outcome(rest, optimization_config, outcome)
            return [*(scores or ())[:n], *map(z_score, rest)]

        scores = self._column(("calibration", outcome), trials, extend)
        return OnlineCalibration(tuple([z for z in scores if z is not None]))

    def dominance_rank(
        self, trials: Sequence[Trial], optimization_config: OptimizationConfig
    ) -> Tensor:
        """Return the dominance rank of trials, `[t]`, as `objectives.dominance_rank` does."""
        Y = self.outcomes(trials, optimization_config)
        utilities = optimization_config.utilities(Y)
        is_feasible = is_complete_and_feasible(Y, optimization_config)

        def extend(counts: Tensor | None, n: int) -> Tensor:
            if counts is None or n < len(counts):  # a result was changed
                counts, n = torch.zeros(0, dtype=torch.int64), 0
            rest = utilities[n:][is_feasible[n:]]
            return torch.cat(
                [
                    counts + count_dominating(utilities[:n], rest),
                    count_dominating(utilities[n:], utilities[is_feasible]),
                ]
            )

        counts = self._column("dominance", trials, extend)
        return counts.to(Y) + len(Y) * ~is_feasible

    def front(self, trials: Sequence[Trial], optimization_config: OptimizationConfig) -> Tensor:
        """Return the rows of the trials on the Pareto front, as `objectives.pareto_front` does."""
        Y = self.outcomes(trials, optimization_config)

        def extend(front: tuple[Tensor, int] | None, n: int) -> tuple[Tensor, int]:
            rows = torch.arange(len(Y))
            if front is not None and n == front[1]:  # what was dominated still is
                rows = torch.cat([front[0], rows[n:]])
            return rows[pareto_front(Y[rows], optimization_config)], len(Y)

        return self._column("front", trials, extend)[0]

    def duplicates(self, trials: Sequence[Trial], space: Space) -> dict[int, list[int]]:
        """Return the indices of the duplicates of each failed trial, by its index."""
        X = self.coordinates(trials)

        def extend(old: dict[int, list[int]] | None, n: int) -> dict[int, list[int]]:
            kept = {i: [j for j in rows if j < n] for i, rows in (old or {}).items() if i < n}
            new = [i for i, trial in enumerate(trials[n:], n) if trial.state == "failed"]
            duplicates = dict(kept)
            for indices, start in ((list(kept), n), (new, 0)):
                if not indices or start == len(X):
                    continue
                mask = space.is_duplicate(X[indices].unsqueeze(1), X[start:])
                for i, row in zip(indices, mask, strict=True):
                    found = (row.nonzero().flatten() + start).tolist()
                    duplicates[i] = [*kept.get(i, ()), *found]
            return duplicates

        return self._column("duplicates", trials, extend)

    def each(self, name: str, trials: Sequence[Trial], function: Callable[[Trial], T]) -> list[T]:
        """Return a function of each trial, in order.

        Args:
            name: Name of the column.
            trials: Trials.
            function: Function, the same for all calls with this name.
        """

        def extend(values: list[T] | None, n: int) -> list[T]:
            return _first(values or [], n) + list(map(function, trials[n:]))

        return self._column(name, trials, extend)

    def select(
        self, name: str, trials: Sequence[Trial], predicate: Callable[[Trial], bool]
    ) -> list[Trial]:
        """Return the trials for which a predicate holds, in order.

        Args:
            name: Name of the column.
            trials: Trials.
            predicate: Function, the same for all calls with this name.
        """
        flags = self.each(name, trials, predicate)
        return self.cached(("selected", name), trials, lambda: list(compress(trials, flags)))

    def known(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return the trials with a result that is not doubted, in order."""
        return self.select("is known", trials, is_known)

    def cached(self, name: Hashable, trials: Sequence[Trial], function: Callable[[], T]) -> T:
        """Return the result of a function of trials, computed anew only where these differ.

        Args:
            name: Name of the column.
            trials: Trials that the result depends on.
            function: Function without arguments, the same for all calls with this name.
        """
        one: tuple[T] = self._column(name, trials, lambda old, n: (function(),))
        return one[0]

    def fold(
        self, name: str, trials: Sequence[Trial], function: Callable[[T, Trial], T], initial: T
    ) -> T:
        """Return the state after all trials, each of which changes it by `function`.

        Args:
            name: Name of the column.
            trials: Trials.
            function: Function from a state and the next trial to the next state.
            initial: State before the first trial.
        """

        def extend(states: list[T] | None, n: int) -> list[T]:
            kept = _first(states or [initial], n + 1)
            return kept + list(accumulate(trials[n:], function, initial=kept[-1]))[1:]

        return self._column(name, trials, extend)[-1]

    def _column(
        self, name: Hashable, trials: Sequence[Trial], extend: Callable[[T | None, int], T]
    ) -> T:
        """Return a column of trials.

        Args:
            name: Name of the column.
            trials: Trials.
            extend: Function from the column of the last time and the number of trials, the first
                ones, for which it holds; None and 0 at the first time.
        """
        trials = trials if isinstance(trials, list) else list(trials)
        last: tuple[list[Trial], T | None] = self._columns.get(name, ([], None))
        old_trials, old = last
        n = len(trials) if trials is old_trials else common_prefix_length(old_trials, trials)
        if old is None or n < max(len(old_trials), len(trials)):
            old = extend(old, n)
            self._columns[name] = trials, old
        return old


def is_known(trial: Trial) -> bool:
    """Return whether a trial has a result that is not doubted."""
    return trial.is_known


def common_prefix_length(first: list[Trial], second: list[Trial]) -> int:
    """Return the number of trials with which both lists begin, the same objects."""
    low, high = 0, min(len(first), len(second))
    if _first(first, high) == _first(second, high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _first(values: list[T], n: int) -> list[T]:
    """Return the first n values: the list itself where it has no more."""
    return values if len(values) == n else values[:n]
