"""What a campaign with goals may yet find: predictions of what was not evaluated.

Two kinds: structures that were asked for and whose outcomes are not known, with what
was said of them; and the best candidates of the last search that nobody asked for,
with what its model said. Of each learnt outcome the mean, the calibrated sigma and an
interval, all in outcome space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.campaign.analysis.calibration import Calibrated, Expected, calibrated
from bostruct.campaign.analysis.outcome_table import alone
from bostruct.campaign.learned_objectives import Aims
from bostruct.campaign.log.reader import Log
from bostruct.campaign.records import OPEN, Trial
from bostruct.candidates import Candidates, choose
from bostruct.errors import LogError, check_count
from bostruct.objectives import Goals
from bostruct.spaces import Space


@final
@dataclass(frozen=True, eq=False)
class Prospect:
    """A structure that was not evaluated.

    Attributes:
        trial: Its number, if it was asked for.
        candidate: Its row among the candidates of the last search, if it was not.
        origin: The generator that proposed it.
        X: `[d]` its coordinates.
        expected: Of every outcome, in outcome space; exact ones have sigma 0.
    """

    trial: int | None
    candidate: int | None
    origin: str
    X: Tensor
    expected: Mapping[str, Expected]


def prospects(log: Log, count: int = 8) -> list[Prospect]:
    """Return what was asked for and is not known, then the best of the last search.

    Without the space of the campaign only the former are known, and of a file that is
    damaged none of the latter.

    Args:
        log: Of a campaign with goals.
        count: Candidates at most.

    Raises:
        InputError: the count is below 1.
    """
    check_count("count", count)
    goals = log.goals
    if goals is None:
        return []
    trials = log.undecoded()
    quality = {name: calibrated(alone(trials, goals, name)) for name in goals.names}
    found = [
        Prospect(each.number, None, each.origin, each.X, _said(each, quality))
        for each in trials
        if each.state in OPEN and each.said and len(each.said) == len(goals.names)
    ]
    steps = [step for step in log.steps() if step.file]
    if steps and log.space is not None:
        try:
            tensors = log.arrays(steps[-1].number)
            origins = log.origins(steps[-1].number)
        except LogError:
            return found
        seen = torch.stack([trial.X for trial in trials])
        found += _searched(tensors, origins, seen, goals, log.space, quality, count)
    return found


def _said(trial: Trial, quality: Mapping[str, Calibrated]) -> dict[str, Expected]:
    return {
        each.name: quality[each.name].expect(each.mean, each.observed)
        for each in trial.said
    }


def _searched(
    tensors: Mapping[str, Tensor],
    origins: Sequence[str],
    seen: Tensor,
    goals: Goals,
    space: Space,
    quality: Mapping[str, Calibrated],
    count: int,
) -> list[Prospect]:
    """Return the candidates worth most that are like none that was seen `[t, d]`."""
    aims = Aims(goals, space)
    candidates = Candidates(
        X=tensors["candidates.X"],
        value=tensors["candidates.acquisition"],
        origin=origins,
        steps=tensors["candidates.steps"],
        converged=tensors["candidates.converged"],
    )
    old = torch.ones(len(seen), dtype=torch.bool)  # the same, however far relaxed
    rows = choose(candidates, count, space=space, seen=seen, resting=old)
    X = candidates.X[rows]
    mean = tensors["candidates.mean"][rows].tolist()
    variance = tensors["candidates.observed"][rows].tolist()
    found = []
    for i, (row, sure) in enumerate(zip(rows.tolist(), aims.said(X), strict=True)):
        expected = {
            each.name: quality[each.name].expect(each.mean, 0.0) for each in sure
        }
        for j, name in enumerate(aims.learnt):
            expected[name] = quality[name].expect(mean[i][j], variance[i][j])
        found.append(Prospect(None, row, origins[row], X[i], expected))
    return found
