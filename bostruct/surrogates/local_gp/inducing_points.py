"""Which environments a sparse process should see through: pivoted Cholesky.

Each step takes the environment whose kernel the ones already taken explain worst,
which is the greedy choice that maximises the determinant of their covariance.
Coincident and symmetric environments are explained by the first of them and never
taken twice, so the factor stays well conditioned.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.surrogates.local_gp.kernel import InducingEnvironments

BLOCK_ROWS = 64  # rows taken before all others learn of it
CANDIDATE_FRACTION = 0.5  # of the most that is left of any: those that may be next


def evenly_spaced(n: int, max_count: int) -> Tensor:
    """Return at most so many of n rows, evenly over all."""
    count = min(n, max_count)
    return torch.div(torch.arange(count) * n, max(count, 1), rounding_mode="floor")


def select_inducing_points(
    P: Tensor,
    species_index: Tensor,
    zeta: int,
    *,
    max_inducing: int,
    tolerance: float,
    n_preferred: int,
    max_pool: int,
) -> InducingEnvironments:
    """Return at most `max_inducing` of the environments P as an inducing set.

    Args:
        P: `[n, f]` features of all training environments.
        species_index: `[n]` species.
        zeta: exponent of the kernel.
        max_inducing: the most to take.
        tolerance: stop when every environment is explained up to this variance, in
            units of the signal variance.
        n_preferred: so many of the first environments are exhausted before the others.
        max_pool: the most environments to look at; more are thinned out evenly.
    """
    if P.shape[0] > max_pool:
        kept = evenly_spaced(P.shape[0], max_pool).to(P.device)
        P, species_index = P[kept], species_index[kept]
        n_preferred = int((kept < n_preferred).sum())
    left = (P.square().sum(-1)) ** zeta  # [n] variance not yet explained
    max_inducing = min(max_inducing, P.shape[0])
    columns = P.new_empty(max_inducing, P.shape[0])
    taken: list[int] = []
    while len(taken) < max_inducing:
        if not float(left[:n_preferred].max()) > tolerance:
            n_preferred = len(left)
        if not float(left.max()) > tolerance:
            break
        start = len(taken)
        known = columns[:start]
        most = min(BLOCK_ROWS, max_inducing - start)
        more = _next_pivots(P, species_index, zeta, left[:n_preferred], known, tolerance, most)
        taken += more
        K = (P[more] @ P.T) ** zeta * (species_index[more].unsqueeze(-1) == species_index)
        K -= known[:, more].T @ known
        root = torch.linalg.cholesky(K[:, more])
        block = torch.linalg.solve_triangular(root, K, upper=False)
        columns[start : len(taken)] = block
        left = (left - block.square().sum(0)).clamp(min=0)
        left[more] = 0
    pivots = torch.tensor(taken, device=P.device)
    # species do not mix, so sorting by species keeps the factor lower triangular
    order = torch.sort(species_index[pivots], stable=True).indices
    pivots = pivots[order]
    factor = columns[: len(taken)][:, pivots][order].T.tril().contiguous()
    return InducingEnvironments(P[pivots], species_index[pivots], factor, zeta)


def _next_pivots(
    P: Tensor,
    species_index: Tensor,
    zeta: int,
    residual_variance: Tensor,
    factor_columns: Tensor,
    tolerance: float,
    max_pivots: int,
) -> list[int]:
    """Return the next rows to take, at least one, in their order.

    What is left of a row only shrinks, so that while the best of those watched has more
    left than any other had at the start, it is the best of all.

    Args:
        P: `[n, f]` features.
        species_index: `[n]` species.
        zeta: exponent of the kernel.
        residual_variance: `[p]` what is not explained of the first p rows.
        factor_columns: `[t, n]` columns of the factor so far.
        tolerance: what is left of each at least.
        max_pivots: rows to return.
    """
    watched = residual_variance > CANDIDATE_FRACTION * residual_variance.max()
    others = residual_variance[~watched]
    floor = max(tolerance, float(others.max()) if len(others) else 0.0)
    rows = watched.nonzero().squeeze(-1)
    P, species_index, residual_variance = (
        P[rows],
        species_index[rows],
        residual_variance[rows],
    )
    start = len(factor_columns)
    columns = torch.cat((factor_columns[:, rows], factor_columns.new_empty(max_pivots, len(rows))))
    found: list[int] = []
    for step in range(start, start + max_pivots):
        pivot = int(residual_variance.argmax())
        if not float(residual_variance[pivot]) > floor:
            break
        column = (P @ P[pivot]) ** zeta * (species_index == species_index[pivot])
        column -= columns[:step, pivot] @ columns[:step]
        column /= residual_variance[pivot].sqrt()
        columns[step] = column
        residual_variance = (residual_variance - column.square()).clamp(min=0)
        residual_variance[pivot] = 0
        found.append(int(rows[pivot]))
    return found
