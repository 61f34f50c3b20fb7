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
class DeterministicOutcomesPosterior(Posterior):  # type: ignore[misc]
    """A posterior over learnt outcomes, and exact numbers beside it.

    Args:
        modeled: Over `[..., q, l]`.
        deterministic: `[..., q, e]`.
        column_order: `[l + e]` which column of `learnt | exact` each outcome is.
    """

    def __init__(
        self, modeled: Posterior, deterministic: Tensor, column_order: Sequence[int]
    ) -> None:
        self.modeled = modeled
        self.deterministic = deterministic
        self.column_order = list(column_order)

    def _concatenate(self, modeled: Tensor, deterministic: Tensor) -> Tensor:
        deterministic = deterministic.to(modeled).expand(
            *modeled.shape[:-1], deterministic.shape[-1]
        )
        return torch.cat([modeled, deterministic], dim=-1)[..., self.column_order]

    @property
    def mean(self) -> Tensor:
        """The means, `[..., q, k]`."""
        return self._concatenate(self.modeled.mean, self.deterministic)

    @property
    def variance(self) -> Tensor:
        """The variances, `[..., q, k]`; zero where exact."""
        return self._concatenate(self.modeled.variance, torch.zeros_like(self.deterministic))

    def rsample(self, sample_shape: torch.Size | None = None) -> Tensor:
        """Return samples `[s, ..., q, k]`."""
        return self._concatenate(self.modeled.rsample(sample_shape), self.deterministic)

    def rsample_from_base_samples(self, sample_shape: torch.Size, base_samples: Tensor) -> Tensor:
        """Return the samples `[s, ..., q, k]` of given normal draws."""
        draw = self.modeled.rsample_from_base_samples
        return self._concatenate(draw(sample_shape, base_samples), self.deterministic)

    def _extended_shape(self, sample_shape: torch.Size = torch.Size()) -> torch.Size:  # noqa: B008 - BoTorch's signature
        shape = self.modeled._extended_shape(sample_shape)
        return torch.Size([*shape[:-1], len(self.column_order)])

    @property
    def base_sample_shape(self) -> torch.Size:
        """The shape of the normal draws: those of the learnt outcomes."""
        return torch.Size(self.modeled.base_sample_shape)

    @property
    def batch_range(self) -> tuple[int, int]:
        """The axes of the base samples that run over sets."""
        start, end = self.modeled.batch_range
        return start, end

    @property
    def batch_shape(self) -> torch.Size:
        """The shape of the sets."""
        return self.deterministic.shape[:-2]

    @property
    def device(self) -> torch.device:
        """Where the posterior lives."""
        return self.deterministic.device

    @property
    def dtype(self) -> torch.dtype:
        """The number format."""
        return self.deterministic.dtype


@final
class DeterministicOutcomesModel(Model):  # type: ignore[misc]
    """A model of all `k` outcomes, made of a learnt one and exact numbers.

    Args:
        model: Of the `modeled_outcomes` outcomes, in their order.
        deterministic_outcomes: `X [..., d] -> [..., e]` the others, in the order of `outcome_names`.
        modeled_outcomes: The names of the outputs of `model`.
        outcome_names: The names of all outcomes, in the order wanted.
    """

    def __init__(
        self,
        model: Model,
        deterministic_outcomes: Callable[[Tensor], Tensor] | None,
        modeled_outcomes: Sequence[str],
        outcome_names: Sequence[str],
    ) -> None:
        super().__init__()
        self.model = model
        self.deterministic_outcomes = deterministic_outcomes
        columns = [
            *modeled_outcomes,
            *(name for name in outcome_names if name not in modeled_outcomes),
        ]
        self.column_order = [columns.index(name) for name in outcome_names]

    @property
    def num_outputs(self) -> int:
        """All outcomes, `k`."""
        return len(self.column_order)

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
        if self.deterministic_outcomes is None:
            exact = X.new_zeros(*X.shape[:-1], 0)
        else:
            exact = self.deterministic_outcomes(X).to(X)
        posterior = DeterministicOutcomesPosterior(learnt, exact, self.column_order)
        if posterior_transform is None:
            return posterior
        return posterior_transform(posterior, X)
