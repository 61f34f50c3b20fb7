"""Randomness: one generator for each (seed, step, purpose).

Adding a draw in one place changes no other draw, so a resumed run and an uninterrupted
one draw the same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

N_PROBE_STRUCTURES = 64
"""Fixed structures at which every posterior is compared with what it was."""


def derive_seed(seed: int, *purpose: int | str, bits: int = 63) -> int:
    """Return an integer that depends on the seed and the purpose alone.

    >>> derive_seed(0, 1, "search") == derive_seed(0, 1, "search") != derive_seed(0, 2, "search")
    True
    """
    text = "\x1f".join(
        f"{type(part).__name__}:{part}" for part in ("bostruct", int(seed), *purpose)
    )
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - bits)


def generator_for(seed: int, *purpose: int | str) -> torch.Generator:
    """Return the generator for one purpose of one campaign, on the CPU."""
    return torch.Generator().manual_seed(derive_seed(seed, *purpose))


@contextmanager
def seeded_global_rng(device: torch.device, seed: int, *purpose: int | str) -> Iterator[None]:
    """Seed torch's global generators for a while and put them back after.

    A surrogate or an acquisition that draws from the global generators then neither
    depends on what ran before nor changes what runs after.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive_seed(seed, *purpose))
        yield
