"""Random generators with a seed, for tests."""

from __future__ import annotations

import torch


def seeded_generator(seed: int) -> torch.Generator:
    """Return a generator with a seed."""
    return torch.Generator().manual_seed(seed)
