"""Closed-form hypervolume improvement over the marginals of a posterior, one candidate at a time.

Outcomes count as independent of each other, as the closed forms need.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, final

import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.acquisition.analytic import LogExpectedImprovement
from botorch.acquisition.multi_objective.analytic import ExpectedHypervolumeImprovement
from botorch.models.model import Model
from botorch.utils.transforms import t_batch_mode_transform
from torch import Tensor

from bostruct.acquisition.multi_objective.normalization import (
    ROUNDING_TOLERANCE,
    NormalizedContext,
)
from bostruct.objectives.optimization_config import Constraint

UTILITY_SCALE = 1e4
"""Factor on normalized utilities in BoTorch's closed form, which takes no variance below 1e-9:
an exact outcome would be uncertain by 3e-5 of its range, with this factor by 3e-9."""


class Marginals(NamedTuple):
    """Means and variances `[b, 1, m]` of a posterior, without covariance."""

    mean: Tensor
    variance: Tensor


@final
class PrecomputedModel(Model):  # type: ignore[misc]
    """A model that returns `marginals` at every X, all that the closed forms ask for."""

    num_outputs: int = 1
    batch_shape: torch.Size = torch.Size()  # no batch of models
    marginals: Marginals | None = None

    def posterior(self, X: Tensor, *_: object, **__: object) -> Marginals | None:
        """Return the marginals, in place of a posterior."""
        return self.marginals


@final
class FeasibilityWeightedEHVI(AcquisitionFunction):  # type: ignore[misc]
    """BoTorch's expected hypervolume improvement, times the probability that every bound is kept.

    Args:
        normalized: The normalized context.
    """

    def __init__(self, normalized: NormalizedContext) -> None:
        super().__init__(normalized.model)
        self.normalized = normalized
        m = normalized.n_objectives
        self.precomputed_model = PrecomputedModel()
        self.precomputed_model.num_outputs = m
        self.ehvi: AcquisitionFunction
        if m == 1:
            self.ehvi = LogExpectedImprovement(
                self.precomputed_model, UTILITY_SCALE * normalized.best_f()
            )
        else:
            boxes = normalized.box_decomposition(UTILITY_SCALE)
            reference = [0.0] * m
            self.ehvi = ExpectedHypervolumeImprovement(self.precomputed_model, reference, boxes)

    @t_batch_mode_transform(expected_q=1)  # type: ignore[untyped-decorator]
    def forward(self, X: Tensor) -> Tensor:
        """Return `X [b, 1, d] -> [b]`, a fraction of the box up to the ideal point."""
        posterior = self.model.posterior(X)
        return self.from_moments(posterior.mean, posterior.variance)

    def from_moments(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return the value `[b]` of outcomes with means and variances `[b, 1, k]`."""
        spans = self.normalized.utility_ranges.to(mean) / UTILITY_SCALE  # [m]
        m = len(spans)
        utilities = UTILITY_SCALE * self.normalized.normalized_utilities(mean)
        self.precomputed_model.marginals = Marginals(utilities, variance[..., :m] / spans.square())
        value: Tensor = self.ehvi(utilities)  # in place of X, which the model ignores
        value = (value.exp() if m == 1 else value) / UTILITY_SCALE**m
        self.precomputed_model.marginals = None
        return value * self.feasibility_probability(mean, variance).squeeze(-1)

    def feasibility_probability(
        self, mean: Tensor, variance: Tensor, exclude: Collection[str] = ()
    ) -> Tensor:
        """Return `[b, 1]` the probability that every bound is kept.

        A bound behind the reference point of its own objective is left out: what
        breaks it improves nothing anyway, and counting it twice would be wrong.

        Args:
            mean: `[b, 1, k]` means of the outcomes.
            variance: `[b, 1, k]` variances of the outcomes.
            exclude: Names of modeled outcomes whose bounds are left out, too.
        """
        normalized, config = self.normalized, self.normalized.optimization_config
        slacks = config.constraint_values(mean) / normalized.constraint_ranges.to(mean)
        kept = slacks[..., normalized.deterministic_constraints()] <= ROUNDING_TOLERANCE
        total = kept.all(dim=-1).to(mean)  # [b, 1]
        for part in config.constraints:
            if part.name in normalized.context.modeled_outcomes and part.name not in exclude:
                i = config.outcome_names.index(part.name)
                spread = variance[..., i].clamp_min(torch.finfo(mean.dtype).tiny)
                bounds = self.active_bounds(part)
                total = total * interval_probability(*bounds, mean[..., i], spread)
        return total

    def active_bounds(self, constraint: Constraint) -> tuple[float | None, float | None]:
        """Return the bounds of a constraint that count, in outcome space."""
        config = self.normalized.optimization_config
        low, high = (
            None if bound is None else config.transform(constraint.name, bound)
            for bound in (constraint.lower, constraint.upper)
        )
        references = self.normalized.reference_point.tolist()
        for objective, reference in zip(config.objectives, references, strict=True):
            if objective.name != constraint.name:
                continue
            if objective.sign > 0 and low is not None and low <= reference:
                low = None
            if objective.sign < 0 and high is not None and -high <= reference:
                high = None
        return low, high


def interval_probability(
    lower: float | None, upper: float | None, mean: Tensor, variance: Tensor
) -> Tensor:
    """Return the normal probability of `[lower, upper]`, elementwise; None is open."""
    sigma = variance.sqrt()
    below = None if upper is None else (upper - mean) / sigma
    above = None if lower is None else (mean - lower) / sigma
    # No infinite ends instead: the slope of what is multiplied by zero is NaN there.
    if above is None:
        return torch.ones_like(mean) if below is None else ndtr(below)
    if below is None:
        return ndtr(above)
    return standard_normal_interval(-above, below)


def standard_normal_interval(low: Tensor, high: Tensor) -> Tensor:
    """Return the standard normal probability between two ends, elementwise.

    It is taken on the side where both tails are small: nothing cancels there.
    """
    upper = low > 0
    return ndtr(torch.where(upper, -low, high)) - ndtr(torch.where(upper, -high, low))


def ndtr(z: Tensor) -> Tensor:
    """Return the normal distribution function, elementwise."""
    probability: Tensor = torch.special.ndtr(z)
    return probability
