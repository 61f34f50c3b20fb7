"""Causes of failed and slow runs of campaigns, from their logs.

A run failed if it did not solve its task, and was slow if it took more than `SLOW_FACTOR` times the
median of its task and method. Its cause is the first of these that applies:

    error       an error ended the run
    evaluator   half of the evaluations or more failed
    prediction  a prediction was not a number, or mean z² of the last ten was too large: σ collapsed
    unknown     no lower structure is known

Otherwise it is the most frequent result of `diagnose_step` for the reference minimum, over some
steps at which other runs had solved the task. The reference minimum is that of the task or the
lowest structure of any run, relaxed with the true energy. It was not proposed because of

    excluded    it is outside the space, or counted as a duplicate of an evaluated structure
    search      its acquisition value is higher than that of the selected structure
    model       its acquisition value is lower, and its prediction is wrong by more than two σ
    isomer      its acquisition value is lower, though its prediction is right within two σ
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bostruct.bench.diagnosis.reference_minimum import ReferenceMinimum, find_reference_minimum
from bostruct.bench.diagnosis.step_diagnosis import StepDiagnosis, diagnose_step
from bostruct.bench.single_objective.campaign_method import CampaignMethod
from bostruct.bench.single_objective.results import Results, RunDiagnosis
from bostruct.bench.single_objective.run import Run
from bostruct.bench.single_objective.statistics import percentile
from bostruct.bench.single_objective.task import Task
from bostruct.campaign import Log
from bostruct.campaign.records import Step, Trial
from bostruct.errors import LogError
from bostruct.spaces.space import SupportsCompositions

SLOW_FACTOR = 3.0
"""Evaluations of a slow run, in medians of its task and method."""

N_LAST_PREDICTIONS = 10
"""Number of predictions over which z² is averaged."""

COLLAPSED_Z2 = 25.0
"""Mean z² of a collapsed σ: errors of five σ."""

MAX_DIAGNOSED_STEPS = 8
"""Largest number of diagnosed steps of a run."""

LOWER_ENERGY_TOLERANCE = 1e-3
"""Energy difference below which two minima count as the same, eV; the tolerance of the task where
no known structure solves it."""

MAX_FAILURE_FRACTION = 0.5
"""Fraction of failed evaluations from which the evaluator is the cause."""


def diagnose_failures(
    results: Results, methods: Sequence[object], out: Path
) -> tuple[RunDiagnosis, ...]:
    """Return the causes of failed and slow runs of campaigns, in the order of the runs.

    Tasks of several compositions, which have no single minimum, are left out.
    """
    campaigns = {m.name: m for m in methods if isinstance(m, CampaignMethod)}
    diagnoses = []
    for task in results.tasks:
        runs = [run for run in results.runs if run.task == task.name and run.method in campaigns]
        selected = [(i, run) for i, run in enumerate(runs) if is_failed_or_slow(run, results)]
        if not selected or isinstance(task.search_space, SupportsCompositions):
            continue
        logs = [_read_log(campaigns[run.method], task, run, out) for run in runs]
        reference = find_reference_minimum(task, [log for log in logs if log is not None])
        for i, run in selected:
            median = _median_evaluations(run, results)
            method = campaigns[run.method]
            diagnoses.append(_diagnose_run(run, task, method, logs[i], reference, median))
    return tuple(diagnoses)


def is_failed_or_slow(run: Run, results: Results) -> bool:
    """Return whether a run has failed, or was slow for its task and method."""
    if not run.is_finished:
        return False
    if run.evaluations_to_success is None:
        return True
    return run.evaluations_to_success > SLOW_FACTOR * _median_evaluations(run, results)


def cause_from_run(run: Run) -> tuple[str, str]:
    """Return a cause seen in energies and predictions, and its details; both empty without one."""
    energies = run.energies[: _n_before_success(run)]
    n_failed = sum(energy is None for energy in energies)
    if n_failed and n_failed >= MAX_FAILURE_FRACTION * len(energies):
        return "evaluator", f"{n_failed} of {len(energies)} energies failed"
    predictions = [prediction for prediction in run.predictions if prediction is not None]
    if not all(math.isfinite(value) for prediction in predictions for value in prediction):
        return "prediction", "a prediction was not a number"
    last = run.z2_values[-N_LAST_PREDICTIONS:]
    mean = math.fsum(last) / max(len(last), 1)
    if len(last) == N_LAST_PREDICTIONS and mean > COLLAPSED_Z2:
        detail = f"mean z² of the last {N_LAST_PREDICTIONS} predictions is {mean:.0f}"
        return "prediction", detail
    return "", ""


def majority_cause(diagnoses: Sequence[StepDiagnosis]) -> tuple[str, int, StepDiagnosis]:
    """Return the most frequent cause, the number of its steps, and the last one of them."""
    cause, count = Counter(step.cause for step in reversed(diagnoses)).most_common(1)[0]
    return cause, count, [step for step in diagnoses if step.cause == cause][-1]


def _diagnose_run(
    run: Run,
    task: Task,
    method: CampaignMethod,
    log: Log | None,
    reference: ReferenceMinimum | None,
    median_evaluations: float,
) -> RunDiagnosis:
    energies = run.energies[: _n_before_success(run)]
    lowest = min((energy for energy in energies if energy is not None), default=None)
    diagnosis = RunDiagnosis(
        task=run.task,
        method=run.method,
        seed=run.seed,
        evaluations_to_success=run.evaluations_to_success,
        cause="unknown",
        energy_gap=None if lowest is None else lowest - task.reference_energy,
        detail=run.reason,
    )
    if log is None or _is_ended_by_error(run, log):
        return replace(diagnosis, cause="error")
    cause, detail = cause_from_run(run)
    if cause:
        return replace(diagnosis, cause=cause, detail=detail)
    tolerance = task.tolerance
    if reference is None or reference.energy <= task.target_energy:
        tolerance = LOWER_ENERGY_TOLERANCE
    if reference is None or lowest is None or reference.unrelaxed_energy > lowest - tolerance:
        return replace(diagnosis, detail=run.reason or "nothing lower is known")
    steps = select_steps(
        log.steps(),
        log.trial_records(),
        min(median_evaluations, run.max_evaluations / 2),
        _n_before_success(run),
    )
    try:
        campaign = method.campaign(task, run.seed)
        results = [diagnose_step(campaign, log, step, reference) for step in steps]
    except LogError as error:
        return replace(diagnosis, detail=str(error))
    if not results:
        return diagnosis
    cause, n_agreeing, last = majority_cause(results)
    more = "more" if last.shortfall < 0 else "less"
    above = 1000 * (reference.energy - task.reference_energy)
    return replace(
        diagnosis,
        cause=cause,
        n_diagnosed_steps=len(results),
        n_agreeing_steps=n_agreeing,
        z_score=last.z_score if math.isfinite(last.z_score) else None,
        detail=(
            f"in step {last.step} the acquisition value of the reference minimum, at "
            f"{above:+.1f} meV, was {abs(last.shortfall):.3f} {more} than that of the selected one"
        ),
    )


def select_steps(
    steps: Sequence[Step], trials: Sequence[Trial], start: float, end: int
) -> list[Step]:
    """Return up to `MAX_DIAGNOSED_STEPS` model steps, spread over a range of evaluations.

    Args:
        steps: All steps of a log.
        trials: All trials of a log.
        start: Number of evaluations before the range.
        end: Number of evaluations at the end of the range.
    """
    finished = [trial for trial in trials if trial.is_finished][:end]
    within = {trial.step for trial in finished[math.floor(start) :]}
    late = [step for step in steps if step.kind == "model" and step.number in within]
    rows = np.linspace(0, len(late) - 1, min(MAX_DIAGNOSED_STEPS, len(late)))
    return [late[row] for row in dict.fromkeys(rows.round().astype(int).tolist())]


def _n_before_success(run: Run) -> int:
    """Return the number of energies before the one that solved the task."""
    count = run.evaluations_to_success
    return run.max_evaluations if count is None else count - 1


def _is_ended_by_error(run: Run, log: Log) -> bool:
    """Return whether an error ended a run."""
    sessions = log.sessions()
    finished = bool(sessions) and sessions[-1]["status"] == "finished"
    return bool(run.reason) and not finished


def _median_evaluations(run: Run, results: Results) -> float:
    ended = [other for other in results.select(run.task, run.method) if other.is_finished]
    median = percentile([other.evaluations_to_success for other in ended], 0.5, run.max_evaluations)
    assert median is not None, "this run has ended"
    return median


def _read_log(method: CampaignMethod, task: Task, run: Run, out: Path) -> Log | None:
    try:
        return method.log(task, run.seed, out)
    except LogError:
        return None
