"""A fitted model of one outcome plus a known function of the coordinates.

Notation
    q, d   structures of a joint posterior, coordinates
    mean(X) + offset(X),   C(X, X)     with mean and C of the model
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from botorch.models.model import Model
from torch import Tensor

from bostruct.acquisition.posterior_moments import PosteriorMoments, SupportsPosteriorMoments
from bostruct.surrogates.botorch_models.conditioned_model import JointModel
from bostruct.surrogates.botorch_models.posterior import UnclampedVariance


@final
@dataclass(frozen=True, eq=False)
class OffsetMoments:
    """Means and standard deviations of b energies with the offset added.

    Attributes:
        own: Moments without the offset.
        offset: `[b]` eV.
        offset_gradient: Gradient of each offset by its X, `[b, d]`.
    """

    own: PosteriorMoments
    offset: Tensor
    offset_gradient: Tensor

    @property
    def mean(self) -> Tensor:
        """Posterior means, `[b]` eV."""
        return self.own.mean + self.offset

    @property
    def std(self) -> Tensor:
        """Latent standard deviations, `[b]` eV."""
        return self.own.std

    def gradient(self, mean_factor: Tensor, std_factor: Tensor) -> Tensor:
        """Return the gradient of sum(mean_factor mean + std_factor std) by X, `[b, d]`."""
        own = self.own.gradient(mean_factor, std_factor)
        return own + mean_factor.unsqueeze(-1) * self.offset_gradient


@final
class OffsetModel(JointModel):
    """A model of one outcome and a term of it that is known.

    Args:
        model: Gives joint posteriors, latent and noisy.
        offset: Known term, X `[..., d]` to `[...]`, differentiable in X.
    """

    def __init__(self, model: Model, offset: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.batch_shape = torch.Size(model.batch_shape)
        self.model, self.offset = model, offset

    def joint_normal(
        self, X: Tensor, observation_noise: bool | Tensor
    ) -> tuple[Tensor, Tensor, bool]:
        """Return mean and covariance, that of the model."""
        own = self.model.posterior(X, observation_noise=observation_noise)
        C = own.distribution.covariance_matrix
        mean = own.mean + self.offset(X).unsqueeze(-1)
        return mean, C, isinstance(own.distribution, UnclampedVariance)

    @property
    def has_closed_form_gradients(self) -> bool:
        """True where the model has them."""
        model = self.model
        return isinstance(model, SupportsPosteriorMoments) and model.has_closed_form_gradients

    def posterior_moments(self, X: Tensor) -> OffsetMoments:
        """Return mean and σ at X `[b, d]`, with gradients of the model's and of the offset."""
        with torch.enable_grad():
            leaf = X.detach().requires_grad_()
            offset = self.offset(leaf)
            (gradient,) = torch.autograd.grad(offset.sum(), leaf)
        return OffsetMoments(self.model.posterior_moments(X), offset.detach(), gradient)
