"""From structures to a BoTorch posterior: what all surrogates share."""

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

RELATIVE_JITTER = 1e-10  # of the mean variance, added where a factorization needs it
MIN_RELATIVE_VARIANCE = 1e-9  # of the prior variance of one environment
ROUNDING_EPSILONS = 500  # machine epsilons of a variance that a difference or a root loses
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


def jitter(variance: Tensor, operand_variance: Tensor, unit_variance: Tensor) -> Tensor:
    """Return the amount to add to the diagonal of a covariance to keep it positive, eV².

    Args:
        variance: `[...]` eV², the diagonal.
        operand_variance: `[...]` eV², size of the terms it is the difference of, which sets its
            rounding error.
        unit_variance: `[]` eV², prior variance of one environment, which sets the least variance.
    """
    lost = ROUNDING_EPSILONS * torch.finfo(operand_variance.dtype).eps * operand_variance
    least = MIN_RELATIVE_VARIANCE * unit_variance
    return RELATIVE_JITTER * variance + lost + (least - variance).clamp(min=0)


def add_noise(C: Tensor, noise: bool | Tensor, model_noise: Tensor | None, k: int = 1) -> Tensor:
    """Return the covariance `[..., q k, q k]` of latent or of noisy outcomes.

    Args:
        C: `[..., q k, q k]`, latent, structure by structure.
        noise: True to add the model's own noise, or variances to add, `[..., q]` for one outcome
            or `[..., q, k]`.
        model_noise: Variances of the model's own noise, that expand to `[..., q k]`; not used
            where `noise` is a tensor or False.
        k: Number of outcomes.
    """
    if isinstance(noise, Tensor):
        return C + torch.diag_embed(flat_noise(noise, C.shape[-1] // k, k))
    if not noise or model_noise is None:
        return C
    return C + torch.diag_embed(model_noise.expand(C.shape[:-1]))


def flat_noise(noise: Tensor, q: int, k: int = 1) -> Tensor:
    """Return noise variances as `[..., q k]`, structure by structure.

    Args:
        noise: Variances that expand to `[..., q, k]`; those of one outcome may also be `[..., q]`,
            a number for each batch `[..., 1]`, or one number.
        q: Number of structures.
        k: Number of outcomes.
    """
    if k == 1 and not (noise.dim() > 1 and noise.shape[-1] == 1 and noise.shape[-2] in (1, q)):
        noise = noise.unsqueeze(-1)
    return noise.expand(*noise.shape[:-2], q, k).flatten(-2)


class UnclampedVariance:
    """Variances of a normal distribution as they are, above zero.

    GPyTorch raises variances below 1e-9 to that; in the unit of a property these may be large.
    """

    @property
    def variance(self) -> Tensor:
        """The variances, `[..., q]` or `[..., q, k]`."""
        normal: MultivariateNormal = self
        variance: Tensor = normal.lazy_covariance_matrix.diagonal(dim1=-2, dim2=-1)
        return variance.clamp(min=torch.finfo(variance.dtype).tiny).reshape(normal.mean.shape)


@final
class UnclampedNormal(UnclampedVariance, MultivariateNormal):  # type: ignore[misc]
    """Joint normal distribution of q values of one outcome."""


@final
class UnclampedMultitaskNormal(UnclampedVariance, MultitaskMultivariateNormal):  # type: ignore[misc]
    """Joint normal distribution of q values of k outcomes, structure by structure."""


def joint_posterior(
    mean: Tensor,
    C: Tensor,
    posterior_transform: PosteriorTransform | None,
    output_indices: list[int] | None = None,
    *,
    unclamped: bool = False,
) -> Posterior:
    """Return the posterior of k outcomes of q structures.

    Args:
        mean: `[..., q, k]`.
        C: `[..., q k, q k]`, structure by structure.
        posterior_transform: Applied last, or None.
        output_indices: The outcomes to return; None for all.
        unclamped: True to keep variances below GPyTorch's least, 1e-9.
    """
    if output_indices is not None:
        rows = torch.arange(C.shape[-1], device=C.device).view(mean.shape[-2:])
        rows = rows[:, output_indices].flatten()
        mean, C = mean[..., output_indices], C[..., rows.unsqueeze(-1), rows]
    lazy = to_linear_operator(C)  # torch would factorize a tensor at once
    if mean.shape[-1] == 1:
        normal = (UnclampedNormal if unclamped else MultivariateNormal)(mean.squeeze(-1), lazy)
    else:
        several = UnclampedMultitaskNormal if unclamped else MultitaskMultivariateNormal
        normal = several(mean, lazy)
    posterior = GPyTorchPosterior(normal)
    return posterior if posterior_transform is None else posterior_transform(posterior)
