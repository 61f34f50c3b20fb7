"""Numerical settings of GPyTorch under which every solve is a Cholesky factorization.

GPyTorch turns to stochastic solvers above a number of rows that depends on the libraries imported
before; in this context it never does.
"""

from __future__ import annotations

from bostruct.runtime import botorch_import as botorch_import

# isort: split

from collections.abc import Iterator
from contextlib import contextmanager

from linear_operator import settings


@contextmanager
def cholesky_only() -> Iterator[None]:
    """Use Cholesky for every solve, determinant and root inside the context."""
    exact = {"covar_root_decomposition": False, "log_prob": False, "solves": False}
    with settings.fast_computations(**exact), settings.cholesky_max_tries(6):
        yield
