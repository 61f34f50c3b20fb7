"""Evolutionary search among members of a discrete space that are too many to list.

Random members and mutated copies of the best known are scored, the best of all so far
are mutated again, round after round; a local search then goes from neighbor to
neighbor until none is better. It needs no gradient and scores no member twice.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, final

import torch
from torch import Tensor

from bostruct.candidates.batched_lbfgs import AcquisitionCallable
from bostruct.candidates.evaluation_cache import ScoredMembers
from bostruct.candidates.generators import (
    MIN_IMPROVEMENT,
    PopulationSearch,
    mutate,
    random_generators,
    sample_from,
)
from bostruct.candidates.selection import Candidates
from bostruct.errors import check_count
from bostruct.spaces import DiscreteSpace, SupportsNeighbors

SCORING_CHUNK_SIZE = 256
"""Members whose acquisition is computed together."""


@final
@dataclass(frozen=True)
class EvolutionarySearch(PopulationSearch):
    """Evolution and local search on the acquisition function, among members of a discrete space.

    Attributes:
        n_candidates: the number of members made in a round.
        n_rounds: the most rounds; each but the first mutates the best of all before it.
        patience: the number of rounds in a row without an improvement after which it ends.
        min_improvement: the least increase of the acquisition that is an improvement, in its unit;
            None for a fraction of the scale of its values, which a campaign knows; elsewhere any
            increase is one.
        max_time_fraction: the time of the search as a fraction of that of an energy, up to which a
            campaign raises `effort`; see `with_effort`.
        n_parents: the number of best members that are mutated.
        random_fraction: the fraction of the first round that is random; the rest are mutated
            copies of the lowest energies.
        n_local_searches: the number of best members from which, and from the lowest energy
            beside them, a local search starts, if the space has neighbors.
        max_neighbors: the most neighbors that are scored in each step of a local search; where
            there are more, as many of them are drawn.

    Raises:
        InputError: A number is out of range.
    """

    n_candidates: int = 64
    n_rounds: int = 16
    patience: int = 4
    min_improvement: float | None = None
    max_time_fraction: float = 0.03
    n_parents: int = 16
    random_fraction: float = 0.5
    n_local_searches: int = 2
    max_neighbors: int = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("max_neighbors", self.max_neighbors)
        check_count("n_local_searches", self.n_local_searches, 0)

    def with_scale(self, value_scale: float, length: float) -> EvolutionarySearch:
        """Return the search with the least improvement that suits a problem, unless it has one.

        Args:
            value_scale: the scale of differences of the acquisition.
            length: the length of a bond, Å, which does not matter here.
        """
        if self.min_improvement is not None:
            return self
        return replace(self, min_improvement=MIN_IMPROVEMENT * value_scale)

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

        The lowest energies are among them; parents and ends of searches are new members.

        Args:
            acq_function: the acquisition function, X `[b, d]` to `[b]`, larger is better.
            space: the space with its generators, moves and canonical members.
            X_evaluated: `[t, d]` members evaluated so far.
            energies: `[t]` their energies or ranks; lower is better.
            generator: the source of all randomness, on the CPU.
        """
        scored = ScoredMembers(acq_function, space, X_evaluated, SCORING_CHUNK_SIZE)
        lowest = X_evaluated[energies.argsort(stable=True)[: self.n_parents]]
        scored.score(lowest, ["known"] * len(lowest))
        self._evolve(scored, space, lowest, generator)
        if isinstance(space, SupportsNeighbors):
            starts = scored.best_new(self.n_local_searches).tolist()
            if len(lowest) and self.n_local_searches:
                starts.append(0)  # the first one scored, of the lowest energy
            self._local_search(scored, space, starts, generator)
        return scored.candidates()

    def _evolve(
        self,
        scored: ScoredMembers,
        space: DiscreteSpace,
        X_parents: Tensor,
        generator: torch.Generator,
    ) -> None:
        """Score random members, and mutated copies of the best, in rounds."""
        moves, min_improvement = space.moves(), self.min_improvement or 0.0
        count = self.n_candidates
        n_random = count if not len(X_parents) else round(self.random_fraction * count)
        random, names = sample_from(random_generators(space), n_random, generator, X_parents)
        mutated, move_names = mutate(moves, X_parents, count - n_random, generator)
        scored.score(torch.cat((random, mutated)), names + move_names)
        top, n_idle = -torch.inf, 0
        for _ in range(self.n_rounds - 1):
            best = scored.best_new(self.n_parents)
            reached = float(scored.acq_value[best[0]]) if len(best) else -torch.inf
            n_idle = 0 if reached > top + min_improvement else n_idle + 1
            top = max(top, reached)
            if n_idle == self.patience:
                break
            parents = scored.X[best] if len(best) else scored.X
            successful = scored.generator_names(best)
            scored.score(*mutate(moves, parents, count, generator, successful))

    def _local_search(
        self,
        scored: ScoredMembers,
        space: SupportsNeighbors,
        start_rows: list[int],
        generator: torch.Generator,
    ) -> None:
        """Go from each of some rows to its best neighbor until none is better."""
        current, visited = start_rows, set(start_rows)
        while current:
            neighbor_rows = []
            for row in current:
                X = self._subsample_neighbors(space.neighbors(scored.X[row]), generator)
                neighbor_rows.append(scored.score(X, ["neighbor"] * len(X)))
            values, improved = scored.new_values, []
            for row, rows in zip(current, neighbor_rows, strict=True):
                best = int(rows[values[rows].argmax()]) if len(rows) else row
                if values[best] > values[row] and best not in visited:
                    improved.append(best)
                    visited.add(best)
            current = improved

    def _subsample_neighbors(self, X: Tensor, generator: torch.Generator) -> Tensor:
        """Return all neighbors `[m, d]`, or `max_neighbors` of them, drawn at random."""
        if len(X) <= self.max_neighbors:
            return X
        drawn = torch.randperm(len(X), generator=generator)[: self.max_neighbors]
        return X[drawn.sort().values.to(X.device)]
