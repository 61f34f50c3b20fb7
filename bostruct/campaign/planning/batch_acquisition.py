"""Acquisition function of a step over single structures, with the pending ones."""

from __future__ import annotations

from typing import final

from torch import Tensor

from bostruct.acquisition import Acquisition, AcquisitionContext
from bostruct.acquisition.posterior_moments import (
    ClosedFormAcquisition,
    SupportsPosteriorMoments,
)
from bostruct.campaign.planning.pending_candidates import with_pending
from bostruct.candidates.batched_lbfgs import value_and_gradient_by_autograd


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

    def value_and_gradient(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Return the acquisition values `[b]` and their gradients `[b, d]`.

        In closed form where acquisition and model have one, by autograd elsewhere.
        """
        if self._closed_form is None:
            return value_and_gradient_by_autograd(self, X)
        acquisition, model = self._closed_form
        moments = model.posterior_moments(X)
        value, *derivatives = acquisition.value_and_derivatives(
            self.context, moments.mean, moments.std
        )
        return value, moments.gradient(*derivatives)

    @property
    def has_closed_form_gradients(self) -> bool:
        """True where gradients need no autograd, which takes several times as long."""
        return self._closed_form is not None

    @property
    def _closed_form(self) -> tuple[ClosedFormAcquisition, SupportsPosteriorMoments] | None:
        """The acquisition and the model, if both have closed forms."""
        acquisition, model = self.acquisition, self.context.model
        if not isinstance(acquisition, ClosedFormAcquisition):
            return None
        if not isinstance(model, SupportsPosteriorMoments) or not model.has_closed_form_gradients:
            return None
        return acquisition, model

    def with_pending(self, X: Tensor) -> BatchAcquisition:
        """Return the acquisition function once `X [p, d]` are under evaluation, too."""
        return BatchAcquisition(self.acquisition, with_pending(self.acquisition, self.context, X))


def fastest_to_search(
    acquisition: BatchAcquisition, with_pending: BatchAcquisition
) -> BatchAcquisition:
    """Return the acquisition function that a search by gradients climbs.

    A model that is conditioned on pending structures has no gradients in closed form. Where that
    makes the search several times as long, it climbs the function without them, as it does for
    the later members of a batch, and what it finds is scored with them.

    Args:
        acquisition: Acquisition function without pending structures.
        with_pending: Acquisition function with pending structures.
    """
    loses_closed_form = not with_pending.has_closed_form_gradients
    if acquisition.has_closed_form_gradients and loses_closed_form:
        return acquisition
    return with_pending
