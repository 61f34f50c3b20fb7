"""How a front grew: what each evaluation of a campaign with goals has added.

All hypervolumes of a series are under one reference point, else they could not be
compared; it is therefore computed from the trials, and not read from the steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from torch import Tensor

from bostruct.campaign.analysis.outcome_table import outcome_matrix
from bostruct.campaign.records import Trial
from bostruct.objectives import OptimizationConfig, hypervolume, pareto_front
from bostruct.objectives.pareto import is_complete

REFERENCE_PREFIX = "reference_of_"
"""How the names begin under which a step logs the reference point."""


class FrontState(NamedTuple):
    """Where a front stands.

    Args:
        hypervolume: In the product of the units of outcome space.
        n_front: Structures on it.
        n_feasible: Structures of which every outcome is known and every bound is kept.
    """

    hypervolume: float
    n_front: int
    n_feasible: int


@final
@dataclass(frozen=True)
class HypervolumeHistory:
    """Where the front stood after each evaluation, in the order asked for.

    A failed evaluation counts, and so does one that was retracted: it was paid for.

    Attributes:
        hypervolume: Under one reference point, in the product of the units of outcome
            space.
        n_front: Structures on the front.
        n_feasible: Structures of which every outcome is known and every bound is kept.
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
        """Return the series of a log.

        Args:
            trials: All so far in the order asked; what is not finished is left out.
            optimization_config: Of the campaign.
            reference: `[m]` utilities; None where nothing is known yet.
        """
        trials = [trial for trial in trials if trial.is_finished]
        Y = outcome_matrix(trials, optimization_config)
        sound = is_complete_and_feasible(Y, optimization_config)
        volumes, sizes, counts = [], [], []
        best = torch.zeros(0, dtype=torch.int64)  # rows of the front so far
        volume = 0.0
        for i, trial in enumerate(trials):
            if sound[i]:
                rows = torch.cat([best, torch.tensor([i])])
                now = rows[pareto_front(Y[rows], optimization_config)]
                if not torch.equal(now, best):
                    best = now
                    assert reference is not None  # something is known
                    volume = hypervolume(Y[best], optimization_config, reference)
            if not trial.is_initial_data:
                volumes.append(volume)
                sizes.append(len(best))
                counts.append(int(sound[: i + 1].sum()))
        return cls(tuple(volumes), tuple(sizes), tuple(counts))


def front_state_after(
    trials: Sequence[Trial],
    optimization_config: OptimizationConfig,
    reference: Tensor | None,
    n: int,
) -> FrontState:
    """Return where the front stood after `n` evaluations, without all before.

    Args:
        trials: All so far in the order asked; what is not finished is left out.
        optimization_config: Of the campaign.
        reference: `[m]` utilities; None where nothing is known yet.
        n: Evaluations, failed and retracted ones counted.
    """
    finished = [trial for trial in trials if trial.is_finished]
    given = [trial for trial in finished if trial.is_initial_data]
    Y = outcome_matrix(
        given + [trial for trial in finished if not trial.is_initial_data][:n],
        optimization_config,
    )
    volume = 0.0 if reference is None else hypervolume(Y, optimization_config, reference)
    return FrontState(
        volume,
        len(pareto_front(Y, optimization_config)),
        int(is_complete_and_feasible(Y, optimization_config).sum()),
    )


def front_metrics(
    Y: Tensor, optimization_config: OptimizationConfig, reference: Tensor
) -> dict[str, float]:
    """Return what a step logs of the front among `Y [t, k]`, by name."""
    return {
        "front": float(len(pareto_front(Y, optimization_config))),
        "feasible": float(optimization_config.is_feasible(Y).sum()),
        "hypervolume": hypervolume(Y, optimization_config, reference),
    }


def is_complete_and_feasible(Y: Tensor, optimization_config: OptimizationConfig) -> Tensor:
    """Return `[t]` which rows of `Y [t, k]` are known in full and keep every bound."""
    return is_complete(Y) & optimization_config.is_feasible(Y)
