"""A fitted model whose means are shifted and whose standard deviations are scaled.

Notation
    q, k   structures of a joint posterior, outcomes
    b, a   [k]   shift in standard deviations, and factor on them
    mean + b σ,   a_i a_j C_ij     with mean, C and σ² = C_ii of the model
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from botorch.models.model import Model
from torch import Tensor

from bostruct.acquisition.posterior_moments import PosteriorMoments, SupportsPosteriorMoments
from bostruct.errors import check_shape
from bostruct.surrogates.botorch_models.conditioned_model import JointModel
from bostruct.surrogates.botorch_models.posterior import UnclampedVariance, add_noise


@final
@dataclass(frozen=True, eq=False)
class RecalibratedMoments:
    """Means and standard deviations of b energies after the recalibration.

    Attributes:
        own: Moments before the recalibration.
        shift: Amount to add to a mean, in standard deviations.
        scale: Factor on standard deviations.
    """

    own: PosteriorMoments
    shift: float
    scale: float

    @property
    def mean(self) -> Tensor:
        """Posterior means, `[b]` eV."""
        return self.own.mean + self.shift * self.own.std

    @property
    def std(self) -> Tensor:
        """Latent standard deviations, `[b]` eV."""
        return self.scale * self.own.std

    def gradient(self, mean_factor: Tensor, std_factor: Tensor) -> Tensor:
        """Return the gradient of sum(mean_factor mean + std_factor std) by X, `[b, d]`."""
        return self.own.gradient(mean_factor, self.shift * mean_factor + self.scale * std_factor)


@final
class RecalibratedModel(JointModel):
    """A model with the errors that it was seen to make.

    Args:
        model: Gives joint posteriors of k outcomes, latent and noisy.
        shift: `[k]`, amounts to add to the means, in latent standard deviations.
        scale: `[k]`, factors on standard deviations and noise.

    Raises:
        ShapeError: shift or scale do not have a number for each outcome.
    """

    def __init__(self, model: Model, shift: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.num_outputs, self.batch_shape = int(model.num_outputs), torch.Size(model.batch_shape)
        for name, value in (("shift", shift), ("scale", scale)):
            check_shape(name, value, [self.num_outputs])
        self.model, self.shift, self.scale = model, shift, scale

    def joint_normal(
        self, X: Tensor, observation_noise: bool | Tensor
    ) -> tuple[Tensor, Tensor, bool]:
        """Return mean and covariance, with the noise of the model scaled likewise."""
        own = self.model.posterior(X)
        q, k = own.mean.shape[-2:]
        C = own.distribution.covariance_matrix  # [..., q k, q k]
        variance = C.diagonal(dim1=-2, dim2=-1)
        shift, scale = (numbers.to(C).repeat(q) for numbers in (self.shift, self.scale))
        mean = own.mean.flatten(-2) + shift * variance.sqrt()
        noise = None
        if observation_noise is True:
            noisy = self.model.posterior(X, observation_noise=True).variance
            noise = (noisy - own.variance).clamp(min=0).flatten(-2) * scale**2
        C = add_noise(scale.unsqueeze(-1) * C * scale, observation_noise, noise, k)
        return mean.unflatten(-1, (q, k)), C, isinstance(own.distribution, UnclampedVariance)

    @property
    def has_closed_form_gradients(self) -> bool:
        """True where the model has them."""
        model = self.model
        return isinstance(model, SupportsPosteriorMoments) and model.has_closed_form_gradients

    def posterior_moments(self, X: Tensor) -> RecalibratedMoments:
        """Return mean and σ of one outcome at X `[b, d]`, with gradients of the model's."""
        return RecalibratedMoments(
            self.model.posterior_moments(X), float(self.shift), float(self.scale)
        )
