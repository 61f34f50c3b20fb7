"""Threads of the tensor work of a campaign.

Structures are described, fitted and relaxed some tens at a time. So small a batch gains little from
a second thread, and on a busy node loses several times its time by waiting for it; it also rounds
differently with each number. So there is one, unless the user has said how many.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables by which a user sets the number of threads; torch reads them itself."""


def thread_count() -> int:
    """Return the number of threads of the tensor work: one, or what the environment says."""
    if any(os.environ.get(name) for name in THREAD_VARIABLES):
        return torch.get_num_threads()
    return 1


@contextmanager
def limited_threads(count: int | None = None) -> Iterator[None]:
    """Use some threads of torch inside, and as many as before afterwards.

    Args:
        count: Number of threads; None for `thread_count`.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(thread_count() if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
