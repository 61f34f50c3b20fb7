"""Hypervolume, size of the front and number of feasible structures after each evaluation.

All hypervolumes of a history are under one reference point, else they could not be compared; they
are therefore computed from the trials, and not read from the steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from torch import Tensor

from bostruct import objectives
from bostruct.campaign.analysis.outcome_table import outcome_matrix
from bostruct.campaign.records import Trial
from bostruct.objectives import OptimizationConfig

REFERENCE_PREFIX = "reference_of_"
"""Prefix of the values under which a step logs the reference point."""


class FrontState(NamedTuple):
    """State of the front after a number of evaluations.

    Args:
        hypervolume: Hypervolume in the product of the units of outcome space.
        n_front: Number of structures on the front.
        n_feasible: Number of structures whose outcomes are all known and keep every bound.
    """

    hypervolume: float
    n_front: int
    n_feasible: int


@final
@dataclass(frozen=True)
class HypervolumeHistory:
    """State of the front after each evaluation, failed and retracted ones included.

    Attributes:
        hypervolume: Hypervolumes under one reference point, in the product of the units of outcome
            space.
        n_front: Numbers of structures on the front.
        n_feasible: Numbers of structures whose outcomes are all known and keep every bound.
    """

    hypervolume: tuple[float, ...] = ()
    n_front: tuple[int, ...] = ()
    n_feasible: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.n_front)

    @classmethod
    def from_trials(
        cls,
        trials: Sequence[Trial],
        optimization_config: OptimizationConfig,
        reference: Tensor | None,
    ) -> HypervolumeHistory:
        """Return the history of a log.

        Args:
            trials: Trials in order; unfinished ones are ignored.
            optimization_config: Objectives and constraints.
            reference: `[m]` reference point, utilities; None where no result is known yet.
        """
        trials = [trial for trial in trials if trial.is_finished]
        Y = outcome_matrix(trials, optimization_config)
        is_feasible = is_complete_and_feasible(Y, optimization_config)
        states = []
        front = torch.zeros(0, dtype=torch.int64)  # rows of the front so far
        volume = 0.0
        for i, trial in enumerate(trials):
            if is_feasible[i]:
                rows = torch.cat([front, torch.tensor([i])])
                new_front = rows[objectives.pareto_front(Y[rows], optimization_config)]
                if not torch.equal(new_front, front):
                    front = new_front
                    assert reference is not None  # a result is known
                    volume = objectives.hypervolume(Y[front], optimization_config, reference)
            if not trial.is_initial_data:
                states.append((volume, len(front), int(is_feasible[: i + 1].sum())))
        return cls(*zip(*states, strict=True)) if states else cls()


def front_state(
    Y: Tensor, optimization_config: OptimizationConfig, reference: Tensor | None, front: Tensor
) -> FrontState:
    """Return the state of the front of some evaluated structures, without the history before.

    Args:
        Y: `[t, k]` outcomes.
        optimization_config: Objectives and constraints.
        reference: `[m]` reference point, utilities; None where no result is known yet.
        front: `[f]` rows on the front.
    """
    volume = 0.0
    if reference is not None:
        volume = objectives.hypervolume(Y[front], optimization_config, reference)
    n_feasible = int(is_complete_and_feasible(Y, optimization_config).sum())
    return FrontState(volume, len(front), n_feasible)


def front_metrics(
    Y: Tensor, optimization_config: OptimizationConfig, reference: Tensor, front: Tensor
) -> dict[str, float]:
    """Return the values that a step logs of the front among the evaluated structures, by name.

    Args:
        Y: `[t, k]` outcomes.
        optimization_config: Objectives and constraints.
        reference: `[m]` reference point, utilities.
        front: `[f]` rows on the front.
    """
    return {
        "front": float(len(front)),
        "feasible": float(optimization_config.is_feasible(Y).sum()),
        "hypervolume": objectives.hypervolume(Y[front], optimization_config, reference),
    }


def is_complete_and_feasible(Y: Tensor, optimization_config: OptimizationConfig) -> Tensor:
    """Return a mask `[t]` of the rows of `Y [t, k]` that are complete and keep every bound."""
    return objectives.is_complete(Y) & optimization_config.is_feasible(Y)
