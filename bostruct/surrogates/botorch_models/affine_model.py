"""A fitted model of one outcome, scaled and shifted for each structure.

Notation
    q      structures of a joint posterior
    a, c   [q]   factor and shift of each
    a mean + c,   a_i a_j C_ij     with mean and C of the model
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
from bostruct.surrogates.botorch_models.posterior import UnclampedVariance, add_noise


@final
@dataclass(frozen=True, eq=False)
class AffineMoments:
    """Means and standard deviations of b outcomes after scaling and shifting.

    Attributes:
        own: Moments of the model.
        scale: Factor on each, `[b]`, positive.
        shift: Shift of each mean, `[b]`.
    """

    own: PosteriorMoments
    scale: Tensor
    shift: Tensor

    @property
    def mean(self) -> Tensor:
        """Posterior means, `[b]`."""
        return self.scale * self.own.mean + self.shift

    @property
    def std(self) -> Tensor:
        """Latent standard deviations, `[b]`."""
        return self.scale * self.own.std

    def gradient(self, mean_factor: Tensor, std_factor: Tensor) -> Tensor:
        """Return the gradient of sum(mean_factor mean + std_factor std) by X, `[b, d]`."""
        return self.own.gradient(self.scale * mean_factor, self.scale * std_factor)


@final
class AffineModel(JointModel):
    """A model of one outcome, times a factor, plus a shift, which no small change of X changes.

    Args:
        model: Gives joint posteriors, latent and noisy.
        scale_and_shift: Positive factor and shift, X `[..., d]` to two `[...]`.
    """

    def __init__(
        self, model: Model, scale_and_shift: Callable[[Tensor], tuple[Tensor, Tensor]]
    ) -> None:
        super().__init__()
        self.batch_shape = torch.Size(model.batch_shape)
        self.model, self.scale_and_shift = model, scale_and_shift

    def joint_normal(
        self, X: Tensor, observation_noise: bool | Tensor
    ) -> tuple[Tensor, Tensor, bool]:
        """Return mean and covariance; noise that is given as variances is that of the result."""
        scale, shift = self.scale_and_shift(X)
        own = self.model.posterior(X, observation_noise=observation_noise is True)
        C = scale.unsqueeze(-1) * own.distribution.covariance_matrix * scale.unsqueeze(-2)
        if isinstance(observation_noise, Tensor):
            C = add_noise(C, observation_noise, None)
        mean = scale.unsqueeze(-1) * own.mean + shift.unsqueeze(-1)
        return mean, C, isinstance(own.distribution, UnclampedVariance)

    @property
    def has_closed_form_gradients(self) -> bool:
        """True where the model has them."""
        model = self.model
        return isinstance(model, SupportsPosteriorMoments) and model.has_closed_form_gradients

    def posterior_moments(self, X: Tensor) -> AffineMoments:
        """Return mean and σ at X `[b, d]`, with gradients of the model's."""
        return AffineMoments(self.model.posterior_moments(X), *self.scale_and_shift(X))
