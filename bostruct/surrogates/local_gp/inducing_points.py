"""Selection of the inducing environments of a sparse Gaussian process, by pivoted Cholesky.

Each step takes the environment with the largest residual variance given those taken before, the
greedy choice that maximizes the determinant of their covariance. Of coincident and symmetric
environments the first explains all, so the factor stays well conditioned.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from bostruct.descriptors import SOAP
from bostruct.structures import Structures
from bostruct.surrogates.local_gp.dot_product_kernel import DotProductKernel
from bostruct.surrogates.local_gp.kernel import InducingEnvironments
from bostruct.surrogates.training_data import Observations

MAX_CANDIDATES = 8192  # training environments that may become inducing ones
DISPLACEMENT_FRACTION = 0.035  # of the cutoff: a fifteenth of a bond
BLOCK_ROWS = 64  # pivots taken before the residual variances of all rows are updated
CANDIDATE_FRACTION = 0.5  # of the largest residual variance: rows that may be pivots of a block


def inducing_environments(
    soap: SOAP, kernel: DotProductKernel, data: Observations, max_inducing: int, tolerance: float
) -> InducingEnvironments:
    """Return the inducing environments: those of the data, then those of displaced atoms.

    Forces are changes of energies with positions, which a few environments of the data cannot
    express; where there is room left, those of a displaced copy of every structure are added.

    Args:
        soap: The descriptor.
        kernel: Kernel of its dot products.
        data: The training data.
        max_inducing: Largest number of environments.
        tolerance: Least residual variance of one of them, in units of the signal variance.
    """
    species_index = soap.species_index(data.structures.numbers)
    kept = evenly_spaced(len(species_index), MAX_CANDIDATES).to(species_index.device)
    candidates, start = [], 0
    for chunk in data.chunks():
        P = soap(chunk.structures)
        candidates.append(P[kept[(kept >= start) & (kept < start + len(P))] - start])
        start += len(P)
    P, species_index = torch.cat(candidates), species_index[kept]
    n_preferred = len(P)
    if n_preferred < max_inducing:
        displaced = displace(data.structures, DISPLACEMENT_FRACTION * soap.cutoff)
        P = torch.cat((P, soap(displaced)[kept]))
        species_index = species_index.repeat(2)
    return select_inducing_points(
        P,
        species_index,
        kernel,
        max_inducing=max_inducing,
        tolerance=tolerance,
        n_preferred=n_preferred,
        max_pool=MAX_CANDIDATES,
    )


def displace(structures: Structures, displacement: float) -> Structures:
    """Return the structures with normal random displacements of standard deviation in Å."""
    generator = torch.Generator().manual_seed(0)
    shape = structures.positions.shape
    noise = torch.randn(shape, dtype=torch.float64, generator=generator) * displacement
    return replace(structures, positions=structures.positions + noise.to(structures.positions))


def evenly_spaced(n: int, max_count: int) -> Tensor:
    """Return at most `max_count` of n rows, evenly spaced."""
    count = min(n, max_count)
    return torch.div(torch.arange(count) * n, max(count, 1), rounding_mode="floor")


def select_inducing_points(
    P: Tensor,
    species_index: Tensor,
    kernel: DotProductKernel,
    *,
    max_inducing: int,
    tolerance: float,
    n_preferred: int,
    max_pool: int,
) -> InducingEnvironments:
    """Return at most `max_inducing` of the environments P as an inducing set.

    Args:
        P: `[n, f]`, features of the candidates.
        species_index: `[n]`, species of the candidates.
        kernel: Kernel of the dot product.
        max_inducing: Largest number of inducing environments.
        tolerance: Largest residual variance of a candidate at which the selection stops, in units
            of the signal variance.
        n_preferred: The first `n_preferred` candidates are exhausted before the others.
        max_pool: Largest number of candidates; more are thinned out evenly.
    """
    if P.shape[0] > max_pool:
        kept = evenly_spaced(P.shape[0], max_pool).to(P.device)
        P, species_index = P[kept], species_index[kept]
        n_preferred = int((kept < n_preferred).sum())
    features, P = P, P.double()  # in single precision residual variances are rounding errors
    residual = kernel.value(P.square().sum(-1))  # [n] residual variance
    max_inducing = min(max_inducing, P.shape[0])
    columns = P.new_empty(max_inducing, P.shape[0])
    taken: list[int] = []
    while len(taken) < max_inducing:
        if not float(residual[:n_preferred].max()) > tolerance:
            n_preferred = len(residual)
        if not float(residual.max()) > tolerance:
            break
        start = len(taken)
        before = columns[:start]
        count = min(BLOCK_ROWS, max_inducing - start)
        preferred = residual[:n_preferred]
        rows = _next_pivots(P, species_index, kernel, preferred, before, tolerance, count)
        taken += rows
        K = kernel.value(P[rows] @ P.T) * (species_index[rows].unsqueeze(-1) == species_index)
        K -= before[:, rows].T @ before
        root = torch.linalg.cholesky(K[:, rows])
        block = torch.linalg.solve_triangular(root, K, upper=False)
        columns[start : len(taken)] = block
        residual = (residual - block.square().sum(0)).clamp(min=0)
        residual[rows] = 0
    pivots = torch.tensor(taken, device=P.device)
    # species do not mix, so sorting by species keeps the factor lower triangular
    order = torch.sort(species_index[pivots], stable=True).indices
    pivots = pivots[order]
    factor = columns[: len(taken)][:, pivots][order].T.tril().contiguous().to(features)
    return InducingEnvironments(features[pivots], species_index[pivots], factor, kernel)


def _next_pivots(
    P: Tensor,
    species_index: Tensor,
    kernel: DotProductKernel,
    residual_variance: Tensor,
    factor_columns: Tensor,
    tolerance: float,
    max_pivots: int,
) -> list[int]:
    """Return the next pivots, at least one, in their order.

    Residual variances only shrink, so that while the largest of the candidates is above all others
    at the start, it is the largest of all.

    Args:
        P: `[n, f]`, features.
        species_index: `[n]`, species.
        kernel: Kernel of the dot product.
        residual_variance: `[p]`, residual variances of the first p rows.
        factor_columns: `[t, n]`, columns of the factor so far.
        tolerance: Least residual variance of a pivot.
        max_pivots: Largest number of pivots.
    """
    is_candidate = residual_variance > CANDIDATE_FRACTION * residual_variance.max()
    others = residual_variance[~is_candidate]
    floor = max(tolerance, float(others.max()) if len(others) else 0.0)
    rows = is_candidate.nonzero().squeeze(-1)
    P, species_index, residual_variance = P[rows], species_index[rows], residual_variance[rows]
    start = len(factor_columns)
    columns = torch.cat((factor_columns[:, rows], factor_columns.new_empty(max_pivots, len(rows))))
    pivots: list[int] = []
    for step in range(start, start + max_pivots):
        pivot = int(residual_variance.argmax())
        if not float(residual_variance[pivot]) > floor:
            break
        column = kernel.value(P @ P[pivot]) * (species_index == species_index[pivot])
        column -= columns[:step, pivot] @ columns[:step]
        column /= residual_variance[pivot].sqrt()
        columns[step] = column
        residual_variance = (residual_variance - column.square()).clamp(min=0)
        residual_variance[pivot] = 0
        pivots.append(int(rows[pivot]))
    return pivots
