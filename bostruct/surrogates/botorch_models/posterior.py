"""What every surrogate over structures does on its way to a BoTorch posterior."""

from __future__ import annotations

from typing import final

import torch
from botorch.acquisition.objective import PosteriorTransform
from botorch.posteriors import GPyTorchPosterior, Posterior
from gpytorch.distributions import MultitaskMultivariateNormal, MultivariateNormal
from linear_operator import to_linear_operator
from torch import Tensor

from bostruct.errors import NotFittedError
from bostruct.spaces import Space
from bostruct.structures import Structures

RELATIVE_JITTER = 1e-10  # of the mean variance, added where a factorisation needs it
MIN_VARIANCE = 1e-8  # eV², of a variance: means are rounded to some 1e-9 eV
ROUNDING_EPSILONS = 500  # machine epsilons of a variance are lost in a difference or a root
STRUCTURES_PER_CHUNK = 256  # structures whose features are in memory at once in `predict`


def decode_structures(space: Space | None, X: Tensor) -> Structures:
    """Return the structures at X `[..., q, d]`, row-major.

    Raises:
        NotFittedError: there is no space.
    """
    if space is None:
        raise NotFittedError(
            "`posterior` must have a space to decode X with, got none. "
            "Fit with `fit(structures, space)`, or call `predict(structures)`."
        )
    return space.decode(X)


def jitter(variance: Tensor, operand_variance: Tensor) -> Tensor:
    """Return what keeps a covariance positive, to be added to its diagonal, eV².

    Args:
        variance: `[...]` eV², the variances.
        operand_variance: `[...]` eV², what they were computed from and rounded with.
    """
    lost = ROUNDING_EPSILONS * torch.finfo(operand_variance.dtype).eps * operand_variance
    return RELATIVE_JITTER * variance + lost + (MIN_VARIANCE - variance).clamp(min=0)


def add_noise(C: Tensor, noise: bool | Tensor, model_noise: Tensor) -> Tensor:
    """Return the covariance `[..., q, q]` eV² of latent or of observed energies.

    Args:
        C: `[..., q, q]` eV², latent.
        noise: whether to add the model's own noise, or variances `[..., q]` to add.
        model_noise: eV², the model's own, that expands to `[..., q]`.
    """
    shape = C.shape[:-1]
    if isinstance(noise, Tensor):
        return C + torch.diag_embed(noise_variances(noise, shape[-1]).expand(shape))
    return C + torch.diag_embed(model_noise.expand(shape)) if noise else C


def noise_variances(noise: Tensor, q: int) -> Tensor:
    """Return noise variances `[..., q]` that may have come as BoTorch's `[..., q, 1]`.

    What was one number, or one for each batch, comes back as `[..., 1]`.
    """
    if noise.dim() > 1 and noise.shape[-1] == 1 and noise.shape[-2] in (1, q):
        return noise.squeeze(-1)
    return noise if noise.dim() else noise.unsqueeze(-1)


def energy_posterior(
    mean: Tensor, C: Tensor, posterior_transform: PosteriorTransform | None
) -> Posterior:
    """Return the posterior of q energies, transformed.

    Args:
        mean: `[..., q]` eV.
        C: `[..., q, q]` eV².
        posterior_transform: applied last, or None.
    """
    gaussian = MultivariateNormal(mean, to_linear_operator(C))
    posterior = GPyTorchPosterior(gaussian)
    return posterior if posterior_transform is None else posterior_transform(posterior)


@final
class UnclampedNormal(MultivariateNormal):  # type: ignore[misc]
    """q values of one property."""

    @property
    def variance(self) -> Tensor:
        """The variances, `[..., q]`."""
        return _clamp_to_tiny(self.lazy_covariance_matrix.diagonal(dim1=-2, dim2=-1))


@final
class UnclampedMultitaskNormal(MultitaskMultivariateNormal):  # type: ignore[misc]
    """q values of k properties, structure by structure."""

    @property
    def variance(self) -> Tensor:
        """The variances, `[..., q, k]`."""
        own = self.lazy_covariance_matrix.diagonal(dim1=-2, dim2=-1)
        return _clamp_to_tiny(own).reshape(self.mean.shape)


def property_posterior(
    mean: Tensor, C: Tensor, posterior_transform: PosteriorTransform | None
) -> Posterior:
    """Return the posterior of k properties of q structures, transformed.

    Args:
        mean: `[..., q, k]`.
        C: `[..., q k, q k]`, structure by structure.
        posterior_transform: applied last, or None.
    """
    lazy = to_linear_operator(C)  # torch would factorise a tensor at once
    alone = mean.shape[-1] == 1
    found = (
        UnclampedNormal(mean.squeeze(-1), lazy) if alone else UnclampedMultitaskNormal(mean, lazy)
    )
    posterior = GPyTorchPosterior(found)
    return posterior if posterior_transform is None else posterior_transform(posterior)


def _clamp_to_tiny(variance: Tensor) -> Tensor:
    return variance.clamp(min=torch.finfo(variance.dtype).tiny)
