"""The search among members of a discrete space that are too many to list.

Random members and changed copies of the best known are scored, the best of all so far
are changed again, round after round; the last ones are followed from neighbor to
neighbor until none is better. No gradient is asked for, and no member is scored twice.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, final

import torch
from torch import Tensor

from bostruct.candidates.batched_lbfgs import AcquisitionCallable
from bostruct.candidates.evaluation_cache import ScoredMembers
from bostruct.candidates.generators import (
    mutate,
    random_generators,
    sample_from,
)
from bostruct.candidates.selection import Candidates
from bostruct.errors import InputError, check_count, check_positive, error_message
from bostruct.spaces import DiscreteSpace, SupportsNeighbors

SCORING_CHUNK_SIZE = 256
"""Members scored at once."""


@final
@dataclass(frozen=True)
class EvolutionarySearch:
    """Evolution and descent on the acquisition, among members of a discrete space.

    Attributes:
        n_candidates: members made in a round.
        n_rounds: the most rounds; each but the first changes the best of all before it.
        patience: rounds in a row that find nothing better, after which it ends.
        min_improvement: eV, what counts as better.
        max_time_fraction: of the time of an energy that the search may take; see `at`.
        n_parents: how many of the best are changed.
        random_fraction: share of the first round that is random; the rest are changed copies of
            the lowest energies known.
        n_local_searches: how many of the best, and the lowest energy known beside them, are
            followed to where no neighbor is better, if the space knows neighbors.
        max_neighbors: the most neighbors that are looked at in each step; where there are more,
            as many of them are drawn.

    Raises:
        InputError: a number is out of range.
    """

    n_candidates: int = 64
    n_rounds: int = 16
    patience: int = 4
    min_improvement: float = 1e-3
    max_time_fraction: float = 0.03
    n_parents: int = 16
    random_fraction: float = 0.5
    n_local_searches: int = 2
    max_neighbors: int = 1024

    def __post_init__(self) -> None:
        for name in (
            "n_candidates",
            "n_rounds",
            "patience",
            "n_parents",
            "max_neighbors",
        ):
            check_count(name, getattr(self, name))
        check_count("n_local_searches", self.n_local_searches, 0)
        for name in ("min_improvement", "max_time_fraction"):
            check_positive(name, getattr(self, name))
        if not 0 <= self.random_fraction <= 1:
            raise InputError(
                error_message(
                    "random_fraction",
                    "be a share between 0 and 1",
                    self.random_fraction,
                )
            )

    def with_effort(self, effort: int) -> EvolutionarySearch:
        """Return the search with 2^level times the rounds and the patience.

        A campaign raises the level when energies cost so much more than the search
        that `share` of their time allows it.
        """
        more = 2**effort
        return replace(self, n_rounds=self.n_rounds * more, patience=self.patience * more)

    def description(self) -> dict[str, Any]:
        """Return what identifies the search, as JSON values."""
        return {"type": "EvolutionarySearch", **asdict(self)}

    def __call__(
        self,
        acq_function: AcquisitionCallable,
        space: DiscreteSpace,
        X_evaluated: Tensor,
        energies: Tensor,
        generator: torch.Generator,
    ) -> Candidates:
        """Return every member that was scored, with its value, canonical.

        The lowest energies known are among them; what is new is searched for.

        Args:
            acq_function: the acquisition, X `[b, d]` to `[b]`, larger is better.
            space: gives samples and moves, and says what is the same.
            X_evaluated: `[t, d]` members evaluated so far.
            energies: `[t]`, theirs; lower is better.
            generator: on the CPU; all randomness comes from it.
        """
        asked = ScoredMembers(acq_function, space, X_evaluated, SCORING_CHUNK_SIZE)
        lowest = X_evaluated[energies.argsort(stable=True)[: self.n_parents]]
        asked.score(lowest, ["known"] * len(lowest))
        self._evolve(asked, space, lowest, generator)
        if isinstance(space, SupportsNeighbors):
            starts = asked.best_new(self.n_local_searches).tolist()
            if len(lowest) and self.n_local_searches:
                starts.append(0)  # the first that was asked about
            self._local_search(asked, space, starts, generator)
        return asked.candidates()

    def _evolve(
        self,
        scored: ScoredMembers,
        space: DiscreteSpace,
        X_parents: Tensor,
        generator: torch.Generator,
    ) -> None:
        """Ask about random members, and changed copies of the best, in rounds."""
        moves = space.moves()
        count = self.n_candidates
        random = count if not len(X_parents) else round(self.random_fraction * count)
        made, names = sample_from(random_generators(space), random, generator, X_parents)
        changed, origins = mutate(moves, X_parents, count - random, generator)
        scored.score(torch.cat((made, changed)), names + origins)
        top, idle = -torch.inf, 0
        for _ in range(self.n_rounds - 1):
            best = scored.best_new(self.n_parents)
            reached = float(scored.acq_value[best[0]]) if len(best) else -torch.inf
            idle = 0 if reached > top + self.min_improvement else idle + 1
            top = max(top, reached)
            if idle == self.patience:
                break
            parents = scored.X[best] if len(best) else scored.X
            paid = scored.generator_names(best)
            scored.score(*mutate(moves, parents, count, generator, paid))

    def _local_search(
        self,
        scored: ScoredMembers,
        space: SupportsNeighbors,
        start_rows: list[int],
        generator: torch.Generator,
    ) -> None:
        """Go from each of some rows to its best neighbor until none is better."""
        left, passed = start_rows, set(start_rows)
        while left:
            places = []
            for row in left:
                near = self._subsample_neighbors(space.neighbors(scored.X[row]), generator)
                places.append(scored.score(near, ["neighbor"] * len(near)))
            worth = scored.new_values
            ahead = []
            for row, rows in zip(left, places, strict=True):
                best = int(rows[worth[rows].argmax()]) if len(rows) else row
                if worth[best] > worth[row] and best not in passed:
                    ahead.append(best)
                    passed.add(best)
            left = ahead

    def _subsample_neighbors(self, X: Tensor, generator: torch.Generator) -> Tensor:
        """Return all neighbors `[m, d]`, or some where there are too many."""
        if len(X) <= self.max_neighbors:
            return X
        drawn = torch.randperm(len(X), generator=generator)[: self.max_neighbors]
        return X[drawn.sort().values.to(X.device)]
