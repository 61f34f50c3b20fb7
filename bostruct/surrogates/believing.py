"""A model of several properties that believes its own means at some structures.

Notation
    q, p, k   structures asked about, believed, properties
    C         [(q + p) k, (q + p) k]   the model's joint covariance

The mean stays as it is; the covariance of what is asked about becomes
C_qq - C_qp (C_pp + noise)^-1 C_pq, as if the believed had been measured (Ginsbourger,
Le Riche and Carraro 2010, the "kriging believer").
"""

from __future__ import annotations

from typing import final

import torch
from botorch.acquisition.objective import PosteriorTransform
from botorch.models.model import Model
from botorch.posteriors import Posterior
from torch import Tensor

from bostruct.surrogates.gaussian import gaussian
from bostruct.surrogates.joint import JITTER


@final
class Believing(Model):  # type: ignore[misc]
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
        own = own + JITTER * C.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True)
        factor = torch.linalg.cholesky(C[..., q * k :, q * k :] + torch.diag_embed(own))
        root = torch.linalg.solve_triangular(
            factor, C[..., q * k :, : q * k], upper=False
        )
        C = C[..., : q * k, : q * k] - root.mT @ root
        if observation_noise is not False:
            extra = noise[..., :q, :]
            if isinstance(observation_noise, Tensor):
                extra = observation_noise.expand(extra.shape)
            C = C + torch.diag_embed(extra.flatten(-2))
        mean = before.mean[..., :q, :]
        return gaussian(mean, C, posterior_transform)
