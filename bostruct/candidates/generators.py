"""New structures from nothing, and from those that are good.

What every search begins with and goes on by: random structures of each kind a space
knows, and moves of parents, drawn the more often the more they have paid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bostruct.spaces import Space, SupportsGenerators


def random_generators(space: Space) -> Mapping[str, Any]:
    """Return the space's ways to make random structures, by name."""
    if isinstance(space, SupportsGenerators):
        return space.generators()
    return {"random": space.sample}


def sample_from(
    samplers: Mapping[str, Any], count: int, generator: torch.Generator, like: Tensor
) -> tuple[Tensor, list[str]]:
    """Return random structures, as many of each kind, and the names of the kinds."""
    each = {name: len(range(k, count, len(samplers))) for k, name in enumerate(samplers)}
    made = [samplers[name](n, generator).to(like) for name, n in each.items()]
    return torch.cat(made), [name for name, n in each.items() for _ in range(n)]


def mutate(
    moves: Mapping[str, Any],
    parents: Tensor,
    count: int,
    generator: torch.Generator,
    successful_moves: Sequence[str] = (),
) -> tuple[Tensor, list[str]]:
    """Return `count` changed copies of parents `[p, d]`, and the names of the moves.

    Parents take turns. A move is drawn the more often the more of the best so far it
    has made, `successful_moves` being their origins; none is ever given up.
    """
    if not count:
        return parents[:0], []
    names = list(moves)
    weights = torch.tensor([1.0 + list(successful_moves).count(name) for name in names])
    which = torch.multinomial(weights, count, replacement=True, generator=generator)
    whom = torch.arange(count) % len(parents)
    X = parents[whom.to(parents.device)]
    changed = X.clone()
    for k, name in enumerate(names):
        rows = (which == k).nonzero().squeeze(-1)
        if len(rows):
            there = rows.to(X.device)
            changed[there] = moves[name](X[there].cpu(), generator).to(X)
    return changed, [names[k] for k in which.tolist()]
