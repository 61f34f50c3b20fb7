"""New structures at random, and from parents by random moves.

Random structures come from each generator of a space; moves are drawn the more often the
more of the best structures they have made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor

from bostruct.errors import InputError, check_count, check_positive, error_message
from bostruct.spaces import Space, SupportsGenerators

MIN_IMPROVEMENT = 4e-4
"""Least increase of the acquisition that is an improvement, in units of the scale of its values."""


class PopulationSearch:
    """Base of the searches that mutate the best structures so far, round after round.

    Raises:
        InputError: A number is out of range.
    """

    n_candidates: int
    n_rounds: int
    patience: int
    min_improvement: float | None
    max_time_fraction: float
    n_parents: int
    random_fraction: float

    def __post_init__(self) -> None:
        for name in ("n_candidates", "n_rounds", "patience", "n_parents"):
            check_count(name, getattr(self, name))
        for name in ("min_improvement", "max_time_fraction"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        if not 0 <= self.random_fraction <= 1:
            condition = "be a fraction between 0 and 1"
            raise InputError(error_message("random_fraction", condition, self.random_fraction))

    def with_effort(self, effort: int) -> Self:
        """Return the search with 2^effort times the rounds and the patience.

        A campaign raises the effort when energies cost so much more than the search
        that `max_time_fraction` of their time allows it.
        """
        factor = 2**effort
        changes = {"n_rounds": self.n_rounds * factor, "patience": self.patience * factor}
        return replace(self, **changes)  # type: ignore[type-var]


def random_generators(space: Space) -> Mapping[str, Any]:
    """Return the generators of random structures of a space, by name."""
    if isinstance(space, SupportsGenerators):
        return space.generators()
    return {"random": space.sample}


def sample_from(
    samplers: Mapping[str, Any], count: int, generator: torch.Generator, like: Tensor
) -> tuple[Tensor, list[str]]:
    """Return random structures, equally many of each sampler, and the names of the samplers."""
    counts = {name: len(range(k, count, len(samplers))) for k, name in enumerate(samplers)}
    X = torch.cat([samplers[name](n, generator).to(like) for name, n in counts.items()])
    return X, [name for name, n in counts.items() for _ in range(n)]


def mutate(
    moves: Mapping[str, Any],
    parents: Tensor,
    count: int,
    generator: torch.Generator,
    successful_moves: Sequence[str] = (),
) -> tuple[Tensor, list[str]]:
    """Return `count` mutated copies of parents `[p, d]`, and the names of the moves.

    Parents take turns. A move is drawn with a weight of one plus its occurrences in
    `successful_moves`, the names of the moves that made the best structures so far.
    """
    if not count:
        return parents[:0], []
    names = list(moves)
    weights = torch.tensor([1.0 + list(successful_moves).count(name) for name in names])
    drawn = torch.multinomial(weights, count, replacement=True, generator=generator)
    X = parents[(torch.arange(count) % len(parents)).to(parents.device)]
    mutated = X.clone()
    for k, name in enumerate(names):
        rows = (drawn == k).nonzero().squeeze(-1).to(X.device)
        if len(rows):
            mutated[rows] = moves[name](X[rows].cpu(), generator).to(X)
    return mutated, [names[k] for k in drawn.tolist()]
