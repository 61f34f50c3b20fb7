"""What failed: the cause of every run that did not end well, from its own log.

A run failed if it did not solve its task, and was slow if it took more than `SLOW`
times the median of its task and method. Its cause is the first of these that holds:

    error      it was ended by an error, which is quoted
    evaluator  half of its energies or more are failures
    spoilt     a prediction was no number, or z² of the last ten ran away: σ collapsed
    unknown    nothing lower is known, so there is nothing to ask the model about

and otherwise what most of some of its steps say, spread over the time in which others
had found the answer. Asked what it thinks of the answer, which is the task's own or the
lowest structure that any run found, relaxed with the true energy, a step may say

    excluded   it may not be proposed: outside the space, or taken for one evaluated
    search     it is worth more than what was chosen, so the search did not find it
    model      it is worth less, as the model is wrong by more than two σ there
    isomer     it is worth less though the model is right within two σ: others promise
               more, and the run is stuck among them
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bostruct.bench.diagnosis.reference_minimum import (
    ReferenceMinimum,
    find_reference_minimum,
)
from bostruct.bench.diagnosis.step_diagnosis import StepDiagnosis, diagnose_step
from bostruct.bench.single_objective.campaign_method import CampaignMethod
from bostruct.bench.single_objective.results import Results
from bostruct.bench.single_objective.run import Run
from bostruct.bench.single_objective.run_diagnosis import RunDiagnosis
from bostruct.bench.single_objective.statistics import percentile
from bostruct.bench.single_objective.task import Task
from bostruct.campaign import Log
from bostruct.campaign.records import Step, Trial
from bostruct.errors import LogError

SLOW_FACTOR = 3.0
"""Times the median."""

N_LAST_PREDICTIONS = 10
"""Predictions over which z² is averaged."""

COLLAPSED_Z2 = 25.0
"""Mean z²: errors of five σ. The model no longer knows that it does not know."""

MAX_DIAGNOSED_STEPS = 8
"""Steps that are asked, at most."""

LOWER_ENERGY_TOLERANCE = 1e-3
"""eV. What lies less below the lowest energy of a run is the same; while nothing known
solves the task, what lies within its tolerance is."""

MAX_FAILURE_FRACTION = 0.5
"""Of the energies: more failures than that are the evaluator's."""


def diagnose_failures(
    results: Results, methods: Sequence[object], out: Path
) -> tuple[RunDiagnosis, ...]:
    """Return why runs of campaigns failed or were slow, in the order of the runs."""
    named = {m.name: m for m in methods if isinstance(m, CampaignMethod)}
    found = []
    for task in results.tasks:
        runs = [run for run in results.runs if run.task == task.name]
        runs = [run for run in runs if run.method in named]
        bad = [run for run in runs if is_failed_or_slow(run, results)]
        if not bad:
            continue
        logs = [_read_log(named[run.method], task, run, out) for run in runs]
        known = find_reference_minimum(task, [log for log in logs if log is not None])
        for run in bad:
            log = logs[runs.index(run)]
            method, median = named[run.method], _median_evaluations(run, results)
            found.append(_diagnose_run(run, task, method, log, known, median))
    return tuple(found)


def is_failed_or_slow(run: Run, results: Results) -> bool:
    """Return whether a run has failed, or was slow among its like."""
    if not run.is_finished:
        return False
    if run.evaluations_to_success is None:
        return True
    return run.evaluations_to_success > SLOW_FACTOR * _median_evaluations(run, results)


def cause_from_run(run: Run) -> tuple[str, str]:
    """Return a cause that energies and predictions show by themselves, and how.

    Both are empty if they show none.
    """
    energies = run.energies[: _n_before_success(run)]
    lost = sum(energy is None for energy in energies)
    if lost and lost >= MAX_FAILURE_FRACTION * len(energies):
        return "evaluator", f"{lost} of {len(energies)} energies failed"
    beliefs = [belief for belief in run.predictions if belief is not None]
    if not all(math.isfinite(value) for belief in beliefs for value in belief):
        return "spoilt", "a prediction was no number"
    last = run.z2_values[-N_LAST_PREDICTIONS:]
    mean = math.fsum(last) / max(len(last), 1)
    if len(last) == N_LAST_PREDICTIONS and mean > COLLAPSED_Z2:
        return (
            "spoilt",
            f"mean z² of the last {N_LAST_PREDICTIONS} predictions is {mean:.0f}",
        )
    return "", ""


