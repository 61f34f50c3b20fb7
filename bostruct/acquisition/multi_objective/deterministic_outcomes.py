"""One posterior over all outcomes: the learnt ones, and beside them the exact ones.

BoTorch's objectives may see X, but its constraints see samples alone, and so does the
scalarisation of ParEGO. So the exact outcomes are put where every part looks: into the
posterior, as columns whose samples are all equal and whose variance is zero. They never
enter a covariance matrix, so there is no jitter on them, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

import torch
from botorch.acquisition.objective import PosteriorTransform
from botorch.models.model import Model
from botorch.posteriors.posterior import Posterior
from torch import Tensor


@final
class JoinedPosterior(Posterior):  # type: ignore[misc]
    """A posterior over learnt outcomes, and exact numbers beside it.

    Args:
        learnt: Over `[..., q, l]`.
        exact: `[..., q, e]`.
        order: `[l + e]` which column of `learnt | exact` each outcome is.
    """

    def __init__(self, learnt: Posterior, exact: Tensor, order: Sequence[int]) -> None:
        self.learnt = learnt
        self.exact = exact
        self.order = list(order)

    def _join(self, learnt: Tensor, exact: Tensor) -> Tensor:
        exact = exact.to(learnt).expand(*learnt.shape[:-1], exact.shape[-1])
        return torch.cat([learnt, exact], dim=-1)[..., self.order]

    @property
    def mean(self) -> Tensor:
        """The means, `[..., q, k]`."""
        return self._join(self.learnt.mean, self.exact)

    @property
    def variance(self) -> Tensor:
        """The variances, `[..., q, k]`; zero where exact."""
        return self._join(self.learnt.variance, torch.zeros_like(self.exact))

    def rsample(self, sample_shape: torch.Size | None = None) -> Tensor:
        """Return samples `[s, ..., q, k]`."""
        return self._join(self.learnt.rsample(sample_shape), self.exact)

    def rsample_from_base_samples(
        self, sample_shape: torch.Size, base_samples: Tensor
    ) -> Tensor:
        """Return the samples `[s, ..., q, k]` of given normal draws."""
        draw = self.learnt.rsample_from_base_samples
        return self._join(draw(sample_shape, base_samples), self.exact)

    def _extended_shape(self, sample_shape: torch.Size = torch.Size()) -> torch.Size:  # noqa: B008 - BoTorch's signature
        shape = self.learnt._extended_shape(sample_shape)
        return torch.Size([*shape[:-1], len(self.order)])

    @property
    def base_sample_shape(self) -> torch.Size:
        """The shape of the normal draws: those of the learnt outcomes."""
        return torch.Size(self.learnt.base_sample_shape)

    @property
    def batch_range(self) -> tuple[int, int]:
        """The axes of the base samples that run over sets."""
        start, end = self.learnt.batch_range
        return start, end

    @property
    def batch_shape(self) -> torch.Size:
        """The shape of the sets."""
        return self.exact.shape[:-2]

    @property
    def device(self) -> torch.device:
        """Where the posterior lives."""
        return self.exact.device

    @property
    def dtype(self) -> torch.dtype:
        """The number format."""
        return self.exact.dtype


@final
class Joined(Model):  # type: ignore[misc]
    """A model of all `k` outcomes, made of a learnt one and exact numbers.

    Args:
        model: Of the `learnt` outcomes, in their order.
        known: `X [..., d] -> [..., e]` the others, in the order of `names`.
        learnt: The names of the outputs of `model`.
        names: The names of all outcomes, in the order wanted.
    """

    def __init__(
        self,
        model: Model,
        known: Callable[[Tensor], Tensor] | None,
        learnt: Sequence[str],
        names: Sequence[str],
    ) -> None:
        super().__init__()
        self.model = model
        self.known = known
        columns = [*learnt, *(name for name in names if name not in learnt)]
        self.order = [columns.index(name) for name in names]

    @property
    def num_outputs(self) -> int:
        """All outcomes, `k`."""
        return len(self.order)

    @property
    def batch_shape(self) -> torch.Size:
        """That of the learnt model."""
        return torch.Size(self.model.batch_shape)

    def posterior(
        self,
        X: Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: PosteriorTransform | None = None,
        **_: object,
    ) -> Posterior:
        """Return the posterior over the outcomes `[..., q, k]` of `X [..., q, d]`."""
        learnt = self.model.posterior(X)
        if self.known is None:
            exact = X.new_zeros(*X.shape[:-1], 0)
        else:
            exact = self.known(X).to(X)
        posterior = JoinedPosterior(learnt, exact, self.order)
        if posterior_transform is None:
            return posterior
        return posterior_transform(posterior, X)
