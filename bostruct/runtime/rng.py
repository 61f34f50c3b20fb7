"""Random generators: one for each seed, step and purpose.

A new draw in one place changes no other draw, so a resumed run and an uninterrupted one draw the
same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

N_PROBE_STRUCTURES = 64
"""Number of fixed structures at which a restored posterior is compared with the logged one."""


def derive_seed(seed: int, *purpose: int | str, bits: int = 63) -> int:
    """Return an integer that depends only on the seed and the purpose.

    >>> derive_seed(0, 1, "search") == derive_seed(0, 1, "search") != derive_seed(0, 2, "search")
    True
    """
    keys = ("bostruct", int(seed), *purpose)
    text = "\x1f".join(f"{type(key).__name__}:{key}" for key in keys)
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - bits)


def generator_for(seed: int, *purpose: int | str) -> torch.Generator:
    """Return the generator of one seed and purpose, on the CPU."""
    return torch.Generator().manual_seed(derive_seed(seed, *purpose))


@contextmanager
def seeded_global_rng(device: torch.device, seed: int, *purpose: int | str) -> Iterator[None]:
    """Seed torch's global generators within a context and restore them afterwards.

    A surrogate or an acquisition that draws from the global generators then neither depends on
    earlier draws nor changes later ones.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive_seed(seed, *purpose))
        yield
