"""How much of a front has been found, after each evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.bench.multi_objective.enumerated_front import Truth, behind
from bostruct.bench.multi_objective.run import Trace
from bostruct.bench.multi_objective.tasks import Screen
from bostruct.objectives import front, hypervolume
from bostruct.objectives.optimization_config import Goals


@final
@dataclass(frozen=True, eq=False)
class Found:
    """What one search had found, evaluation by evaluation.

    Args:
        trace: The search.
        volume: Share of the hypervolume of the true front, after each evaluation.
        recall: Share of the members of that front, likewise; nothing without a truth.
        reach: Share of the hypervolume that it could have, as what failed or is in
            quarantine cannot be found.
        absurd: Members of the front at the end whose outcomes are not the true ones.
        infeasible: Those that are believed to be good enough, and are not.
    """

    trace: Trace
    volume: tuple[float, ...]
    recall: tuple[float, ...] = ()
    reach: float = 1.0
    absurd: int = 0
    infeasible: int = 0

    def needed(self, share: float) -> int | None:
        """Return the evaluations to a share of the hypervolume, None if not reached."""
        return next((i + 1 for i, v in enumerate(self.volume) if v >= share), None)


@final
@dataclass(frozen=True, eq=False)
class Scale:
    """What hypervolumes are compared with where the truth is not known.

    Args:
        reference: Utilities `[m]`.
        volume: Of the front of all that anyone found.
    """

    reference: Tensor
    volume: float


def scale(traces: Sequence[Trace], goals: Goals) -> Scale:
    """Return the scale of searches in a space that cannot be listed."""
    Y = torch.cat([trace.Y for trace in traces])
    Y = Y[Y.isfinite().all(-1)]
    reference = behind(goals.utilities(Y))
    return Scale(reference, hypervolume(Y, goals, reference))


def known(trace: Trace, truth: Truth) -> Found:
    """Return what a search found of the true front.

    What it believes decides what counts as found; what is true, how much it is worth.
    """
    screen = truth.screen
    places = [truth.place(x) for x in trace.X]
    true = truth.outcomes[places]
    sound = trace.Y.isfinite().all(-1)
    goals = screen.goals
    counted = torch.where(sound.unsqueeze(-1), true, torch.nan)
    volume = _grown(counted, goals, truth.reference, truth.volume)
    hits = torch.tensor([place in truth.front for place in places]) & sound
    believed = front(trace.Y, goals)
    wrong = (trace.Y[believed] - true[believed]).abs() > 1e-6 * true[believed].abs()
    promised = sound & goals.feasible(trace.Y) & ~goals.feasible(true)
    asked = torch.tensor(places)
    left = truth.outcomes.clone()
    left[asked] = torch.nan
    left[asked[sound]] = truth.outcomes[asked[sound]]
    reach = hypervolume(left, goals, truth.reference) / truth.volume
    return Found(
        trace,
        volume,
        tuple((hits.cumsum(0) / len(truth.front)).tolist()),
        reach,
        int(wrong.any(-1).sum()),
        int(promised.sum()),
    )


def relative(trace: Trace, screen: Screen, scale: Scale) -> Found:
    """Return what a search found, as a share of what all have found together."""
    return Found(trace, _grown(trace.Y, screen.goals, scale.reference, scale.volume))


def _grown(
    Y: Tensor, goals: Goals, reference: Tensor, whole: float
) -> tuple[float, ...]:
    """Return the share of a hypervolume after each row of `Y [n, k]`."""
    found: list[float] = []
    before: list[int] = []
    for n in range(1, len(Y) + 1):
        now = front(Y[:n], goals).tolist()
        if now != before or not found:
            found.append(hypervolume(Y[:n], goals, reference) / whole)
        else:
            found.append(found[-1])
        before = now
    return tuple(found)
