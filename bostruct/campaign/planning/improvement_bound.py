"""Bound on what a candidate may improve, from its posterior.

A lower confidence bound with a small weight of σ prefers a structure that is a little higher than
the best one, and certainly so, to one that may be much lower. The first tells nothing about the
minimum, nor does it teach the model anything.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.acquisition import AcquisitionContext
from bostruct.campaign.planning.posterior_tensors import posterior_mean_variance
from bostruct.spaces import DiscreteSpace, Space

MAX_SIGMAS = 3.0
"""Standard deviations below its mean at which an energy may lie."""


def cannot_improve(context: AcquisitionContext, space: Space, X: Tensor) -> Tensor | None:
    """Return which of X `[c, d]` are almost certainly higher than the best energy, `[c]` bool.

    Those with mean - 3 σ above it. None in a discrete space, where each member has its turn, and
    where several objectives are sought.

    Args:
        context: Context of the acquisition, with its model and the best energy.
        space: Space of the campaign.
        X: `[c, d]` the candidates.
    """
    if context.best_f is None or isinstance(space, DiscreteSpace):
        return None
    mean, variance = posterior_mean_variance(context.model, X)
    lowest = mean - MAX_SIGMAS * variance.clamp(min=0).sqrt()
    higher: Tensor = (lowest > context.best_f).squeeze(-1)
    return torch.where(mean.isfinite().squeeze(-1), higher, False)
