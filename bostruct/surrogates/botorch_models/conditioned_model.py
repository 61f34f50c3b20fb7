"""Any model, conditioned on further observations.

Notation
    x, X    [..., q, d], [..., t, d]   points of the posterior, observed points
    C                                  posterior covariance of the model
    mean(x) + C(x, X) (C(X, X) + noise)^-1 (Y - mean(X))
    C(x, x) - C(x, X) (C(X, X) + noise)^-1 C(X, x)

An update with the model's posterior as the prior; it holds for every model with a joint
posterior, and shrinks the variance at X to that of the noise. Each point has a row for each of k
outcomes.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import final

import torch
from botorch.acquisition.objective import PosteriorTransform
from botorch.models.model import FantasizeMixin, Model
from botorch.posteriors import Posterior
from gpytorch.settings import min_variance
from torch import Tensor

from bostruct.errors import ShapeError, error_message
from bostruct.surrogates.botorch_models.posterior import (
    RELATIVE_JITTER,
    UnclampedVariance,
    add_noise,
    flat_noise,
    joint_posterior,
)


class ConditionableModel(Model, FantasizeMixin):  # type: ignore[misc]
    """Base of models that are conditioned on further observations without a new fit.

    It never changes; there is one outcome, and no batch of models, unless it says so.
    """

    num_outputs: int = 1
    batch_shape: torch.Size = torch.Size()
    likelihood: None = None  # `fantasize` looks for one; the noise is in `posterior`

    def condition_on_observations(
        self, X: Tensor, Y: Tensor, noise: Tensor | None = None, **_: object
    ) -> ConditionedModel:
        """Return the model conditioned on Y `[..., t, k]` at X `[..., t, d]`, too."""
        return condition_on_observations(self, X, Y, noise)


class JointModel(ConditionableModel):
    """Base of models with joint normal posteriors."""

    @abstractmethod
    def joint_normal(
        self, X: Tensor, observation_noise: bool | Tensor
    ) -> tuple[Tensor, Tensor, bool]:
        """Return mean `[..., q, k]` and covariance `[..., q k, q k]`, structure by structure.

        Third is whether variances below GPyTorch's least, 1e-9, are kept.
        """

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
            observation_noise: True to add the noise of a measured value, or variances to add that
                expand to `[..., q, k]`.
            posterior_transform: Applied last.

        Raises:
            NotFittedError: the model needs the space of X, and was fitted without.
        """
        mean, C, unclamped = self.joint_normal(X, observation_noise)
        return joint_posterior(mean, C, posterior_transform, output_indices, unclamped=unclamped)


@final
class ConditionedModel(JointModel):
    """A model and observations made after its fit; its hyperparameters stay.

    Without Y it is the "kriging believer" of Ginsbourger, Le Riche and Carraro (2010): conditioned
    on its own posterior means at X, so that means stay and variances shrink.

    Args:
        model: Gives joint posteriors of k outcomes, latent and noisy.
        X: `[..., t, d]`.
        Y: `[..., t, k]`, further leading dimensions are fantasies; None for the posterior means.
        noise: Variances of Y, `[..., t k]`, structure by structure; None for the model's own.

    Raises:
        ShapeError: Y does not have a row for each point and a column for each outcome.
    """

    def __init__(
        self, model: Model, X: Tensor, Y: Tensor | None = None, noise: Tensor | None = None
    ) -> None:
        super().__init__()
        shape = (X.shape[-2], int(model.num_outputs))
        if Y is not None and Y.shape[-2:] != shape:
            condition = f"have shape [..., {shape[0]}, {shape[1]}]"
            raise ShapeError(error_message("Y", condition, list(Y.shape)))
        self.model, self.X, self.Y, self.noise = model, X, Y, noise
        self.num_outputs = shape[1]
        self.batch_shape = torch.Size(model.batch_shape if Y is None else Y.shape[:-2])

    def joint_normal(
        self, X: Tensor, observation_noise: bool | Tensor
    ) -> tuple[Tensor, Tensor, bool]:
        """Return mean and covariance, and whether small variances are kept as in the model."""
        batch = torch.broadcast_shapes(X.shape[:-2], self.X.shape[:-2])
        x, observed = (points.to(X).expand(*batch, -1, -1) for points in (X, self.X))
        points, q = torch.cat((x, observed), -2), X.shape[-2]
        prior = self.model.posterior(points)
        k, C = prior.mean.shape[-1], prior.distribution.covariance_matrix
        n, noise, own = q * k, self.noise, None
        if noise is None:
            own = self.model.posterior(points, observation_noise=True).variance - prior.variance
            own = own.clamp(min=0).flatten(-2)
            own, noise = own[..., :n], own[..., n:]
        noise = noise + RELATIVE_JITTER * C.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True)
        factor = torch.linalg.cholesky(C[..., n:, n:] + torch.diag_embed(noise))
        root = torch.linalg.solve_triangular(factor, C[..., n:, :n], upper=False)
        mean = prior.mean.flatten(-2)
        if self.Y is not None:
            residual = (self.Y.flatten(-2) - mean[..., n:]).unsqueeze(-1)
            residual = torch.linalg.solve_triangular(factor, residual, upper=False)
            mean = mean[..., :n] + (root.mT @ residual).squeeze(-1)
        mean = mean[..., :n].unflatten(-1, (q, k))
        unclamped = isinstance(prior.distribution, UnclampedVariance)
        minimum = RELATIVE_JITTER * C.diagonal(dim1=-2, dim2=-1)[..., :n]
        if not unclamped:
            minimum = minimum.clamp(min=min_variance.value(C.dtype))
        C = C[..., :n, :n] - root.mT @ root  # below zero by rounding where all is known
        lacking = minimum - C.diagonal(dim1=-2, dim2=-1)
        C = C + torch.diag_embed(lacking.clamp(min=0))
        if own is None and observation_noise is True:
            own = _noise(self.model, x)
        C = add_noise(C, observation_noise, own, k).expand(*mean.shape[:-2], n, n)
        return mean, C, unclamped


def condition_on_observations(
    model: Model, X: Tensor, Y: Tensor, noise: Tensor | None = None
) -> ConditionedModel:
    """Return a model conditioned on Y `[..., t, k]` at X `[..., t, d]`.

    Args:
        model: Gives joint posteriors, latent and observed.
        X: Coordinates of the observed points.
        Y: Observed outcomes; further leading dimensions are fantasies.
        noise: Variances of Y; by default the model's own observation noise at X.
    """
    if noise is not None:
        noise = flat_noise(noise, X.shape[-2], int(model.num_outputs))
    return ConditionedModel(model, X, Y, _noise(model, X) if noise is None else noise)


def _noise(model: Model, X: Tensor) -> Tensor:
    """Return the model's own noise variances at X, `[..., t k]`."""
    with torch.no_grad():
        observed = model.posterior(X, observation_noise=True).variance
        noise: Tensor = (observed - model.posterior(X).variance).flatten(-2).clamp(min=0)
    return noise
