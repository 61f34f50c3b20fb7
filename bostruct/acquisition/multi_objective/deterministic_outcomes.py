"""Joint posterior over modeled outcomes and outcomes that are known exactly.

BoTorch's objectives may see X, but its constraints see samples alone, and so does the
scalarization of ParEGO. So the exact outcomes are put where every component looks: into the
posterior, as columns whose samples are all equal and whose variance is zero. They never
enter a covariance matrix, so there is no jitter on them, to the last bit.

Notation
    l, e, k   modeled outcomes, exact outcomes, all of them: k = l + e
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

import torch
from botorch.acquisition.objective import PosteriorTransform
from botorch.models.model import Model
from botorch.posteriors.posterior import Posterior
from botorch.posteriors.transformed import TransformedPosterior
from torch import Tensor

from bostruct.acquisition.botorch_internals import check_botorch_internal


@final
class DeterministicOutcomesPosterior(TransformedPosterior):  # type: ignore[misc]
    """A posterior over modeled outcomes, joined with exact outcomes of zero variance.

    Args:
        modeled: The posterior over the modeled outcomes, `[..., q, l]`.
        deterministic: `[..., q, e]` the exact outcomes.
        column_order: `[k]` which column of `modeled | deterministic` each outcome is.
    """

    def __init__(
        self, modeled: Posterior, deterministic: Tensor, column_order: Sequence[int]
    ) -> None:
        def join(modeled: Tensor, exact: Tensor) -> Tensor:
            exact = exact.to(modeled).expand(*modeled.shape[:-1], exact.shape[-1])
            return torch.cat([modeled, exact], dim=-1)[..., list(column_order)]

        super().__init__(
            modeled,
            sample_transform=lambda samples: join(samples, deterministic),
            mean_transform=lambda mean, _: join(mean, deterministic),
            variance_transform=lambda _, variance: join(variance, torch.zeros_like(deterministic)),
        )
        self.deterministic, self.n_outcomes = deterministic, len(column_order)

    def _extended_shape(self, sample_shape: torch.Size = torch.Size()) -> torch.Size:  # noqa: B008 - BoTorch's signature
        check_botorch_internal(self._posterior, "_extended_shape")
        shape = super()._extended_shape(sample_shape)
        return torch.Size([*shape[:-1], self.n_outcomes])

    @property
    def batch_shape(self) -> torch.Size:
        """The shape of the sets."""
        return self.deterministic.shape[:-2]


@final
class DeterministicOutcomesModel(Model):  # type: ignore[misc]
    """A model of all `k` outcomes: those of a fitted model and exact ones.

    Args:
        model: A model of the `modeled_outcomes`, in their order.
        deterministic_outcomes: `X [..., d] -> [..., e]` the other outcomes, in the order of
            `outcome_names`; None if there are none.
        modeled_outcomes: The names of the outputs of `model`.
        outcome_names: The names of all outcomes, in the order of the outputs.
    """

    num_outputs: int = 1
    batch_shape: torch.Size = torch.Size()

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
        exact = (name for name in outcome_names if name not in modeled_outcomes)
        columns = [*modeled_outcomes, *exact]
        self.column_order = [columns.index(name) for name in outcome_names]
        self.num_outputs, self.batch_shape = len(columns), torch.Size(model.batch_shape)

    def posterior(
        self,
        X: Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: PosteriorTransform | None = None,
    ) -> Posterior:
        """Return the joint posterior over outcomes `[..., q, k]` at `X [..., q, d]`.

        Args:
            X: `[..., q, d]` coordinates.
            output_indices: The columns of the outcomes to return; all by default.
            observation_noise: True adds the noise of a measured value to the modeled outcomes, a
                tensor that expands to `[..., q, k]` these variances. Exact outcomes have none.
            posterior_transform: Applied last.
        """
        if isinstance(observation_noise, Tensor):
            noise = observation_noise.expand(*X.shape[:-1], self.num_outputs)
            columns = range(int(self.model.num_outputs))
            observation_noise = noise[..., [self.column_order.index(i) for i in columns]]
        if self.deterministic_outcomes is None:
            exact = X.new_zeros(*X.shape[:-1], 0)
        else:
            exact = self.deterministic_outcomes(X).to(X)
        wanted = range(self.num_outputs) if output_indices is None else output_indices
        joint = DeterministicOutcomesPosterior(
            self.model.posterior(X, observation_noise=observation_noise),
            exact,
            [self.column_order[i] for i in wanted],
        )
        return joint if posterior_transform is None else posterior_transform(joint, X)
