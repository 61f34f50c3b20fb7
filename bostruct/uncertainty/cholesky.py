"""Cholesky factors whose jitter is never silent."""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.errors import InputError, must

# In units of the mean diagonal; tried in this order after no jitter at all.
LADDER = tuple(1e-8 * 10.0**power for power in range(7))


def root(matrix: Tensor, ridge: float) -> tuple[Tensor, float]:
    """Return the lower factor of a matrix `[n, n]`, ridge included, and its jitter.

    The jitter is 0, or the least of 1e-8 of the mean diagonal times 1, 10, ... 1e6 with
    which the matrix has a factor.

    Raises:
        InputError: it has one with none of them.
    """
    scale = float(matrix.diagonal().mean())
    for jitter in (0.0, *(step * scale for step in LADDER)):
        trial = matrix.clone()
        trial.diagonal().add_(jitter)
        factor, info = torch.linalg.cholesky_ex(trial)
        if int(info) == 0:
            return factor, jitter
    wanted = f"make H positive with a jitter of {LADDER[-1]:g} of its diagonal"
    raise InputError(must("ridge", wanted, ridge, "Use a larger one."))
