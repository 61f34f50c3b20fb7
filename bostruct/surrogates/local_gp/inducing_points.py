"""Which environments a sparse process should see through: pivoted Cholesky.

Each step takes the environment whose kernel the ones already taken explain worst,
which is the greedy choice that maximises the determinant of their covariance.
Coincident and symmetric environments are explained by the first of them and never
taken twice, so the factor stays well conditioned.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.surrogates.local_gp.kernel import Inducing

BLOCK = 64  # rows taken before all others learn of it
WATCHED = 0.5  # of the most that is left of any: those that may be next


def evenly(n: int, most: int) -> Tensor:
    """Return at most so many of n rows, evenly over all."""
    count = min(n, most)
    return torch.div(torch.arange(count) * n, max(count, 1), rounding_mode="floor")


def choose(
    P: Tensor,
    place: Tensor,
    power: int,
    *,
    count: int,
    tolerance: float,
    preferred: int,
    pool: int,
) -> Inducing:
    """Return at most `count` of the environments P as an inducing set.

    Args:
        P: `[n, f]` features of all training environments.
        place: `[n]` species.
        power: exponent of the kernel.
        count: the most to take.
        tolerance: stop when every environment is explained up to this variance, in
            units of the signal variance.
        preferred: so many of the first environments are exhausted before the others.
        pool: the most environments to look at; more are thinned out evenly.
    """
    if P.shape[0] > pool:
        kept = evenly(P.shape[0], pool).to(P.device)
        P, place = P[kept], place[kept]
        preferred = int((kept < preferred).sum())
    left = (P.square().sum(-1)) ** power  # [n] variance not yet explained
    count = min(count, P.shape[0])
    columns = P.new_empty(count, P.shape[0])
    taken: list[int] = []
    while len(taken) < count:
        if not float(left[:preferred].max()) > tolerance:
            preferred = len(left)
        if not float(left.max()) > tolerance:
            break
        start = len(taken)
        known = columns[:start]
        most = min(BLOCK, count - start)
        more = _best(P, place, power, left[:preferred], known, tolerance, most)
        taken += more
        K = (P[more] @ P.T) ** power * (place[more].unsqueeze(-1) == place)
        K -= known[:, more].T @ known
        root = torch.linalg.cholesky(K[:, more])
        block = torch.linalg.solve_triangular(root, K, upper=False)
        columns[start : len(taken)] = block
        left = (left - block.square().sum(0)).clamp(min=0)
        left[more] = 0
    pivots = torch.tensor(taken, device=P.device)
    # species do not mix, so sorting by species keeps the factor lower triangular
    order = torch.sort(place[pivots], stable=True).indices
    pivots = pivots[order]
    factor = columns[: len(taken)][:, pivots][order].T.tril().contiguous()
    return Inducing(P[pivots], place[pivots], factor, power)


def _best(
    P: Tensor,
    place: Tensor,
    power: int,
    left: Tensor,
    known: Tensor,
    tolerance: float,
    most: int,
) -> list[int]:
    """Return the next rows to take, at least one, in their order.

    What is left of a row only shrinks, so that while the best of those watched has more
    left than any other had at the start, it is the best of all.

    Args:
        P: `[n, f]` features.
        place: `[n]` species.
        power: exponent of the kernel.
        left: `[p]` what is not explained of the first p rows.
        known: `[t, n]` columns of the factor so far.
        tolerance: what is left of each at least.
        most: rows to return.
    """
    watched = left > WATCHED * left.max()
    others = left[~watched]
    floor = max(tolerance, float(others.max()) if len(others) else 0.0)
    rows = watched.nonzero().squeeze(-1)
    P, place, left = P[rows], place[rows], left[rows]
    start = len(known)
    columns = torch.cat((known[:, rows], known.new_empty(most, len(rows))))
    found: list[int] = []
    for step in range(start, start + most):
        pivot = int(left.argmax())
        if not float(left[pivot]) > floor:
            break
        column = (P @ P[pivot]) ** power * (place == place[pivot])
        column -= columns[:step, pivot] @ columns[:step]
        column /= left[pivot].sqrt()
        columns[step] = column
        left = (left - column.square()).clamp(min=0)
        left[pivot] = 0
        found.append(int(rows[pivot]))
    return found
