"""Probability that a structure enters the Pareto front.

Hypervolume improvement looks for volume, and late in a search what is left of a front
has next to none of it: points between their neighbors, which a user wants all the same.
The probability of entering the front rewards these, and needs no reference point.

[K06] A. J. Keane, AIAA J. 44, 879 (2006), doi:10.2514/1.16875: of entering a front.
[C14] I. Couckuyt, D. Deschrijver, T. Dhaene, J. Global Optim. 60, 575 (2014),
      doi:10.1007/s10898-013-0118-2: the closed form over boxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.utils.multi_objective.box_decompositions.non_dominated import (
    FastNondominatedPartitioning,
)
from botorch.utils.transforms import t_batch_mode_transform
from torch import Tensor

from bostruct.acquisition.acquisition_context import AcquisitionContext
from bostruct.acquisition.base import BotorchAcquisition, check_context
from bostruct.acquisition.multi_objective.analytic import (
    FeasibilityWeightedEHVI,
    standard_normal_interval,
)
from bostruct.acquisition.multi_objective.normalization import (
    ROUNDING_TOLERANCE,
    NormalizedContext,
)
from bostruct.errors import check_positive
from bostruct.objectives.pareto import pareto_front

OPEN_BOUND, MIN_STD = 1e6, 1e-12
"""Of the normalized objectives: the end of an open box, and the least standard deviation."""


@final
@dataclass(frozen=True)
class ParetoProbabilityOfImprovement(BotorchAcquisition):
    """Probability of entering the front [K06], plus the weighted hypervolume improvement [Y19].

    Early on, when many structures enter for sure and a missing end of the front is
    much of the box, the hypervolume decides; late it is next to nothing. In
    closed form [C14], outcomes counting as independent of each other; with constraints it is
    the probability of entering as a feasible one, exact like the improvement in
    `ExpectedHypervolumeImprovement`. A point equal to one of the front does not enter.

    [Y19] is cited in `hypervolume_improvement`.

    Args:
        ehvi_weight: The weight of the expected hypervolume improvement, a fraction of the box
            between reference and ideal point, beside the probability.

    Raises:
        InputError: The weight is not positive.
    """

    ehvi_weight: float = 1.0
    supports_multi_objective: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive(
            "ehvi_weight", self.ehvi_weight, "It is the weight of the hypervolume, say 1."
        )

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, 1, d] -> [b]`."""
        check_context(self, context)
        return ParetoProbabilityAcquisition(NormalizedContext(context), self.ehvi_weight)


@final
class ParetoProbabilityAcquisition(AcquisitionFunction):  # type: ignore[misc]
    """The probability that a structure enters the front, plus its weighted improvement.

    Args:
        normalized: The normalized context.
        ehvi_weight: The weight of the expected hypervolume improvement.
    """

    def __init__(self, normalized: NormalizedContext, ehvi_weight: float) -> None:
        super().__init__(normalized.model)
        self.normalized, self.ehvi_weight = normalized, ehvi_weight
        self.ehvi = FeasibilityWeightedEHVI(normalized)
        front = pareto_front(normalized.Y, normalized.optimization_config)
        points = normalized.normalized_utilities(normalized.Y[front])  # [f, m]
        far = points.new_full((points.shape[-1],), -OPEN_BOUND)
        if len(far) == 1:
            best = points.amax() if len(points) else far.squeeze()
            boxes = torch.stack([best, -far.squeeze()]).reshape(2, 1, 1)
        else:
            boxes = FastNondominatedPartitioning(far, points).get_hypercell_bounds()
        low, high = objective_bounds(normalized)
        least = torch.maximum(boxes[0], low)
        most = torch.maximum(torch.minimum(boxes[1], high), least)
        self.cell_bounds = torch.stack([least, most])

    @t_batch_mode_transform(expected_q=1)  # type: ignore[untyped-decorator]
    def forward(self, X: Tensor) -> Tensor:
        """Return `X [b, 1, d] -> [b]`."""
        posterior = self.model.posterior(X)
        mean, variance = posterior.mean, posterior.variance  # [b, 1, k]
        m = self.cell_bounds.shape[-1]
        sigma = variance[..., :m].sqrt() / self.normalized.utility_ranges.to(mean)
        # A point equal to one of the front up to rounding is behind it.
        utility = self.normalized.normalized_utilities(mean) - ROUNDING_TOLERANCE  # [b, 1, m]
        low, high = self.cell_bounds.to(mean)  # [boxes, m]
        sigma = sigma.clamp_min(MIN_STD)
        inside = standard_normal_interval((low - utility) / sigma, (high - utility) / sigma)
        entering = inside.prod(-1).sum(-1)  # [b]
        names = [part.name for part in self.normalized.optimization_config.objectives]
        feasible = self.ehvi.feasibility_probability(mean, variance, exclude=names).squeeze(-1)
        improvement = self.ehvi.from_moments(mean, variance)
        value: Tensor = entering * feasible + self.ehvi_weight * improvement
        return value


def objective_bounds(normalized: NormalizedContext) -> tuple[Tensor, Tensor]:
    """Return which normalized utilities keep the bounds on the objectives, `[m]` each."""
    config, ends = normalized.optimization_config, []
    for i, objective in enumerate(config.objectives):
        low, high = -OPEN_BOUND, OPEN_BOUND
        for part in config.constraints:
            if part.name != objective.name:
                continue
            low, high = sorted(
                far * objective.sign
                if bound is None
                else float(
                    objective.sign * config.transform(part.name, bound)
                    - normalized.reference_point[i]
                )
                / float(normalized.utility_ranges[i])
                for bound, far in ((part.lower, -OPEN_BOUND), (part.upper, OPEN_BOUND))
            )
        # Exact outcomes equal their bounds up to rounding, see `forward`.
        ends.append((low - 2 * ROUNDING_TOLERANCE, high + ROUNDING_TOLERANCE))
    both = normalized.reference_point.new_tensor(ends)
    return both[:, 0], both[:, 1]
