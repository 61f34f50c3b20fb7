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

from bostruct.acquisition.multi_objective.normalization import ROUNDING, Scaled
from bostruct.objectives.optimization_config import Constraint

# BoTorch's closed form takes no variance below 1e-9 of a utility: an exact outcome
# would be uncertain by 3e-5 of its range. Stretched by this it is 3e-9.
STRETCH = 1e4


@final
class Marginals(Posterior):  # type: ignore[misc]
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
class Given(Model):  # type: ignore[misc]
    """A model whose posterior was computed before: `belief`."""

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.outputs = num_outputs
        self.belief: Posterior | None = None

    @property
    def num_outputs(self) -> int:
        """As many as there are objectives."""
        return self.outputs

    @property
    def batch_shape(self) -> torch.Size:
        """None."""
        return torch.Size()

    def posterior(self, X: Tensor, *_: object, **__: object) -> Posterior | None:
        """Return what was put there."""
        return self.belief


@final
class FeasibleGain(AcquisitionFunction):  # type: ignore[misc]
    """BoTorch's expected gain, times the probability that every bound is kept.

    Args:
        scaled: The case.
    """

    def __init__(self, scaled: Scaled) -> None:
        super().__init__(scaled.model)
        self.scaled = scaled
        m = len(scaled.case.reference)
        self.given = Given(m)
        self.gain: AcquisitionFunction
        if m == 1:
            self.gain = LogExpectedImprovement(self.given, STRETCH * scaled.best())
        else:
            boxes = scaled.boxes(STRETCH)
            reference = [0.0] * m
            self.gain = ExpectedHypervolumeImprovement(self.given, reference, boxes)

    @t_batch_mode_transform(expected_q=1)  # type: ignore[untyped-decorator]
    def forward(self, X: Tensor) -> Tensor:
        """Return `X [b, 1, d] -> [b]`, a share of the box up to the ideal point."""
        belief = self.model.posterior(X)
        return self.of(belief.mean, belief.variance)

    def of(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return the same of outcomes with means and variances `[b, 1, k]`, `[b]`."""
        spans = self.scaled.spans.to(mean) / STRETCH  # [m]
        m = len(spans)
        utilities = STRETCH * self.scaled.utilities(mean)
        self.given.belief = Marginals(utilities, variance[..., :m] / spans.square())
        gain: Tensor = self.gain(utilities)  # of X, which `given` does not look at
        gain = (gain.exp() if m == 1 else gain) / STRETCH**m
        self.given.belief = None
        return gain * self.probability(mean, variance).squeeze(-1)

    def probability(
        self, mean: Tensor, variance: Tensor, but: Collection[str] = ()
    ) -> Tensor:
        """Return `[b, 1]` how probable it is that every bound is kept.

        Those on learnt outcomes named in `but` are left out.

        A bound behind the reference point of its own objective is left out: what
        breaks it gains nothing anyway, and counting it twice would be wrong.
        """
        case = self.scaled.case
        slacks = case.goals.slacks(mean) / self.scaled.slack_spans.to(mean)
        kept = slacks[..., self.scaled.exact()] <= ROUNDING
        total = kept.all(dim=-1).to(mean)  # [b, 1]
        for part in case.goals.constraints:
            if part.name in case.learnt and part.name not in but:
                i = case.goals.names.index(part.name)
                tiny = torch.finfo(mean.dtype).tiny
                spread = variance[..., i].clamp_min(tiny)
                total = total * between(*self.ends(part), mean[..., i], spread)
        return total

    def ends(self, part: Constraint) -> tuple[float | None, float | None]:
        """Return the bounds of a constraint that count, in outcome space."""
        case = self.scaled.case
        low, high = (
            None if bound is None else case.goals.outcome(part.name, bound)
            for bound in (part.above, part.below)
        )
        for objective, behind in zip(
            case.goals.objectives, case.reference.tolist(), strict=True
        ):
            if objective.name != part.name:
                continue
            if objective.sign > 0 and low is not None and low <= behind:
                low = None
            if objective.sign < 0 and high is not None and -high <= behind:
                high = None
        return low, high


def between(
    low: float | None, high: float | None, mean: Tensor, variance: Tensor
) -> Tensor:
    """Return the normal probability of `[low, high]`, elementwise; None is open."""
    sigma = variance.sqrt()
    below = None if high is None else (high - mean) / sigma
    above = None if low is None else (mean - low) / sigma
    # No infinite ends instead: the slope of what is multiplied by zero is NaN there.
    if above is None:
        return torch.ones_like(mean) if below is None else ndtr(below)
    if below is None:
        return ndtr(above)
    return interval(-above, below)


def interval(low: Tensor, high: Tensor) -> Tensor:
    """Return the standard normal probability between two ends, elementwise.

    It is taken on the side where both tails are small: nothing cancels there.
    """
    upper = low > 0
    return ndtr(torch.where(upper, -low, high)) - ndtr(torch.where(upper, -high, low))


def ndtr(z: Tensor) -> Tensor:
    """Return the normal distribution function, elementwise."""
    share: Tensor = torch.special.ndtr(z)
    return share
