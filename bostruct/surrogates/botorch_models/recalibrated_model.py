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
from botorch.acquisition.objective import PosteriorTransform
from botorch.models.model import Model
from botorch.posteriors import Posterior
from torch import Tensor

from bostruct.acquisition.posterior_moments import PosteriorMoments, SupportsPosteriorMoments
from bostruct.errors import check_shape
from bostruct.surrogates.botorch_models.conditioned_model import ConditionableModel
from bostruct.surrogates.botorch_models.posterior import (
    UnclampedVariance,
    add_noise,
    joint_posterior,
)


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
class RecalibratedModel(ConditionableModel):
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

    def posterior(
        self,
        X: Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: PosteriorTransform | None = None,
    ) -> Posterior:
        """Return the joint posterior of k outcomes of q structures, X `[..., q, d]`.

        Args:
            X: Coordinates.
            output_indices: Outcomes to return; all by default.
            observation_noise: True to add the model's noise, scaled; or noise variances to add.
            posterior_transform: Applied last.
        """
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
        unclamped = isinstance(own.distribution, UnclampedVariance)
        mean = mean.unflatten(-1, (q, k))
        return joint_posterior(mean, C, posterior_transform, output_indices, unclamped=unclamped)

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
