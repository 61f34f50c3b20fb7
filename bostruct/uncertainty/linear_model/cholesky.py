"""Cholesky factors of positive matrices, with recorded jitter."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from bostruct.errors import InputError, error_message

# In units of the mean diagonal; tried in this order after no jitter at all.
JITTER_STEPS = tuple(1e-8 * 10.0**power for power in range(7))


@final
@dataclass(frozen=True, eq=False)
class CholeskyFactor:
    """Lower Cholesky factor L of a positive matrix L Lᵀ; no inverse is ever formed.

    Attributes:
        lower: L, `[n, n]`.
        jitter: number added to the diagonal for L to exist; 0 as a rule.
    """

    lower: Tensor
    jitter: float = 0.0

    @property
    def logdet(self) -> Tensor:
        """Log det L Lᵀ = 2 Σ log L_ii, `[]`."""
        logdet: Tensor = 2 * self.lower.diagonal().log().sum()
        return logdet

    @property
    def inverse_trace(self) -> Tensor:
        """Trace of (L Lᵀ)⁻¹, `[]`."""
        return self.solve_lower(torch.eye(len(self.lower)).to(self.lower)).square().sum()

    def solve_lower(self, rows: Tensor) -> Tensor:
        """Return L⁻¹ of rows `[r, n]` taken as columns, `[n, r]`."""
        solution: Tensor = torch.linalg.solve_triangular(self.lower, rows.mT, upper=False)
        return solution

    def inv_quad(self, rows: Tensor) -> Tensor:
        """Return |L⁻¹ f|² of rows `[r, n]`, `[r]`: n² products each, n where L is diagonal."""
        if self._is_diagonal:
            return rows.square() @ self.lower.diagonal().square().reciprocal()
        return self.solve_lower(rows).square().sum(0)

    def solve(self, columns: Tensor) -> Tensor:
        """Return (L Lᵀ)⁻¹ of columns `[n, t]`, `[n, t]`."""
        return torch.cholesky_solve(columns, self.lower)

    @cached_property
    def _is_diagonal(self) -> bool:
        return torch.equal(self.lower, self.lower.diagonal().diag())


def psd_safe_cholesky(matrix: Tensor, ridge: float) -> CholeskyFactor:
    """Return the lower Cholesky factor of a matrix `[n, n]`, ridge included, and its jitter.

    The jitter is 0, or the smallest of 1e-8 of the mean diagonal times 1, 10, ... 1e6 with which
    the factorisation succeeds.

    Raises:
        InputError: it succeeds with none of them.
    """
    scale = float(matrix.diagonal().mean())
    for jitter in (0.0, *(step * scale for step in JITTER_STEPS)):
        trial = matrix.clone()
        trial.diagonal().add_(jitter)
        factor, info = torch.linalg.cholesky_ex(trial)
        if int(info) == 0:
            return CholeskyFactor(factor, jitter)
    condition = f"make H positive with a jitter of {JITTER_STEPS[-1]:g} of its diagonal"
    raise InputError(error_message("ridge", condition, ridge, "Use a larger one."))
