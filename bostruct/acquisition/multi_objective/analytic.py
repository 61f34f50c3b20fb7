"""Closed forms over the marginals of a posterior, one candidate at a time.

Outcomes are taken as independent of each other, as the closed forms need.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import final

import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.acquisition.analytic import LogExpectedImprovement
from botorch.acquisition.multi_objective.analytic import ExpectedHypervolumeImprovement
from botorch.models.model import Model
from botorch.posteriors.posterior import Posterior
from botorch.utils.transforms import t_batch_mode_transform
from torch import Tensor

from bostruct.acquisition.multi_objective.normalization import (
    ROUNDING_TOLERANCE,
    NormalizedContext,
)
from bostruct.objectives.optimization_config import Constraint

# BoTorch's closed form takes no variance below 1e-9 of a utility: an exact outcome
# would be uncertain by 3e-5 of its range. Stretched by this it is 3e-9.
UTILITY_SCALE = 1e4


@final
class MarginalPosterior(Posterior):  # type: ignore[misc]
    """Means and variances `[b, 1, m]`, and nothing else."""

    def __init__(self, mean: Tensor, variance: Tensor) -> None:
        self.mean = mean
        self.variance = variance

    @property
    def device(self) -> torch.device:
        """Where the numbers live."""
        return self.mean.device

    @property
    def dtype(self) -> torch.dtype:
        """Their format."""
        return self.mean.dtype

    def rsample(self, sample_shape: torch.Size | None = None) -> Tensor:
        """Refuse: there is no covariance.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("Marginals have no joint distribution.")


@final
class PrecomputedModel(Model):  # type: ignore[misc]
    """A model whose posterior was computed before: `precomputed_posterior`."""

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.n_outputs = num_outputs
        self.precomputed_posterior: Posterior | None = None

    @property
    def num_outputs(self) -> int:
        """As many as there are objectives."""
        return self.n_outputs

    @property
    def batch_shape(self) -> torch.Size:
        """None."""
        return torch.Size()

    def posterior(self, X: Tensor, *_: object, **__: object) -> Posterior | None:
        """Return what was put there."""
        return self.precomputed_posterior


@final
class FeasibilityWeightedEHVI(AcquisitionFunction):  # type: ignore[misc]
    """BoTorch's expected gain, times the probability that every bound is kept.

    Args:
        normalized: The case.
    """

    def __init__(self, normalized: NormalizedContext) -> None:
        super().__init__(normalized.model)
        self.normalized = normalized
        m = len(normalized.context.reference_point)
        self.precomputed_model = PrecomputedModel(m)
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
        """Return `X [b, 1, d] -> [b]`, a share of the box up to the ideal point."""
        belief = self.model.posterior(X)
        return self.from_moments(belief.mean, belief.variance)

    def from_moments(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return the same of outcomes with means and variances `[b, 1, k]`, `[b]`."""
        spans = self.normalized.utility_ranges.to(mean) / UTILITY_SCALE  # [m]
        m = len(spans)
        utilities = UTILITY_SCALE * self.normalized.normalized_utilities(mean)
        self.precomputed_model.precomputed_posterior = MarginalPosterior(
            utilities, variance[..., :m] / spans.square()
        )
        gain: Tensor = self.ehvi(utilities)  # of X, which `given` does not look at
        gain = (gain.exp() if m == 1 else gain) / UTILITY_SCALE**m
        self.precomputed_model.precomputed_posterior = None
        return gain * self.feasibility_probability(mean, variance).squeeze(-1)

    def feasibility_probability(
        self, mean: Tensor, variance: Tensor, exclude: Collection[str] = ()
    ) -> Tensor:
        """Return `[b, 1]` how probable it is that every bound is kept.

        Those on learnt outcomes named in `exclude` are left out.

        A bound behind the reference point of its own objective is left out: what
        breaks it gains nothing anyway, and counting it twice would be wrong.
        """
        case = self.normalized.context
        slacks = case.optimization_config.constraint_values(
            mean
        ) / self.normalized.constraint_ranges.to(mean)
        kept = slacks[..., self.normalized.deterministic_constraints()] <= ROUNDING_TOLERANCE
        total = kept.all(dim=-1).to(mean)  # [b, 1]
        for part in case.optimization_config.constraints:
            if part.name in case.modeled_outcomes and part.name not in exclude:
                i = case.optimization_config.outcome_names.index(part.name)
                tiny = torch.finfo(mean.dtype).tiny
                spread = variance[..., i].clamp_min(tiny)
                total = total * interval_probability(
                    *self.active_bounds(part), mean[..., i], spread
                )
        return total

    def active_bounds(self, constraint: Constraint) -> tuple[float | None, float | None]:
        """Return the bounds of a constraint that count, in outcome space."""
        case = self.normalized.context
        low, high = (
            None if bound is None else case.optimization_config.transform(constraint.name, bound)
            for bound in (constraint.lower, constraint.upper)
        )
        for objective, behind in zip(
            case.optimization_config.objectives,
            case.reference_point.tolist(),
            strict=True,
        ):
            if objective.name != constraint.name:
                continue
            if objective.sign > 0 and low is not None and low <= behind:
                low = None
            if objective.sign < 0 and high is not None and -high <= behind:
                high = None
        return low, high


def interval_probability(
    lower: float | None, upper: float | None, mean: Tensor, variance: Tensor
) -> Tensor:
    """Return the normal probability of `[low, high]`, elementwise; None is open."""
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
    share: Tensor = torch.special.ndtr(z)
    return share
