"""Predictions of structures that a campaign with objectives has not evaluated.

Two kinds: pending trials with their logged predictions, and the best candidates of the last search
with the predictions of its model. Each learned outcome has a mean, a calibrated σ and an interval,
all in outcome space.
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
from bostruct.candidates import select_unevaluated
from bostruct.errors import LogError, check_count
from bostruct.objectives import OptimizationConfig
from bostruct.spaces import Space


@final
@dataclass(frozen=True, eq=False)
class FrontCandidate:
    """Structure that was not evaluated.

    Attributes:
        trial: Number of the pending trial; None of a candidate.
        candidate_index: Row among the candidates of the last search; None of a pending trial.
        generator: Name of the generator that proposed the structure.
        X: `[d]` coordinates.
        predictions: Predictions of all outcomes in outcome space; exact ones have σ 0.
    """

    trial: int | None
    candidate_index: int | None
    generator: str
    X: Tensor
    predictions: Mapping[str, CalibratedPrediction]


def predict_front_candidates(log: Log, count: int = 8) -> list[FrontCandidate]:
    """Return the pending trials, then the best candidates of the last search.

    Without the space of the campaign, and from a damaged file, there are no candidates.

    Args:
        log: Log of a campaign with objectives.
        count: Maximum number of candidates.

    Raises:
        InputError: the count is below 1.
    """
    check_count("count", count)
    config = log.optimization_config
    if config is None:
        return []
    trials = log.trial_records()
    calibrations = {
        name: online_calibration(single_outcome(trials, config, name))
        for name in config.outcome_names
    }
    pending = [
        FrontCandidate(
            trial.number, None, trial.generator, trial.X, _pending_predictions(trial, calibrations)
        )
        for trial in trials
        if trial.state in OPEN_STATES
        and len(trial.outcome_predictions) == len(config.outcome_names)
    ]
    steps = [step for step in log.steps() if step.file]
    if not steps or log.space is None:
        return pending
    try:
        tensors = log.posterior_tensors(steps[-1].number)
        generators = log.candidate_generators(steps[-1].number)
    except LogError:
        return pending
    X = torch.stack([trial.X for trial in trials])
    return pending + _search_candidates(
        tensors, generators, X, config, log.space, calibrations, count
    )


def _pending_predictions(
    trial: Trial, calibrations: Mapping[str, OnlineCalibration]
) -> dict[str, CalibratedPrediction]:
    return {
        outcome.name: calibrations[outcome.name].predict(outcome.mean, outcome.predictive_variance)
        for outcome in trial.outcome_predictions
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
    """Return the best candidates that are no duplicates of evaluated structures `[t, d]`."""
    objectives = LearnedObjectives(optimization_config, space)
    X, acquisition = tensors["candidates.X"], tensors["candidates.acquisition"]
    rows = select_unevaluated(X, acquisition, count, space, X_evaluated)
    X = X[rows]
    mean = tensors["candidates.mean"][rows].tolist()
    variance = tensors["candidates.predictive_variance"][rows].tolist()
    front_candidates = []
    exact_predictions = objectives.exact_predictions(X)
    for i, (row, exact) in enumerate(zip(rows.tolist(), exact_predictions, strict=True)):
        predictions = {o.name: calibrations[o.name].predict(o.mean, 0.0) for o in exact}
        for j, name in enumerate(objectives.learned_names):
            predictions[name] = calibrations[name].predict(mean[i][j], variance[i][j])
        front_candidates.append(FrontCandidate(None, row, generators[row], X[i], predictions))
    return front_candidates
