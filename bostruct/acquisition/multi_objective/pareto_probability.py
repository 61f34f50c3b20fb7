"""The probability that a structure enters the front.

Hypervolume improvement looks for volume, and late in a search what is left of a front
has next to none of it: points between their neighbors, which a user wants all the same.
The probability of entering asks for these, and needs no reference point.

[K06] A. J. Keane, AIAA J. 44, 879 (2006), doi:10.2514/1.16875: of entering a front.
[C14] I. Couckuyt, D. Deschrijver, T. Dhaene, J. Global Optim. 60, 575 (2014),
      doi:10.1007/s10898-013-0118-2: the closed form over boxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.utils.multi_objective.box_decompositions.non_dominated import (
    FastNondominatedPartitioning,
)
from botorch.utils.transforms import t_batch_mode_transform
from torch import Tensor

from bostruct.acquisition.base import describe, refuse_pending
from bostruct.acquisition.multi_objective.acquisition_context import Case
from bostruct.acquisition.multi_objective.analytic import FeasibleGain, interval
from bostruct.acquisition.multi_objective.normalization import ROUNDING, Scaled
from bostruct.errors import check_positive
from bostruct.objectives.pareto import front

# Of the scaled objectives: where an open box ends, and the least standard deviation.
FAR, LEAST = 1e6, 1e-12


@final
@dataclass(frozen=True)
class EntryProbability:
    """Probability of entering the front [K06], and the expected gain [Y19].

    Early on, when many structures enter for sure and a missing end of the front is
    worth much of the box, the gain decides; late it is next to nothing. In
    closed form, outcomes counting as independent of each other; with constraints it is
    the probability of entering as a feasible one, exact like the gain in
    `ExpectedHypervolumeImprovement`. What equals a point of the front does not enter.

    Args:
        gain: The weight of the expected gain, as a share of the box between reference
            and ideal point, beside the probability.

    Raises:
        InputError: the weight is not positive.
    """

    gain: float = 1.0
    joint: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_positive("gain", self.gain, "It is the weight of the gain, say 1.")

    def build(self, case: Case) -> AcquisitionFunction:
        """Return `X [b, 1, d] -> [b]`."""
        refuse_pending(self, case.pending)
        return Entry(Scaled(case), self.gain)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)


@final
class Entry(AcquisitionFunction):  # type: ignore[misc]
    """The probability that a structure enters the front, plus its weighted gain.

    Args:
        scaled: The case.
        weight: Of the gain.
    """

    def __init__(self, scaled: Scaled, weight: float) -> None:
        super().__init__(scaled.model)
        self.scaled, self.weight = scaled, weight
        self.gain = FeasibleGain(scaled)
        case = scaled.case
        points = scaled.utilities(case.Y[front(case.Y, case.goals)])  # [f, m]
        far = points.new_full((points.shape[-1],), -FAR)
        if len(far) == 1:
            best = points.amax() if len(points) else far.squeeze()
            boxes = torch.stack([best, -far.squeeze()]).reshape(2, 1, 1)
        else:
            boxes = FastNondominatedPartitioning(far, points).get_hypercell_bounds()
        low, high = bounds(scaled)
        least = torch.maximum(boxes[0], low)
        most = torch.maximum(torch.minimum(boxes[1], high), least)
        self.boxes = torch.stack([least, most])

    @t_batch_mode_transform(expected_q=1)  # type: ignore[untyped-decorator]
    def forward(self, X: Tensor) -> Tensor:
        """Return `X [b, 1, d] -> [b]`."""
        belief = self.model.posterior(X)
        mean, variance = belief.mean, belief.variance  # [b, 1, k]
        m = self.boxes.shape[-1]
        sigma = variance[..., :m].sqrt() / self.scaled.spans.to(mean)
        # What equals a point of the front up to rounding is behind it.
        utility = self.scaled.utilities(mean) - ROUNDING  # [b, 1, m]
        low, high = self.boxes.to(mean)  # [boxes, m]
        sigma = sigma.clamp_min(LEAST)
        inside = interval((low - utility) / sigma, (high - utility) / sigma)
        entering = inside.prod(-1).sum(-1)  # [b]
        names = [part.name for part in self.scaled.case.goals.objectives]
        sound = self.gain.probability(mean, variance, but=names).squeeze(-1)
        value: Tensor = entering * sound + self.weight * self.gain.of(mean, variance)
        return value


def bounds(scaled: Scaled) -> tuple[Tensor, Tensor]:
    """Return which scaled utilities keep the bounds on the objectives, `[m]` each."""
    case = scaled.case
    ends = []
    for i, objective in enumerate(case.goals.objectives):
        low, high = -FAR, FAR
        for part in case.goals.constraints:
            if part.name != objective.name:
                continue
            pair = [(part.above, -FAR), (part.below, FAR)]
            found = [
                far * objective.sign
                if bound is None
                else float(
                    objective.sign * case.goals.outcome(part.name, bound)
                    - case.reference[i]
                )
                / float(scaled.spans[i])
                for bound, far in pair
            ]
            low, high = sorted(found)
        # What is exact equals its bound up to rounding, see `forward`.
        ends.append((low - 2 * ROUNDING, high + ROUNDING))
    both = case.reference.new_tensor(ends)
    return both[:, 0], both[:, 1]
