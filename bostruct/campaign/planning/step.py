"""Planning of a step: a pure function of the log, the seed and the step."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bostruct.campaign.energy_above_hull import SystemHull
from bostruct.campaign.initial_structures import InitialData
from bostruct.campaign.learned_objectives import LearnedObjectives
from bostruct.campaign.log.schema import LOG_FORMAT
from bostruct.campaign.planning.acquisition_context import (
    acquisition_context,
    goal_data,
    goal_model,
    hull_of_known,
    search_ranking,
)
from bostruct.campaign.planning.batch_acquisition import BatchAcquisition, fastest_to_search
from bostruct.campaign.planning.batch_selection import select_batch
from bostruct.campaign.planning.feasibility import infeasible_candidates
from bostruct.campaign.planning.force_consistency import force_metrics
from bostruct.campaign.planning.improvement_bound import cannot_improve
from bostruct.campaign.planning.pending_candidates import with_pending
from bostruct.campaign.planning.posterior_tensors import evaluate_in_chunks, posterior_tensors
from bostruct.campaign.planning.random_structures import sample_new
from bostruct.campaign.planning.resampling import resampling_rules, resampling_scale
from bostruct.campaign.planning.search_scale import scaled_search
from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.planning.step_metrics import step_metrics
from bostruct.campaign.planning.training_data import (
    has_enough_values,
    training_data,
    with_enthalpies,
)
from bostruct.campaign.records import OPEN_STATES, PlannedStep, Trial
from bostruct.runtime.device import synchronized_time
from bostruct.runtime.rng import seeded_global_rng
from bostruct.runtime.threads import limited_threads
from bostruct.spaces import DiscreteSpace
from bostruct.surrogates import TrainingData, fit_surrogate
from bostruct.surrogates.species import problem_scale

PREDICTION_COLUMNS = ("mean", "latent_variance", "predictive_variance")
"""Predictions of a candidate, as the log calls them."""


@limited_threads()
def plan_step(step: StepContext, trials: Sequence[Trial]) -> PlannedStep:
    """Return what a step evaluates, and why; in `thread_count` threads.

    Args:
        step: The step. The first one evaluates the user's structures without energies and
            `n_initial` random structures, if there are any of these.
        trials: All trials so far in the order asked.
    """
    start = synchronized_time(step.device)
    first = all(trial.is_initial_data for trial in trials)
    X_initial = torch.zeros(0, step.components.space.dimension, dtype=torch.float64)
    if first and step.components.initial_data is not None:
        X_initial = step.components.initial_data.X_unevaluated
    n_random = step.components.n_initial if first else step.q
    known = step.columns.known(trials)
    data = training_data(step, known) if known else None
    is_first = first and len(X_initial) + n_random
    hull = hull_of_known(step, known)
    lacks_end = hull is not None and not hull.is_complete
    if data is None or not has_enough_values(data) or is_first or lacks_end:
        planned = _random_step(step, trials, X_initial, n_random, hull)
    else:
        with seeded_global_rng(step.device, step.seed, step.number, "global"):
            planned = _model_step(step, trials, known, data, start, hull)
    pending = [trial.number for trial in trials if trial.state in OPEN_STATES]
    return replace(planned, pending_trials=pending)


def initial_data_step(
    initial_data: InitialData, objectives: LearnedObjectives | None = None
) -> PlannedStep:
    """Return the step of the structures that came with their energies or outcomes.

    Args:
        initial_data: The user's structures.
        objectives: Objectives in the space; None where the energy is the only one.
    """
    X = initial_data.X_evaluated
    return PlannedStep(
        0,
        "initial_data",
        X,
        ["initial_structures"] * len(X),
        results=initial_data.results,
        outcome_predictions=[] if objectives is None else objectives.exact_predictions(X),
    )


def _random_step(
    step: StepContext,
    trials: Sequence[Trial],
    X_initial: Tensor,
    n_random: int,
    hull: SystemHull | None = None,
) -> PlannedStep:
    """Return a step of the user's structures and random ones, without a model.

    The random ones begin with the ends of the hull that have no energy and are not pending. Where
    nothing else is planned there is one of each of these, or if none is left `q` random structures.
    """
    start, objectives = time.perf_counter(), step.components.learned_objectives
    excluded = torch.cat([step.columns.coordinates(trials), X_initial]) if trials else X_initial
    space, generator = step.components.space, step.generator_for("initial")
    ends: list[int] = []
    if hull is not None:
        is_open = [trial.X.unsqueeze(0) for trial in trials if trial.state in OPEN_STATES]
        ends = hull.missing_members(torch.cat([X_initial, *is_open]))
        if not n_random and not len(X_initial):
            n_random = len(ends) or step.q
    X = sample_new(space, n_random, generator, excluded)
    if hull is not None and ends:
        X = torch.cat([hull.space.sample_members(torch.tensor(ends), generator), X])[:n_random]
    X, n = torch.cat([X_initial, X]), len(X_initial)
    return PlannedStep(
        step=step.number,
        kind="initial_structures" if n else "random",
        X=X,
        generators=["initial_structures"] * n + ["random"] * (len(X) - n),
        outcome_predictions=[] if objectives is None else objectives.exact_predictions(X),
        seconds_search=time.perf_counter() - start,
    )


def _model_step(
    step: StepContext,
    trials: Sequence[Trial],
    known: list[Trial],
    data: TrainingData,
    start: float,
    hull: SystemHull | None,
) -> PlannedStep:
    """Return a step of candidates that maximize the acquisition on a fitted model."""
    space, objectives = step.components.space, step.components.learned_objectives
    model = fit_surrogate(step.components.surrogate, data, space)
    fitted = synchronized_time(step.device)
    data = with_enthalpies(step, data)
    goal = goal_data(step, data, known)
    context = acquisition_context(step, model, goal, known)
    pending = step.columns.select("is open", trials, lambda trial: trial.state in OPEN_STATES)
    all_context = context
    if pending:
        X_pending = torch.stack([trial.X for trial in pending]).to(data.X)
        all_context = with_pending(step.acquisition, context, X_pending)
    acquisition = BatchAcquisition(step.acquisition, all_context)
    scale = None if data.structures is None else problem_scale(data.structures, space)
    searched = acquisition
    if step.components.asynchronous and not isinstance(space, DiscreteSpace):
        searched = fastest_to_search(BatchAcquisition(step.acquisition, context), acquisition)
    candidates = scaled_search(step, scale)(
        searched,
        space,
        data.X,
        search_ranking(step, context, known),
        step.generator_for("search"),
    )
    if searched is not acquisition:
        values_with_pending = evaluate_in_chunks(acquisition, candidates.X)
        candidates = replace(candidates, acq_value=values_with_pending)
    low = None
    if data.structures is not None:
        low = resampling_scale(data.structures, space, goal.Y.squeeze(-1))
    judge = goal_model(step, model, known, per_cell=True)
    of_cells = goal_data(step, data, known, per_cell=True)
    rules = resampling_rules(step, judge, of_cells, trials, candidates.X, low)
    infeasible = infeasible_candidates(step, trials, candidates)
    candidates, selected, values = select_batch(
        step,
        candidates,
        acquisition,
        *rules,
        infeasible=infeasible,
        deferred=cannot_improve(context, space, candidates.X),
    )
    numbers = step.columns.each("number", known, lambda trial: trial.number)
    tensors = posterior_tensors(step, model, candidates, selected, known, numbers, hull)
    predictions: list[dict[str, float]] = [
        {"candidate_index": row, "acquisition": value}
        for row, value in zip(selected, values, strict=True)
    ]
    if objectives is None:
        for row, prediction in zip(selected, predictions, strict=True):
            for name in PREDICTION_COLUMNS:
                prediction[name] = float(tensors[f"candidates.{name}"][row])
    metrics = step_metrics(step, model, context, known) | force_metrics(step, data, trials)
    outcome_predictions = (
        () if objectives is None else objectives.outcome_predictions(tensors, selected)
    )
    return PlannedStep(
        step=step.number,
        kind="model",
        X=tensors["candidates.X"][selected].double(),
        generators=[candidates.generator_names[row] for row in selected],
        training_trials=numbers,
        hyperparameters=metrics,
        predictions=predictions,
        tensors=tensors,
        header={
            "format": LOG_FORMAT,
            "step": step.number,
            "generators": list(candidates.generator_names),
        },
        seconds_fit=fitted - start,
        seconds_search=synchronized_time(step.device) - fitted,
        effort=step.effort,
        outcome_predictions=outcome_predictions,
    )
