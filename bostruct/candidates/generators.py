"""New structures at random, and from parents by random moves.

Random structures come from each generator of a space; moves are drawn the more often the
more of the best structures they have made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor


class SupportsSampling(Protocol):
    """A space with random structures."""

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return random structures `[n, d]`, on the CPU."""
        ...


@runtime_checkable
class SupportsGenerators(Protocol):
    """A space with several generators of random structures."""

    def generators(self) -> Mapping[str, Any]:
        """Return the generators by name: n, generator to X `[n, d]`, on the CPU."""
        ...


def random_generators(space: SupportsSampling) -> Mapping[str, Any]:
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
