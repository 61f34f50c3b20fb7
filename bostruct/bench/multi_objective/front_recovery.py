"""Hypervolume and recall of a Pareto front after each evaluation of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from bostruct.bench.multi_objective.enumerated_front import (
    EnumeratedFront,
    reference_point_from_range,
)
from bostruct.bench.multi_objective.run import FrontRun
from bostruct.bench.multi_objective.tasks import MultiObjectiveTask
from bostruct.objectives import hypervolume, pareto_front
from bostruct.objectives.optimization_config import OptimizationConfig


@final
@dataclass(frozen=True, eq=False)
class FrontRecovery:
    """Hypervolume and recall of one run, evaluation by evaluation.

    Args:
        run: Run with its members and outcomes.
        hypervolume: Fraction of the reference hypervolume after each evaluation.
        recall: Fraction of the members of the true front after each evaluation; empty where the
            true front is not known.
        attainable_hypervolume: Fraction of the hypervolume left by failed and quarantined
            evaluations, which cannot be recovered.
        n_absurd: Number of members of the final front with wrong outcomes.
        n_infeasible: Number of infeasible members taken for feasible ones.
    """

    run: FrontRun
    hypervolume: tuple[float, ...]
    recall: tuple[float, ...] = ()
    attainable_hypervolume: float = 1.0
    n_absurd: int = 0
    n_infeasible: int = 0

    def evaluations_to(self, fraction: float) -> int | None:
        """Return the evaluations to a fraction of the hypervolume, None if not reached."""
        return next((i + 1 for i, v in enumerate(self.hypervolume) if v >= fraction), None)

    def json(self) -> dict[str, Any]:
        """Return the run and its recovery as JSON values."""
        return {
            **self.run.json(),
            "hypervolume": list(self.hypervolume),
            "recall": list(self.recall),
            "attainable_hypervolume": self.attainable_hypervolume,
            "n_absurd": self.n_absurd,
            "n_infeasible": self.n_infeasible,
        }


@final
@dataclass(frozen=True, eq=False)
class HypervolumeScale:
    """Reference of hypervolumes where the true front is not known.

    Args:
        reference_point: `[m]` reference point in utilities.
        hypervolume: Hypervolume of the front of all runs together.
    """

    reference_point: Tensor
    hypervolume: float


def hypervolume_scale(
    runs: Sequence[FrontRun], optimization_config: OptimizationConfig
) -> HypervolumeScale:
    """Return the common reference of runs in a space that cannot be listed."""
    Y = torch.cat([run.Y for run in runs])
    Y = Y[Y.isfinite().all(-1)]
    reference = reference_point_from_range(optimization_config.utilities(Y))
    return HypervolumeScale(reference, hypervolume(Y, optimization_config, reference))


def enumerated_recovery(run: FrontRun, enumerated_front: EnumeratedFront) -> FrontRecovery:
    """Return the recovery of the true front by a run.

    Members without a valid outcome in the run do not count; the others count with their true
    outcomes, whatever the run recorded.
    """
    table, config = enumerated_front, enumerated_front.task.optimization_config
    index = torch.tensor([table.member_index(x) for x in run.X])
    true = table.outcomes[index]
    valid = run.Y.isfinite().all(-1)
    history = _hypervolume_history(
        torch.where(valid.unsqueeze(-1), true, torch.nan),
        config,
        table.reference_point,
        table.hypervolume,
    )
    hits = torch.tensor([i in table.front_indices for i in index.tolist()]) & valid
    final_front = pareto_front(run.Y, config)
    wrong = (run.Y[final_front] - true[final_front]).abs() > 1e-6 * true[final_front].abs()
    falsely_feasible = valid & config.is_feasible(run.Y) & ~config.is_feasible(true)
    attainable = table.outcomes.clone()
    attainable[index] = torch.nan
    attainable[index[valid]] = table.outcomes[index[valid]]
    return FrontRecovery(
        run,
        history,
        tuple((hits.cumsum(0) / len(table.front_indices)).tolist()),
        hypervolume(attainable, config, table.reference_point) / table.hypervolume,
        int(wrong.any(-1).sum()),
        int(falsely_feasible.sum()),
    )


def relative_recovery(
    run: FrontRun, task: MultiObjectiveTask, scale: HypervolumeScale
) -> FrontRecovery:
    """Return the hypervolume of a run as a fraction of that of all runs together."""
    return FrontRecovery(
        run,
        _hypervolume_history(
            run.Y, task.optimization_config, scale.reference_point, scale.hypervolume
        ),
    )


def _hypervolume_history(
    Y: Tensor,
    optimization_config: OptimizationConfig,
    reference_point: Tensor,
    total_hypervolume: float,
) -> tuple[float, ...]:
    """Return the fraction of a hypervolume after each row of `Y [n, k]`."""
    history: list[float] = []
    before: list[int] = []
    for n in range(1, len(Y) + 1):
        front = pareto_front(Y[:n], optimization_config).tolist()
        if front != before or not history:
            volume = hypervolume(Y[:n], optimization_config, reference_point)
            history.append(volume / total_hypervolume)
        else:
            history.append(history[-1])
        before = front
    return tuple(history)
