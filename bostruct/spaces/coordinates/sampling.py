"""Random points of a domain, and random changes of them, that stay in a space.

Notation
    X   [..., d]   coordinates
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.errors import check_count
from bostruct.spaces.coordinates.coordinate_domain import CoordinateDomain
from bostruct.spaces.space import Move

N_SAMPLE_ATTEMPTS = 200
"""Batches of random points before a space counts as empty."""

MIN_BATCH_SIZE = 8
"""Smallest number of random points in a batch."""

MOVES = ("crossover", "displace", "redraw")
"""Names of the random changes of a domain."""

Contains = Callable[[Tensor], Tensor]
"""A function that tells which of X `[..., d]` are in a space, `[...]` bool."""


def sample_inside(
    domain: CoordinateDomain, contains: Contains, n: int, generator: torch.Generator
) -> Tensor:
    """Return random points in a space, `[<= n, d]` float64; fewer where hardly any are inside.

    Args:
        domain: bounds of the points.
        contains: tells which points are in the space.
        n: the number of points.
        generator: source of randomness.
    """
    check_count("n", n, 0)
    parts = [torch.zeros(0, len(domain), dtype=torch.float64)]
    n_found = 0
    for _ in range(N_SAMPLE_ATTEMPTS):
        if n_found >= n:
            break
        X = domain.sample(max(n, MIN_BATCH_SIZE), generator)
        parts.append(X[contains(X)])
        n_found += len(parts[-1])
    return torch.cat(parts)[:n]


def moves_inside(domain: CoordinateDomain, contains: Contains) -> dict[str, Move]:
    """Return the random changes of a domain that stay in a space, by name."""
    return {name: InsideMove(getattr(domain, name), contains) for name in MOVES}


@final
@dataclass(frozen=True, eq=False)
class InsideMove:
    """Random change after which points that have left a space are where they were.

    Attributes:
        move: change in the domain.
        contains: tells which points are in the space.
    """

    move: Move
    contains: Contains

    def __call__(self, X: Tensor, generator: torch.Generator) -> Tensor:
        """Return X `[n, d]` changed."""
        moved = self.move(X, generator)
        return torch.where(self.contains(moved).unsqueeze(-1), moved, X)