def majority_cause(
    diagnoses: Sequence[StepDiagnosis],
) -> tuple[str, int, StepDiagnosis]:
    """Return the cause that most steps name, how many do, and the last that does."""
    cause, agree = Counter(one.cause for one in reversed(diagnoses)).most_common(1)[0]
    return cause, agree, [one for one in diagnoses if one.cause == cause][-1]


def _diagnose_run(
    run: Run,
    task: Task,
    method: CampaignMethod,
    log: Log | None,
    reference: ReferenceMinimum | None,
    median_evaluations: float,
) -> RunDiagnosis:
    lowest = min(
        (e for e in run.energies[: _n_before_success(run)] if e is not None),
        default=None,
    )
    found = RunDiagnosis(
        task=run.task,
        method=run.method,
        seed=run.seed,
        evaluations_to_success=run.evaluations_to_success,
        cause="unknown",
        energy_gap=None if lowest is None else lowest - task.reference_energy,
        detail=run.reason,
    )
    if log is None or _is_ended_by_error(run, log):
        return replace(found, cause="error")
    cause, detail = cause_from_run(run)
    if cause:
        return replace(found, cause=cause, detail=detail)
    lower = (
        LOWER_ENERGY_TOLERANCE
        if reference is None or reference.energy <= task.target_energy
        else task.tolerance
    )
    if reference is None or lowest is None or reference.unrelaxed_energy > lowest - lower:
        return replace(found, detail=run.reason or "nothing lower is known")
    steps = select_steps(
        log.steps(),
        log.trial_records(),
        min(median_evaluations, run.max_evaluations / 2),
        _n_before_success(run),
    )
    try:
        looks = [diagnose_step(method.campaign(task), log, step, reference) for step in steps]
    except LogError as error:
        return replace(found, detail=str(error))
    if not looks:
        return found
    cause, agree, last = majority_cause(looks)
    more = "more" if last.shortfall < 0 else "less"
    above = 1000 * (reference.energy - task.reference_energy)
    return replace(
        found,
        cause=cause,
        n_diagnosed_steps=len(looks),
        n_agreeing_steps=agree,
        z_score=last.z_score if math.isfinite(last.z_score) else None,
        detail=(
            f"in step {last.step} the answer, at {above:+.1f} meV, was worth "
            f"{abs(last.shortfall):.3f} {more} than what was chosen"
        ),
    )


def select_steps(
    steps: Sequence[Step], trials: Sequence[Trial], start: float, end: int
) -> list[Step]:
    """Return up to `LOOKS` steps with a surrogate, spread over some evaluations.

    Args:
        steps: All of a log.
        trials: All of a log.
        start: Evaluations before which nobody could know the answer.
        end: Evaluations after which it does not matter.
    """
    finished = [trial for trial in trials if trial.is_finished][:end]
    within = {trial.step for trial in finished[math.floor(start) :]}
    late = [step for step in steps if step.kind == "model" and step.number in within]
    rows = np.linspace(0, len(late) - 1, min(MAX_DIAGNOSED_STEPS, len(late)))
    return [late[row] for row in dict.fromkeys(rows.round().astype(int).tolist())]


def _n_before_success(run: Run) -> int:
    """Return how many energies came before the one that solved the task."""
    return (
        run.max_evaluations
        if run.evaluations_to_success is None
        else run.evaluations_to_success - 1
    )


def _is_ended_by_error(run: Run, log: Log) -> bool:
    """Return whether an error ended a run before its time."""
    sessions = log.sessions()
    well = bool(sessions) and sessions[-1]["status"] == "finished"
    return bool(run.reason) and not well


def _median_evaluations(run: Run, results: Results) -> float:
    ended = [other for other in results.select(run.task, run.method) if other.is_finished]
    found = percentile([other.evaluations_to_success for other in ended], 0.5, run.max_evaluations)
    assert found is not None, "a run that has ended is one of them"
    return found


def _read_log(method: CampaignMethod, task: Task, run: Run, out: Path) -> Log | None:
    try:
        return method.log(task, run.seed, out)
    except LogError:
        return None
