"""Fronts, what they are worth, and what an acquisition of several objectives gets.

Notation
    Y          [t, k]   outcomes of what was evaluated, NaN where unknown
    utilities  [t, m]   larger is better
    reference  [m]      utilities of the point that bounds what counts from below

A row is complete if every outcome is known. Only complete rows that keep every bound
are on a front or have a hypervolume.

[I11] H. Ishibuchi, N. Akedo, Y. Nojima, GECCO 2011: a tenth of the range behind
      the worst, which BoTorch's `infer_reference_point` takes too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, final, runtime_checkable

import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.models.model import Model
from torch import Tensor

from bostruct.acquisition.multi_objective.deterministic_outcomes import (
    DeterministicOutcomesModel,
)
from bostruct.errors import InputError, check_shape, error_message
from bostruct.objectives.optimization_config import OptimizationConfig


@final
@dataclass(frozen=True, eq=False)
class AcquisitionContext:
    """What is believed and wanted at one step: an acquisition is built on it.

    Args:
        model: A fitted BoTorch model of the `modeled_outcomes` outcomes, in their order.
        optimization_config: What is wanted.
        modeled_outcomes: The outcomes that the model predicts.
        deterministic_outcomes: Of `X [..., d]` the other outcomes `[..., k - len(learnt)]`, exact, in
            the order of the goals. None where all are learnt.
        X: `[t, d]` what was evaluated.
        Y: `[t, k]` its outcomes, NaN where unknown.
        reference_point: `[m]` utilities, see `reference_point`.
        X_pending: `[p, d]` what is being evaluated.
        seed: Of the Monte-Carlo forms. Equal seeds give equal values.

    Raises:
        InputError: `modeled_outcomes` names what is no outcome, or `deterministic_outcomes` does not match it.
        ShapeError: a tensor of the wrong shape.
    """

    model: Model
    optimization_config: OptimizationConfig
    modeled_outcomes: tuple[str, ...]
    deterministic_outcomes: Callable[[Tensor], Tensor] | None
    X: Tensor
    Y: Tensor
    reference_point: Tensor
    X_pending: Tensor | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        names = self.optimization_config.outcome_names
        if len(set(self.modeled_outcomes)) != len(self.modeled_outcomes) or set(
            self.modeled_outcomes
        ) - set(names):
            way_out = f"The goals have {list(names)}."
            condition = "name different outcomes of the goals"
            raise InputError(
                error_message("modeled_outcomes", condition, list(self.modeled_outcomes), way_out)
            )
        rest = [name for name in names if name not in self.modeled_outcomes]
        if (self.deterministic_outcomes is None) != (not rest):
            condition = "be a function of X exactly if not all outcomes are learnt"
            way_out = f"Not learnt: {rest}."
            raise InputError(
                error_message(
                    "deterministic_outcomes",
                    condition,
                    self.deterministic_outcomes,
                    way_out,
                )
            )
        if self.model.num_outputs != len(self.modeled_outcomes):
            condition = f"have an output per learnt outcome, {list(self.modeled_outcomes)}"
            found = f"{self.model.num_outputs} outputs"
            raise InputError(error_message("model", condition, found, "In the same order."))
        check_shape("Y", self.Y, [len(self.X), len(names)], "A row per row of X.")
        shape = [len(self.optimization_config.objectives)]
        check_shape("reference_point", self.reference_point, shape, "A utility per objective.")

    def with_kriging_believer(self, model: Model | None = None) -> AcquisitionContext:
        """Return the case in which what is pending came out as the model means it.

        For the forms that look at one candidate at a time: what is pending is on the
        front of that case, so that nothing is gained twice.

        Args:
            model: This model, conditioned on those outcomes; None keeps it as it is.
        """
        if self.X_pending is None or not len(self.X_pending):
            return replace(self, model=model or self.model, X_pending=None)
        joined = DeterministicOutcomesModel(
            self.model,
            self.deterministic_outcomes,
            self.modeled_outcomes,
            self.optimization_config.outcome_names,
        )
        with torch.no_grad():
            mean = joined.posterior(self.X_pending.unsqueeze(-2)).mean.squeeze(-2)
        return replace(
            self,
            model=model or self.model,
            X=torch.cat([self.X, self.X_pending.to(self.X)]),
            Y=torch.cat([self.Y, mean.to(self.Y)]),
            X_pending=None,
        )


@runtime_checkable
class MultiObjectiveAcquisition(Protocol):
    """What a look at a structure is worth for goals, written down before any data."""

    @property
    def supports_q_batch(self) -> bool:
        """Whether one value is given to `q > 1` candidates, and pending ones count."""
        ...

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return BoTorch's acquisition function, to be maximised over `X [b, q, d]`."""
        ...

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        ...
