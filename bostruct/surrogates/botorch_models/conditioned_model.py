"""Any model, conditioned on further observations.

Notation
    x, X    [..., q, d], [..., t, d]   asked about, observed
    C                                  the model's own posterior covariance
    mean(x) + C(x, X) (C(X, X) + noise)^-1 (Y - mean(X))
    C(x, x) - C(x, X) (C(X, X) + noise)^-1 C(X, x)

An update of rank t that takes the model's posterior as the prior; it holds for every
model with a joint posterior, and shrinks the variance at X to that of the noise.
"""

from __future__ import annotations

from typing import final

import torch
from botorch.acquisition.objective import PosteriorTransform
from botorch.models.model import FantasizeMixin, Model
from botorch.posteriors import Posterior
from torch import Tensor

from bostruct.errors import ShapeError, error_message
from bostruct.surrogates.botorch_models.posterior import (
    RELATIVE_JITTER,
    energy_posterior,
    noise_variances,
    property_posterior,
)


@final
class ConditionedModel(Model, FantasizeMixin):  # type: ignore[misc]
    """A model and what it was told after it had been fitted.

    Args:
        model: gives joint posteriors.
        X: `[..., t, d]`.
        Y: `[..., t, 1]` eV; further leading dimensions are fantasies.
        noise: `[..., t]` eV², variances of Y.

    Raises:
        ShapeError: X and Y do not belong together.
    """

    likelihood: None = None  # `fantasize` looks for one; the noise is in `posterior`

    def __init__(self, model: Model, X: Tensor, Y: Tensor, noise: Tensor) -> None:
        super().__init__()
        if Y.shape[-2:] != (*X.shape[-2:-1], 1):
            condition = f"have shape [..., {X.shape[-2]}, 1]"
            raise ShapeError(error_message("Y", condition, list(Y.shape)))
        self.model, self.X, self.Y, self.noise = model, X, Y.squeeze(-1), noise

    @property
    def num_outputs(self) -> int:
        """Energies only: 1."""
        return 1

    @property
    def batch_shape(self) -> torch.Size:
        """The leading dimensions of what was told."""
        return self.Y.shape[:-1]

    def posterior(
        self,
        X: Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: PosteriorTransform | None = None,
    ) -> Posterior:
        """Return the joint posterior of q energies at X `[..., q, d]`."""
        q, t = X.shape[-2], self.X.shape[-2]
        batch = torch.broadcast_shapes(X.shape[:-2], self.X.shape[:-2])
        asked, told = X.expand(*batch, *X.shape[-2:]), self.X.expand(*batch, t, -1)
        before = self.model.posterior(torch.cat((asked, told), -2))
        mean, C = before.mean.squeeze(-1), before.distribution.covariance_matrix
        shape = torch.broadcast_shapes(self.noise.shape, (*C.shape[:-2], t))
        noise = self.noise.expand(shape)
        noise = noise + RELATIVE_JITTER * C.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True)
        factor = torch.linalg.cholesky(C[..., q:, q:] + torch.diag_embed(noise))
        root = torch.linalg.solve_triangular(factor, C[..., q:, :q], upper=False)
        news = (self.Y - mean[..., q:]).unsqueeze(-1)
        news = torch.linalg.solve_triangular(factor, news, upper=False)
        mean = mean[..., :q] + (root.transpose(-1, -2) @ news).squeeze(-1)
        C = C[..., :q, :q] - root.transpose(-1, -2) @ root
        if observation_noise is not False:
            given = None if observation_noise is True else observation_noise
            noise = _noise(self.model, asked, given)
            C = C + torch.diag_embed(noise.expand(*noise.shape[:-1], q))
        return energy_posterior(mean, C.expand(*mean.shape, q), posterior_transform)

    def condition_on_observations(
        self, X: Tensor, Y: Tensor, noise: Tensor | None = None, **_: object
    ) -> ConditionedModel:
        """Return the model that has also been told Y `[..., t, 1]` at X."""
        return condition_on_observations(self, X, Y, noise)


def condition_on_observations(
    model: Model, X: Tensor, Y: Tensor, noise: Tensor | None = None
) -> ConditionedModel:
    """Return `model` told energies Y `[..., t, 1]` eV at X `[..., t, d]`.

    Args:
        model: gives joint posteriors, latent and observed.
        X: coordinates.
        Y: energies; further leading dimensions are fantasies.
        noise: variances of Y, eV²; by default the model's own.
    """
    return ConditionedModel(model, X, Y, _noise(model, X, noise))


def _noise(model: Model, X: Tensor, noise: Tensor | None) -> Tensor:
    if noise is not None:
        return noise_variances(noise, X.shape[-2])
    with torch.no_grad():
        observed = model.posterior(X, observation_noise=True).variance
        own: Tensor = (observed - model.posterior(X).variance).squeeze(-1)
    return own.clamp(min=0)


@final
class KrigingBelieverModel(Model):  # type: ignore[misc]
    """A model, as certain of its means at `X` as if they had been measured there.

    Args:
        model: Gives joint posteriors, latent and observed.
        X: `[p, d]`.
    """

    likelihood: None = None

    def __init__(self, model: Model, X: Tensor) -> None:
        super().__init__()
        self.model, self.X = model, X

    @property
    def num_outputs(self) -> int:
        """Those of the model."""
        return int(self.model.num_outputs)

    @property
    def batch_shape(self) -> torch.Size:
        """That of the model."""
        return torch.Size(self.model.batch_shape)

    def posterior(
        self,
        X: Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: PosteriorTransform | None = None,
    ) -> Posterior:
        """Return the joint posterior of k properties of q structures `[..., q, d]`."""
        q = X.shape[-2]
        told = self.X.to(X).expand(*X.shape[:-2], *self.X.shape)
        every = torch.cat([X, told], -2)
        before = self.model.posterior(every, output_indices)
        k = before.mean.shape[-1]
        C = before.distribution.covariance_matrix
        observed = self.model.posterior(every, output_indices, True)
        noise = (observed.variance - before.variance).clamp(min=0)
        own = noise.flatten(-2)[..., q * k :]
        own = own + RELATIVE_JITTER * C.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True)
        factor = torch.linalg.cholesky(C[..., q * k :, q * k :] + torch.diag_embed(own))
        root = torch.linalg.solve_triangular(factor, C[..., q * k :, : q * k], upper=False)
        C = C[..., : q * k, : q * k] - root.mT @ root
        if observation_noise is not False:
            extra = noise[..., :q, :]
            if isinstance(observation_noise, Tensor):
                extra = observation_noise.expand(extra.shape)
            C = C + torch.diag_embed(extra.flatten(-2))
        mean = before.mean[..., :q, :]
        return property_posterior(mean, C, posterior_transform)
