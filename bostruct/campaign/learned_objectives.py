"""The goals of a campaign in its space: what is learnt, and what is known exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from bostruct.campaign.records import OutcomePrediction
from bostruct.errors import InputError, error_message
from bostruct.objectives import OptimizationConfig, infer_reference_point
from bostruct.spaces import DiscreteSpace, Space

N_REPRESENTATIVE_MEMBERS = 2048
"""Members of a space that the reference point looks at, where it has more."""


@final
@dataclass(frozen=True)
class LearnedObjectives:
    """Goals, in a space that may know some of the outcomes at no cost.

    Args:
        optimization_config: What is wanted.
        space: What may be proposed.

    Raises:
        InputError: the space knows all of the outcomes: nothing is left to learn.
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
        """The outcomes that the space knows, in the order of the goals."""
        if not isinstance(self.space, DiscreteSpace):
            return ()
        there = self.space.exact_properties(self.space.sample(1, torch.Generator().manual_seed(0)))
        return tuple(name for name in self.optimization_config.outcome_names if name in there)

    @property
    def learned_names(self) -> tuple[str, ...]:
        """The others."""
        return tuple(
            name for name in self.optimization_config.outcome_names if name not in self.exact_names
        )

    @property
    def learned_columns(self) -> list[int]:
        """Where those are among the outcomes."""
        return [self.optimization_config.outcome_names.index(name) for name in self.learned_names]

    @property
    def deterministic_outcomes(self) -> Callable[[Tensor], Tensor] | None:
        """Of X `[..., d]` the exact outcomes `[..., e]`; None where there are none."""
        return self._deterministic_outcomes if self.exact_names else None

    def _deterministic_outcomes(self, X: Tensor) -> Tensor:
        assert isinstance(self.space, DiscreteSpace)
        there = self.space.exact_properties(X)
        logs = self.optimization_config.log_outcomes
        parts = [there[name].log10() if name in logs else there[name] for name in self.exact_names]
        return torch.stack(parts, -1)

    def exact_predictions(self, X: Tensor) -> list[tuple[OutcomePrediction, ...]]:
        """Return the exact outcomes of X `[n, d]`, for the log."""
        if not self.exact_names or not len(X):
            return [() for _ in X]
        rows = self._deterministic_outcomes(X).tolist()
        return [
            tuple(
                OutcomePrediction(n, v, is_exact=True)
                for n, v in zip(self.exact_names, row, strict=True)
            )
            for row in rows
        ]

    def representative_members(self) -> Tensor:
        """Return members `[s, d]` that stand for the space: all, if it has few."""
        size = self.space.size if isinstance(self.space, DiscreteSpace) else None
        if (
            isinstance(self.space, DiscreteSpace)
            and size is not None
            and size <= N_REPRESENTATIVE_MEMBERS
        ):
            return self.space.members(0, size)
        return self.space.sample(N_REPRESENTATIVE_MEMBERS, torch.Generator().manual_seed(0))

    def reference_point(self, Y: Tensor, Y_predicted: Tensor) -> Tensor:
        """Return the reference point, utilities `[m]`.

        The user's where given. Else a tenth of the range behind the worst of what was
        found and of what is expected of the members that stand for the space: the ends
        of a front lie where the first few structures have not been.

        Args:
            Y: `[t, k]` what was found.
            Y_predicted: `[s, k]` of `members`.
        """
        return infer_reference_point(torch.cat([Y, Y_predicted.to(Y)]), self.optimization_config)
