"""Objectives of a campaign in its space: outcomes to be modeled, and outcomes known exactly."""

from __future__ import annotations

from bostruct.runtime import botorch_import as botorch_import

# isort: split

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from botorch.models.model import Model
from torch import Tensor

from bostruct.acquisition.multi_objective.deterministic_outcomes import DeterministicOutcomesModel
from bostruct.campaign.records import OutcomePrediction
from bostruct.errors import InputError, error_message
from bostruct.objectives import OptimizationConfig, infer_reference_point
from bostruct.spaces import DiscreteSpace, Space

N_REPRESENTATIVE_MEMBERS = 2048
"""Members of a larger space whose predictions the reference point depends on."""


@final
@dataclass(frozen=True)
class LearnedObjectives:
    """Objectives and constraints, in a space that may know some of the outcomes at no cost.

    Args:
        optimization_config: The objectives and constraints.
        space: The space of the campaign.

    Raises:
        InputError: The space knows all of the outcomes, so that nothing is left to model.
    """

    optimization_config: OptimizationConfig
    space: Space

    def __post_init__(self) -> None:
        if not self.learned_names:
            condition = "hold one that only an evaluation tells"
            way_out = "The space knows all of these exactly: list it and sort."
            names = list(self.optimization_config.outcome_names)
            raise InputError(error_message("objectives", condition, names, way_out))

    @cached_property
    def exact_names(self) -> tuple[str, ...]:
        """The outcomes that the space knows, in the order of the optimization config."""
        if not isinstance(self.space, DiscreteSpace):
            return ()
        member = self.space.sample(1, torch.Generator().manual_seed(0))
        exact = self.space.exact_properties(member)
        return tuple(name for name in self.optimization_config.outcome_names if name in exact)

    @property
    def learned_names(self) -> tuple[str, ...]:
        """The other outcomes, which a surrogate models, in the same order."""
        names = self.optimization_config.outcome_names
        return tuple(name for name in names if name not in self.exact_names)

    @property
    def learned_columns(self) -> list[int]:
        """The columns of the modeled outcomes among all outcomes."""
        return [self.optimization_config.outcome_names.index(name) for name in self.learned_names]

    @property
    def deterministic_outcomes(self) -> Callable[[Tensor], Tensor] | None:
        """The function of X `[..., d]` to the exact outcomes `[..., e]`; None without any."""
        return self._deterministic_outcomes if self.exact_names else None

    def _deterministic_outcomes(self, X: Tensor) -> Tensor:
        assert isinstance(self.space, DiscreteSpace)
        exact, logs = self.space.exact_properties(X), self.optimization_config.log_outcomes
        columns = (
            exact[name].log10() if name in logs else exact[name] for name in self.exact_names
        )
        return torch.stack(list(columns), -1)

    def joint_model(self, model: Model) -> DeterministicOutcomesModel:
        """Return a model of all outcomes, given one of the modeled outcomes."""
        names = self.optimization_config.outcome_names
        return DeterministicOutcomesModel(
            model, self.deterministic_outcomes, self.learned_names, names
        )

    def exact_predictions(self, X: Tensor) -> list[tuple[OutcomePrediction, ...]]:
        """Return the exact outcomes of X `[n, d]`, for the log."""
        if not self.exact_names or not len(X):
            return [() for _ in X]
        return [
            tuple(
                OutcomePrediction(name, value, is_exact=True)
                for name, value in zip(self.exact_names, row, strict=True)
            )
            for row in self._deterministic_outcomes(X).tolist()
        ]

    def outcome_predictions(
        self, tensors: Mapping[str, Tensor], selected: Sequence[int]
    ) -> list[tuple[OutcomePrediction, ...]]:
        """Return the predictions of selected candidates, for the log."""
        exact = self.exact_predictions(tensors["candidates.X"][list(selected)])
        predictions = []
        for row, exact_outcomes in zip(selected, exact, strict=True):
            numbers = (
                tensors[f"candidates.{name}"][row].tolist()
                for name in ("mean", "latent_variance", "predictive_variance")
            )
            modeled = zip(self.learned_names, *numbers, strict=True)
            by_name = {outcome.name: outcome for outcome in exact_outcomes}
            by_name |= {name: OutcomePrediction(name, *values) for name, *values in modeled}
            names = self.optimization_config.outcome_names
            predictions.append(tuple(by_name[name] for name in names))
        return predictions

    def representative_members(self) -> Tensor:
        """Return members `[s, d]` of the space: all of a small one, else a random sample."""
        space = self.space
        if isinstance(space, DiscreteSpace):
            size = space.size
            if size is not None and size <= N_REPRESENTATIVE_MEMBERS:
                return space.members(0, size)
        return space.sample(N_REPRESENTATIVE_MEMBERS, torch.Generator().manual_seed(0))

    def reference_point(self, Y: Tensor, Y_predicted: Tensor) -> Tensor:
        """Return the reference point, utilities `[m]`.

        The user's where given. Else a tenth of the range behind the worst of the evaluated
        outcomes and of those predicted for representative members: the ends of a front lie
        where the first few structures have not been.

        Args:
            Y: `[t, k]` evaluated outcomes.
            Y_predicted: `[s, k]` mean predictions of `representative_members`.
        """
        return infer_reference_point(torch.cat([Y, Y_predicted.to(Y)]), self.optimization_config)
