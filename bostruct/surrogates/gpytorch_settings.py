"""The numerical settings of all Gaussian-process algebra, in one place.

GPyTorch turns to stochastic solvers above a number of rows that depends on which other
libraries have been imported; inside this context every solve and determinant is a
Cholesky factorisation, whatever the process has set.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from linear_operator import settings


@contextmanager
def cholesky_only() -> Iterator[None]:
    """Use Cholesky for every solve, determinant and root inside the context."""
    with ExitStack() as stack:
        stack.enter_context(
            settings.fast_computations(covar_root_decomposition=False, log_prob=False, solves=False)
        )
        stack.enter_context(settings.cholesky_max_tries(6))
        yield
