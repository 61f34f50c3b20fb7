"""Random structures of a space that were not evaluated before."""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces import DiscreteSpace, Space

MAX_SAMPLING_ROUNDS = 20
"""Rounds of random sampling before a space counts as exhausted."""


def sample_new(space: Space, count: int, generator: torch.Generator, X_excluded: Tensor) -> Tensor:
    """Return up to `count` random structures that are no duplicates, `[<= count, d]`.

    Args:
        space: Space.
        count: Number of structures.
        generator: Random generator.
        X_excluded: `[t, d]` structures of which they are no duplicates.
    """
    accepted = torch.zeros(0, space.dimension, dtype=torch.float64)
    for _ in range(MAX_SAMPLING_ROUNDS):
        X = space.sample(count - len(accepted), generator)
        if isinstance(space, DiscreteSpace):
            X = space.canonical(X)
        for x, valid in zip(X, space.contains(X), strict=True):
            if valid and not any(
                len(others) and space.is_duplicate(x, others).any()
                for others in (X_excluded, accepted)
            ):
                accepted = torch.cat([accepted, x.unsqueeze(0)])
        if len(accepted) == count:
            break
    return accepted
