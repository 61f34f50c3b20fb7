"""Pareto front, reference point and hypervolume of evaluated outcomes.

Notation
    Y                [t, k]   outcomes of evaluated structures, NaN where unknown
    utilities        [t, m]   larger is better
    reference_point  [m]      utilities of the point that bounds the hypervolume from below

A row is complete if every outcome is known. Only complete rows that keep every bound
are on a front or have a hypervolume.

[F93] C. M. Fonseca, P. J. Fleming, Proc. 5th Int. Conf. Genetic Algorithms, 416 (1993).
[I11] H. Ishibuchi, N. Akedo, Y. Nojima, GECCO 2011: a tenth of the range behind
      the worst, which BoTorch's `infer_reference_point` takes too.
"""

from __future__ import annotations

from bostruct.runtime import botorch_import as botorch_import

# isort: split

import torch
from botorch.utils.multi_objective.box_decompositions.dominated import DominatedPartitioning
from botorch.utils.multi_objective.pareto import is_non_dominated
from torch import Tensor

from bostruct.errors import InputError, check_shape, error_message
from bostruct.objectives.optimization_config import OptimizationConfig

REFERENCE_MARGIN = 0.1
"""Distance of the reference point behind the worst value, as a fraction of the range."""


DOMINANCE_CHUNK_SIZE = 512
"""Number of rows that are compared with all others at once."""


def is_complete(Y: Tensor) -> Tensor:
    """Return whether every outcome of a row of `Y [t, k]` is known, `[t]`."""
    return Y.isfinite().all(dim=-1)


def pareto_front(Y: Tensor, optimization_config: OptimizationConfig) -> Tensor:
    """Return the rows of `Y [t, k]` that no other row dominates, int64, rising.

    Incomplete and infeasible rows are left out. Of equal ones the first stays.
    """
    (rows,) = (is_complete(Y) & optimization_config.is_feasible(Y)).nonzero(as_tuple=True)
    return rows[is_non_dominated(optimization_config.utilities(Y[rows]))]


def dominance_rank(Y: Tensor, optimization_config: OptimizationConfig) -> Tensor:
    """Return how many rows dominate each row of `Y [t, k]`, `[t]`; the front has 0 [F93].

    Infeasible and incomplete rows come after all others.
    """
    utilities = optimization_config.utilities(Y)
    feasible = is_complete(Y) & optimization_config.is_feasible(Y)
    return count_dominating(utilities, utilities[feasible]).to(Y) + len(Y) * ~feasible


def count_dominating(utilities: Tensor, others: Tensor) -> Tensor:
    """Return how many of `others [s, m]` dominate each of `utilities [t, m]`, `[t]` int64."""
    counts = [
        ((others >= rows.unsqueeze(1)).all(-1) & (others > rows.unsqueeze(1)).any(-1)).sum(-1)
        for rows in utilities.split(DOMINANCE_CHUNK_SIZE)
    ]
    return torch.cat(counts)


def infer_reference_point(Y: Tensor, optimization_config: OptimizationConfig) -> Tensor:
    """Return the utilities `[m]` of the reference point.

    The user's where given. Else the worst of the complete rows of `Y [t, k]`, less a
    tenth of their range [I11]: of all rows and not of the front alone, because early
    fronts of two or three points would leave no room for what lies beside them. Where
    all are equal, a tenth of their size; where no row is complete, the known values of
    that objective count. Choose it once and keep it: hypervolumes of two reference
    points cannot be compared.

    Raises:
        InputError: No value is known of an objective without a reference.
    """
    utilities = optimization_config.utilities(Y)  # [t, m]
    complete = is_complete(Y)
    points = []
    for j, part in enumerate(optimization_config.objectives):
        if part.reference is not None:
            points.append(part.sign * optimization_config.transform(part.name, part.reference))
            continue
        column = utilities[:, j]
        column = column[complete] if complete.any() else column[column.isfinite()]
        if not len(column):
            condition = f"hold a value of {part.name!r}"
            way_out = "Evaluate a structure first, or pass Objective(reference=...)."
            raise InputError(error_message("Y", condition, "none", way_out))
        worst = float(column.min())
        range_ = float(column.max()) - worst
        points.append(worst - REFERENCE_MARGIN * (range_ or abs(worst) or 1.0))
    return utilities.new_tensor(points)


def hypervolume(
    Y: Tensor, optimization_config: OptimizationConfig, reference_point: Tensor
) -> float:
    """Return the volume between `reference_point [m]` and the front of `Y [t, k]`.

    In the product of the units of outcome space; 0.0 without a feasible row.
    """
    check_shape(
        "reference_point", reference_point, [len(optimization_config.objectives)], "Utilities."
    )
    utilities = optimization_config.utilities(Y[pareto_front(Y, optimization_config)])  # [f, m]
    utilities = utilities[(utilities > reference_point).all(dim=-1)]
    if not len(utilities):
        return 0.0
    if len(reference_point) == 1:
        return float(utilities.max() - reference_point)
    boxes = DominatedPartitioning(ref_point=reference_point, Y=utilities)
    return float(boxes.compute_hypervolume())
