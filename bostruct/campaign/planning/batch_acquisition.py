"""Acquisition function of a step over single structures, with the pending ones."""

from __future__ import annotations

from typing import final

from torch import Tensor

from bostruct.acquisition import Acquisition, AcquisitionContext
from bostruct.campaign.planning.pending_candidates import with_pending


@final
class BatchAcquisition:
    """The acquisition function of a step: `X [b, d] -> [b]`, larger is better.

    Args:
        acquisition: The acquisition.
        context: Model, data and pending candidates.
    """

    def __init__(self, acquisition: Acquisition, context: AcquisitionContext) -> None:
        self.acquisition, self.context = acquisition, context
        self._function = acquisition.build(context)

    def __call__(self, X: Tensor) -> Tensor:
        """Return the acquisition value of each structure, differentiable in X."""
        values: Tensor = self._function(X.unsqueeze(-2))
        return values

    def with_pending(self, X: Tensor) -> BatchAcquisition:
        """Return the acquisition function once `X [p, d]` are under evaluation, too."""
        return BatchAcquisition(self.acquisition, with_pending(self.acquisition, self.context, X))
