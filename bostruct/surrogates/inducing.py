"""Which environments a sparse process should see through: pivoted Cholesky.

Each step takes the environment whose kernel the ones already taken explain worst,
which is the greedy choice that maximises the determinant of their covariance.
Coincident and symmetric environments are explained by the first of them and never
taken twice, so the factor stays well conditioned.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.surrogates.kernel import Inducing


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
        every = torch.arange(pool, device=P.device)
        kept = torch.div(every * P.shape[0], pool, rounding_mode="floor")
        P, place = P[kept], place[kept]
        preferred = int((kept < preferred).sum())
    left = (P.square().sum(-1)) ** power  # [n] variance not yet explained
    count = min(count, P.shape[0])
    columns = P.new_zeros(count, P.shape[0])
    taken: list[int] = []
    for step in range(count):
        pivot = int(left[:preferred].argmax())
        if not float(left[pivot]) > tolerance:
            preferred = len(left)
            pivot = int(left.argmax())
        if not float(left[pivot]) > tolerance:
            break
        column = (P @ P[pivot]) ** power * (place == place[pivot])
        column = column - columns[:step, pivot] @ columns[:step]
        column = column / left[pivot].sqrt()
        columns[step] = column
        left = (left - column.square()).clamp(min=0)
        left[pivot] = 0
        taken.append(pivot)
    pivots = torch.tensor(taken, device=P.device)
    # species do not mix, so sorting by species keeps the factor lower triangular
    order = torch.sort(place[pivots], stable=True).indices
    pivots = pivots[order]
    factor = columns[: len(taken)][:, pivots][order].T.tril().contiguous()
    return Inducing(P[pivots], place[pivots], factor, power)
