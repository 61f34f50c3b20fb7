"""A fitted model of one energy, shrunk where it knows less than the spread of energies tells.

Far from its data a model with long-ranged or steep terms has a σ many times the spread of energies,
and a mean that is anywhere. A bound that weighs σ, or trusts the mean, goes there, whatever the
structure. What any structure's energy is likely to be, N(m, s²), is known all the same, and is
combined with what the model says (normal with a normal prior; Gelman et al., Bayesian Data
Analysis, 3rd ed., section 2.5):

    w = s² / (s² + σ²),   mean' = w mean + (1 - w) m,   σ'² = w σ²

Near the data w is one. The slopes of w bring a search back from where the model knows nothing.

Notation
    q           structures of a joint posterior
    D C D       with the covariance C of the model and D = diag(sqrt(w))
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from botorch.models.model import Model
from torch import Tensor

from bostruct.acquisition.posterior_moments import PosteriorMoments, SupportsPosteriorMoments
from bostruct.errors import check_positive
from bostruct.surrogates.botorch_models.conditioned_model import JointModel
from bostruct.surrogates.botorch_models.posterior import UnclampedVariance, add_noise


@final
@dataclass(frozen=True, eq=False)
class ShrunkMoments:
    """Means and standard deviations of b energies after the shrinkage.

    Attributes:
        own: Moments of the model.
        prior_mean: Typical energy, eV.
        prior_std: Spread of energies, eV.
    """

    own: PosteriorMoments
    prior_mean: float
    prior_std: float

    @property
    def mean(self) -> Tensor:
        """Posterior means, `[b]` eV."""
        return self.prior_mean + self._weight * (self.own.mean - self.prior_mean)

    @property
    def std(self) -> Tensor:
        """Latent standard deviations, `[b]` eV."""
        return self.own.std * self._weight.sqrt()

    def gradient(self, mean_factor: Tensor, std_factor: Tensor) -> Tensor:
        """Return the gradient of sum(mean_factor mean + std_factor std) by X, `[b, d]`."""
        w, std = self._weight, self.own.std
        weight_slope = -2 * std * (w / self.prior_std).square()
        by_std = std_factor * w**1.5
        by_std = by_std + mean_factor * weight_slope * (self.own.mean - self.prior_mean)
        return self.own.gradient(mean_factor * w, by_std)

    @cached_property
    def _weight(self) -> Tensor:
        weight: Tensor = 1 / (1 + (self.own.std / self.prior_std).square())
        return weight


@final
class ShrinkageModel(JointModel):
    """A model of one outcome combined with the spread that outcomes have.

    Args:
        model: Gives joint posteriors, latent and noisy.
        prior_mean: Typical outcome, eV.
        prior_std: Spread of outcomes, eV.

    Raises:
        InputError: `prior_std` is not positive.
    """

    def __init__(self, model: Model, prior_mean: float, prior_std: float) -> None:
        super().__init__()
        self.batch_shape = torch.Size(model.batch_shape)
        self.model, self.prior_mean = model, prior_mean
        self.prior_std = check_positive("prior_std", prior_std)

    def joint_normal(
        self, X: Tensor, observation_noise: bool | Tensor
    ) -> tuple[Tensor, Tensor, bool]:
        """Return mean and covariance, with the noise of the model."""
        own = self.model.posterior(X)
        C = own.distribution.covariance_matrix
        weight = 1 / (1 + C.diagonal(dim1=-2, dim2=-1) / self.prior_std**2)
        noise = None
        if observation_noise is True:
            noisy = self.model.posterior(X, observation_noise=True).variance
            noise = (noisy - own.variance).clamp(min=0).flatten(-2)
        factor = weight.sqrt()
        C = add_noise(factor.unsqueeze(-1) * C * factor.unsqueeze(-2), observation_noise, noise, 1)
        mean = self.prior_mean + weight.unsqueeze(-1) * (own.mean - self.prior_mean)
        return mean, C, isinstance(own.distribution, UnclampedVariance)

    @property
    def has_closed_form_gradients(self) -> bool:
        """True where the model has them."""
        model = self.model
        return isinstance(model, SupportsPosteriorMoments) and model.has_closed_form_gradients

    def posterior_moments(self, X: Tensor) -> ShrunkMoments:
        """Return mean and σ at X `[b, d]`, with gradients of the model's."""
        return ShrunkMoments(self.model.posterior_moments(X), self.prior_mean, self.prior_std)
