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

from bostruct.bench.diagnosis.reference_minimum import Answer, answer
from bostruct.bench.diagnosis.step_diagnosis import Look, look
from bostruct.bench.single_objective.campaign_method import Campaigns
from bostruct.bench.single_objective.results import Results
from bostruct.bench.single_objective.run import Run
from bostruct.bench.single_objective.run_diagnosis import Finding
from bostruct.bench.single_objective.statistics import percentile
from bostruct.bench.single_objective.task import Task
from bostruct.campaign import Log
from bostruct.campaign.records import Step, Trial
from bostruct.errors import LogError

SLOW = 3.0
"""Times the median."""

LAST = 10
"""Predictions over which z² is averaged."""

COLLAPSED = 25.0
"""Mean z²: errors of five σ. The model no longer knows that it does not know."""

LOOKS = 8
"""Steps that are asked, at most."""

LOWER = 1e-3
"""eV. What lies less below the lowest energy of a run is the same; while nothing known
solves the task, what lies within its tolerance is."""

HALF = 0.5
"""Of the energies: more failures than that are the evaluator's."""


def failures(
    results: Results, methods: Sequence[object], out: Path
) -> tuple[Finding, ...]:
    """Return why runs of campaigns failed or were slow, in the order of the runs."""
    named = {m.name: m for m in methods if isinstance(m, Campaigns)}
    found = []
    for task in results.tasks:
        runs = [run for run in results.runs if run.task == task.name]
        runs = [run for run in runs if run.method in named]
        bad = [run for run in runs if ended_badly(run, results)]
        if not bad:
            continue
        logs = [_log(named[run.method], task, run, out) for run in runs]
        known = answer(task, [log for log in logs if log is not None])
        for run in bad:
            log = logs[runs.index(run)]
            method, median = named[run.method], _median(run, results)
            found.append(_explained(run, task, method, log, known, median))
    return tuple(found)


def ended_badly(run: Run, results: Results) -> bool:
    """Return whether a run has failed, or was slow among its like."""
    if not run.finished:
        return False
    if run.evaluations is None:
        return True
    return run.evaluations > SLOW * _median(run, results)


def suspect(run: Run) -> tuple[str, str]:
    """Return a cause that energies and predictions show by themselves, and how.

    Both are empty if they show none.
    """
    energies = run.energies[: _end(run)]
    lost = sum(energy is None for energy in energies)
    if lost and lost >= HALF * len(energies):
        return "evaluator", f"{lost} of {len(energies)} energies failed"
    beliefs = [belief for belief in run.beliefs if belief is not None]
    if not all(math.isfinite(value) for belief in beliefs for value in belief):
        return "spoilt", "a prediction was no number"
    last = run.squares[-LAST:]
    mean = math.fsum(last) / max(len(last), 1)
    if len(last) == LAST and mean > COLLAPSED:
        return "spoilt", f"mean z² of the last {LAST} predictions is {mean:.0f}"
    return "", ""


def verdict(looks: Sequence[Look]) -> tuple[str, int, Look]:
    """Return the cause that most steps name, how many do, and the last that does."""
    cause, agree = Counter(one.cause for one in reversed(looks)).most_common(1)[0]
    return cause, agree, [one for one in looks if one.cause == cause][-1]


def _explained(
    run: Run,
    task: Task,
    method: Campaigns,
    log: Log | None,
    known: Answer | None,
    median: float,
) -> Finding:
    lowest = min((e for e in run.energies[: _end(run)] if e is not None), default=None)
    found = Finding(
        task=run.task,
        method=run.method,
        seed=run.seed,
        evaluations=run.evaluations,
        cause="unknown",
        gap=None if lowest is None else lowest - task.reference,
        detail=run.reason,
    )
    if log is None or _died(run, log):
        return replace(found, cause="error")
    cause, detail = suspect(run)
    if cause:
        return replace(found, cause=cause, detail=detail)
    lower = LOWER if known is None or known.energy <= task.target else task.tolerance
    if known is None or lowest is None or known.found > lowest - lower:
        return replace(found, detail=run.reason or "nothing lower is known")
    steps = asked(log.steps(), log.undecoded(), min(median, run.cap / 2), _end(run))
    try:
        looks = [look(method.campaign(task), log, step, known) for step in steps]
    except LogError as error:
        return replace(found, detail=str(error))
    if not looks:
        return found
    cause, agree, last = verdict(looks)
    more = "more" if last.short < 0 else "less"
    above = 1000 * (known.energy - task.reference)
    return replace(
        found,
        cause=cause,
        looks=len(looks),
        agree=agree,
        z=last.z if math.isfinite(last.z) else None,
        detail=(
            f"in step {last.step} the answer, at {above:+.1f} meV, was worth "
            f"{abs(last.short):.3f} {more} than what was chosen"
        ),
    )


def asked(
    steps: Sequence[Step], trials: Sequence[Trial], start: float, end: int
) -> list[Step]:
    """Return up to `LOOKS` steps with a surrogate, spread over some evaluations.

    Args:
        steps: All of a log.
        trials: All of a log.
        start: Evaluations before which nobody could know the answer.
        end: Evaluations after which it does not matter.
    """
    finished = [trial for trial in trials if trial.finished][:end]
    within = {trial.step for trial in finished[math.floor(start) :]}
    late = [step for step in steps if step.kind == "model" and step.number in within]
    rows = np.linspace(0, len(late) - 1, min(LOOKS, len(late)))
    return [late[row] for row in dict.fromkeys(rows.round().astype(int).tolist())]


def _end(run: Run) -> int:
    """Return how many energies came before the one that solved the task."""
    return run.cap if run.evaluations is None else run.evaluations - 1


def _died(run: Run, log: Log) -> bool:
    """Return whether an error ended a run before its time."""
    sessions = log.sessions()
    well = bool(sessions) and sessions[-1]["status"] == "finished"
    return bool(run.reason) and not well


def _median(run: Run, results: Results) -> float:
    ended = [other for other in results.of(run.task, run.method) if other.finished]
    found = percentile([other.evaluations for other in ended], 0.5, run.cap)
    assert found is not None, "a run that has ended is one of them"
    return found


def _log(method: Campaigns, task: Task, run: Run, out: Path) -> Log | None:
    try:
        return method.log(task, run.seed, out)
    except LogError:
        return None
