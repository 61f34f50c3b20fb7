"""How much of a front has been found, after each evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

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
    """What one search had found, evaluation by evaluation.

    Args:
        run: The search.
        hypervolume: Share of the hypervolume of the true front, after each evaluation.
        recall: Share of the members of that front, likewise; nothing without a truth.
        attainable_hypervolume: Share of the hypervolume that it could have, as what failed or is in
            quarantine cannot be found.
        n_absurd: Members of the front at the end whose outcomes are not the true ones.
        n_infeasible: Those that are believed to be good enough, and are not.
    """

    run: FrontRun
    hypervolume: tuple[float, ...]
    recall: tuple[float, ...] = ()
    attainable_hypervolume: float = 1.0
    n_absurd: int = 0
    n_infeasible: int = 0

    def evaluations_to(self, fraction: float) -> int | None:
        """Return the evaluations to a share of the hypervolume, None if not reached."""
        return next((i + 1 for i, v in enumerate(self.hypervolume) if v >= fraction), None)


@final
@dataclass(frozen=True, eq=False)
class HypervolumeScale:
    """What hypervolumes are compared with where the truth is not known.

    Args:
        reference_point: Utilities `[m]`.
        hypervolume: Of the front of all that anyone found.
    """

    reference_point: Tensor
    hypervolume: float


def hypervolume_scale(
    runs: Sequence[FrontRun], optimization_config: OptimizationConfig
) -> HypervolumeScale:
    """Return the scale of searches in a space that cannot be listed."""
    Y = torch.cat([trace.Y for trace in runs])
    Y = Y[Y.isfinite().all(-1)]
    reference = reference_point_from_range(optimization_config.utilities(Y))
    return HypervolumeScale(reference, hypervolume(Y, optimization_config, reference))


def enumerated_recovery(run: FrontRun, enumerated_front: EnumeratedFront) -> FrontRecovery:
    """Return what a search found of the true front.

    What it believes decides what counts as found; what is true, how much it is worth.
    """
    screen = enumerated_front.task
    places = [enumerated_front.member_index(x) for x in run.X]
    true = enumerated_front.outcomes[places]
    sound = run.Y.isfinite().all(-1)
    goals = screen.optimization_config
    counted = torch.where(sound.unsqueeze(-1), true, torch.nan)
    volume = _hypervolume_history(
        counted, goals, enumerated_front.reference_point, enumerated_front.hypervolume
    )
    hits = torch.tensor([place in enumerated_front.front_indices for place in places]) & sound
    believed = pareto_front(run.Y, goals)
    wrong = (run.Y[believed] - true[believed]).abs() > 1e-6 * true[believed].abs()
    promised = sound & goals.is_feasible(run.Y) & ~goals.is_feasible(true)
    asked = torch.tensor(places)
    left = enumerated_front.outcomes.clone()
    left[asked] = torch.nan
    left[asked[sound]] = enumerated_front.outcomes[asked[sound]]
    reach = (
        hypervolume(left, goals, enumerated_front.reference_point) / enumerated_front.hypervolume
    )
    return FrontRecovery(
        run,
        volume,
        tuple((hits.cumsum(0) / len(enumerated_front.front_indices)).tolist()),
        reach,
        int(wrong.any(-1).sum()),
        int(promised.sum()),
    )


def relative_recovery(
    run: FrontRun, task: MultiObjectiveTask, scale: HypervolumeScale
) -> FrontRecovery:
    """Return what a search found, as a share of what all have found together."""
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
    """Return the share of a hypervolume after each row of `Y [n, k]`."""
    found: list[float] = []
    before: list[int] = []
    for n in range(1, len(Y) + 1):
        now = pareto_front(Y[:n], optimization_config).tolist()
        if now != before or not found:
            found.append(
                hypervolume(Y[:n], optimization_config, reference_point) / total_hypervolume
            )
        else:
            found.append(found[-1])
        before = now
    return tuple(found)
