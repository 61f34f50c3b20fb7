"""Hypervolume and recall of a Pareto front after each evaluation of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from bostruct.bench.multi_objective.enumerated_front import EnumeratedFront
from bostruct.bench.multi_objective.run import FrontRun
from bostruct.objectives import hypervolume, infer_reference_point, pareto_front
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
        own = {name: value for name, value in vars(self).items() if name != "run"}
        return self.run.json() | own


@final
@dataclass(frozen=True, eq=False)
class HypervolumeScale:
    """Total hypervolume, of which those of runs are fractions.

    Args:
        optimization_config: Objectives and constraints.
        reference_point: `[m]` reference point in utilities.
        total: Hypervolume of the true front, or of the front of all runs together.
    """

    optimization_config: OptimizationConfig
    reference_point: Tensor
    total: float

    @classmethod
    def from_outcomes(cls, Y: Tensor, optimization_config: OptimizationConfig) -> HypervolumeScale:
        """Return the scale on which the front of all outcomes `Y [n, k]` has the hypervolume 1."""
        reference_point = infer_reference_point(Y, optimization_config)
        total = hypervolume(Y, optimization_config, reference_point)
        return cls(optimization_config, reference_point, total)

    def fraction(self, Y: Tensor) -> float:
        """Return the hypervolume of outcomes `Y [n, k]` as a fraction of the total."""
        return hypervolume(Y, self.optimization_config, self.reference_point) / self.total

    def history(self, Y: Tensor) -> tuple[float, ...]:
        """Return the fraction of the hypervolume after each row of outcomes `Y [n, k]`."""
        history: list[float] = []
        before: list[int] = []
        for n in range(1, len(Y) + 1):
            front = pareto_front(Y[:n], self.optimization_config).tolist()
            same = history and front == before
            history.append(history[-1] if same else self.fraction(Y[:n]))
            before = front
        return tuple(history)


def enumerated_recovery(
    run: FrontRun, enumerated_front: EnumeratedFront, scale: HypervolumeScale
) -> FrontRecovery:
    """Return the recovery of the true front by a run.

    Members without a valid outcome in the run do not count; the others count with their true
    outcomes, whatever the run recorded.
    """
    table, config = enumerated_front, scale.optimization_config
    index = torch.tensor([table.member_index(x) for x in run.X])
    true = table.outcomes[index]
    valid = run.Y.isfinite().all(-1)
    hits = torch.tensor([i in table.front_indices for i in index.tolist()]) & valid
    final_front = pareto_front(run.Y, config)
    wrong = (run.Y[final_front] - true[final_front]).abs() > 1e-6 * true[final_front].abs()
    falsely_feasible = valid & config.is_feasible(run.Y) & ~config.is_feasible(true)
    attainable = table.outcomes.clone()
    attainable[index] = torch.nan
    attainable[index[valid]] = table.outcomes[index[valid]]
    return FrontRecovery(
        run,
        scale.history(torch.where(valid.unsqueeze(-1), true, torch.nan)),
        tuple((hits.cumsum(0) / len(table.front_indices)).tolist()),
        scale.fraction(attainable),
        int(wrong.any(-1).sum()),
        int(falsely_feasible.sum()),
    )
