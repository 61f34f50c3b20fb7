"""Random structures of a space that were not evaluated before."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bostruct.campaign.atom_matching import is_duplicate
from bostruct.spaces import DiscreteSpace, Space

MAX_SAMPLING_ROUNDS = 20
"""Rounds of random sampling before a space counts as exhausted."""


def sample_new(
    space: Space, count: int, generator: torch.Generator, X_excluded: Sequence[Tensor]
) -> Tensor:
    """Return up to `count` random structures that are no duplicates, `[<= count, d]`."""
    accepted: list[Tensor] = []
    for _ in range(MAX_SAMPLING_ROUNDS):
        X = space.sample(count - len(accepted), generator)
        if isinstance(space, DiscreteSpace):
            X = space.canonical(X)
        for x, valid in zip(X, space.contains(X), strict=True):
            if valid and not is_duplicate(space, x, [*X_excluded, *accepted]):
                accepted.append(x)
        if len(accepted) == count:
            break
    empty = torch.zeros(0, space.dimension, dtype=torch.float64)
    return torch.stack(accepted) if accepted else empty
