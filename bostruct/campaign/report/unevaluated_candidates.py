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

from bostruct.campaign.analysis.calibration import (
    CalibratedPrediction,
    OnlineCalibration,
    online_calibration,
)
from bostruct.campaign.analysis.outcome_table import single_outcome
from bostruct.campaign.learned_objectives import LearnedObjectives
from bostruct.campaign.log.reader import Log
from bostruct.campaign.records import OPEN_STATES, Trial
from bostruct.candidates import Candidates, select_top
from bostruct.errors import LogError, check_count
from bostruct.objectives import OptimizationConfig
from bostruct.spaces import Space


@final
@dataclass(frozen=True, eq=False)
class FrontCandidate:
    """A structure that was not evaluated.

    Attributes:
        trial: Its number, if it was asked for.
        candidate_index: Its row among the candidates of the last search, if it was not.
        generator: The generator that proposed it.
        X: `[d]` its coordinates.
        predictions: Of every outcome, in outcome space; exact ones have sigma 0.
    """

    trial: int | None
    candidate_index: int | None
    generator: str
    X: Tensor
    predictions: Mapping[str, CalibratedPrediction]


def predict_front_candidates(log: Log, count: int = 8) -> list[FrontCandidate]:
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
    goals = log.optimization_config
    if goals is None:
        return []
    trials = log.trial_records()
    quality = {
        name: online_calibration(single_outcome(trials, goals, name))
        for name in goals.outcome_names
    }
    found = [
        FrontCandidate(
            each.number,
            None,
            each.generator,
            each.X,
            _pending_predictions(each, quality),
        )
        for each in trials
        if each.state in OPEN_STATES
        and each.outcome_predictions
        and len(each.outcome_predictions) == len(goals.outcome_names)
    ]
    steps = [step for step in log.steps() if step.file]
    if steps and log.space is not None:
        try:
            tensors = log.posterior_tensors(steps[-1].number)
            origins = log.candidate_generators(steps[-1].number)
        except LogError:
            return found
        seen = torch.stack([trial.X for trial in trials])
        found += _search_candidates(tensors, origins, seen, goals, log.space, quality, count)
    return found


def _pending_predictions(
    trial: Trial, calibrations: Mapping[str, OnlineCalibration]
) -> dict[str, CalibratedPrediction]:
    return {
        each.name: calibrations[each.name].predict(each.mean, each.predictive_variance)
        for each in trial.outcome_predictions
    }


def _search_candidates(
    tensors: Mapping[str, Tensor],
    generators: Sequence[str],
    X_evaluated: Tensor,
    optimization_config: OptimizationConfig,
    space: Space,
    calibrations: Mapping[str, OnlineCalibration],
    count: int,
) -> list[FrontCandidate]:
    """Return the candidates worth most that are like none that was seen `[t, d]`."""
    aims = LearnedObjectives(optimization_config, space)
    candidates = Candidates(
        X=tensors["candidates.X"],
        acq_value=tensors["candidates.acquisition"],
        generator_names=generators,
        n_steps=tensors["candidates.steps"],
        converged=tensors["candidates.converged"],
    )
    old = torch.ones(len(X_evaluated), dtype=torch.bool)  # the same, however far relaxed
    rows = select_top(candidates, count, space=space, X_evaluated=X_evaluated, is_relaxed=old)
    X = candidates.X[rows]
    mean = tensors["candidates.mean"][rows].tolist()
    variance = tensors["candidates.predictive_variance"][rows].tolist()
    found = []
    for i, (row, sure) in enumerate(zip(rows.tolist(), aims.exact_predictions(X), strict=True)):
        expected = {each.name: calibrations[each.name].predict(each.mean, 0.0) for each in sure}
        for j, name in enumerate(aims.learned_names):
            expected[name] = calibrations[name].predict(mean[i][j], variance[i][j])
        found.append(FrontCandidate(None, row, generators[row], X[i], expected))
    return found
