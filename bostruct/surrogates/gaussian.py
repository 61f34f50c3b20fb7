"""Posteriors of properties in any unit.

GPyTorch raises variances to 1e-10 at least, and warns. Of an energy in eV that is a
rounding error, of a strain or of a price in millions it is not: these do neither.
"""

from __future__ import annotations

from typing import final

import torch
from botorch.acquisition.objective import PosteriorTransform
from botorch.posteriors import GPyTorchPosterior, Posterior
from gpytorch.distributions import MultitaskMultivariateNormal, MultivariateNormal
from linear_operator import to_linear_operator
from torch import Tensor


@final
class One(MultivariateNormal):  # type: ignore[misc]
    """q values of one property."""

    @property
    def variance(self) -> Tensor:
        """The variances, `[..., q]`."""
        return _positive(self.lazy_covariance_matrix.diagonal(dim1=-2, dim2=-1))


@final
class Several(MultitaskMultivariateNormal):  # type: ignore[misc]
    """q values of k properties, structure by structure."""

    @property
    def variance(self) -> Tensor:
        """The variances, `[..., q, k]`."""
        own = self.lazy_covariance_matrix.diagonal(dim1=-2, dim2=-1)
        return _positive(own).reshape(self.mean.shape)


def gaussian(
    mean: Tensor, C: Tensor, transform: PosteriorTransform | None
) -> Posterior:
    """Return the posterior of k properties of q structures, transformed.

    Args:
        mean: `[..., q, k]`.
        C: `[..., q k, q k]`, structure by structure.
        transform: applied last, or None.
    """
    lazy = to_linear_operator(C)  # torch would factorise a tensor at once
    alone = mean.shape[-1] == 1
    found = One(mean.squeeze(-1), lazy) if alone else Several(mean, lazy)
    posterior = GPyTorchPosterior(found)
    return posterior if transform is None else transform(posterior)


def _positive(variance: Tensor) -> Tensor:
    return variance.clamp(min=torch.finfo(variance.dtype).tiny)
