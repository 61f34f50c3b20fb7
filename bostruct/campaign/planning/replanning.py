"""Replanning of a logged step, from what was known when it was planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bostruct.campaign.log.reader import Log
from bostruct.campaign.planning.step_planner import StepPlanner
from bostruct.campaign.records import Attempt, PlannedStep, Step, Trial
from bostruct.errors import InputError, error_message

REPLANNED_KINDS = ("initial_structures", "random", "model")
"""Kinds of steps that the search plans."""

UNKNOWN_THEN = "not believed when the step was planned"
"""Reason of the doubt about a result that a step was not planned from."""


def replan_step(log: Log, number: int, planner: StepPlanner) -> PlannedStep:
    """Return what a step selects when it is planned again.

    Args:
        log: Log of the campaign.
        number: Number of the step.
        planner: Planner of the campaign.

    Raises:
        InputError: there is no such step, or the search has not planned it.
    """
    with log.snapshot():
        steps, trials, attempts = log.steps(), log.trials_before_retraction(), log.attempts()
    if not 0 <= number < len(steps) or steps[number].kind not in REPLANNED_KINDS:
        kind = steps[number].kind if 0 <= number < len(steps) else "none of the log"
        condition = f"be one of {', '.join(REPLANNED_KINDS)}"
        raise InputError(error_message("step", condition, f"{number}, {kind}"))
    step = steps[number]
    q = sum(trial.step == number for trial in trials)
    return planner.plan(steps[:number], trials_at_step(step, trials, attempts), q, step.effort)


def trials_at_step(step: Step, trials: Sequence[Trial], attempts: Sequence[Attempt]) -> list[Trial]:
    """Return the trials before a step as they were when it was planned.

    Args:
        step: The step.
        trials: All trials, as before any of them was retracted or doubted.
        attempts: All attempts that others have followed.
    """
    pending, known = set(step.pending_trials), set(step.training_trials)
    failed = {a.trial: a for a in attempts if a.state == "failed" and a.cause != "retryable"}

    def as_then(trial: Trial) -> Trial:
        if trial.number in pending:
            return _without_result(trial)
        if trial.number in known:
            return trial
        if trial.number in failed:
            reason = failed[trial.number].reason
            return replace(_without_result(trial), state="failed", reason=reason)
        is_doubted = trial.state == "done" and step.kind == "model"
        return replace(trial, doubt=UNKNOWN_THEN) if is_doubted else trial

    return [as_then(trial) for trial in trials if trial.step < step.number]


def _without_result(trial: Trial) -> Trial:
    """Return a trial as it is before its evaluation."""
    return Trial(
        **{
            name: getattr(trial, name)
            for name in (
                *("number", "step", "key", "attempt", "generator", "X", "candidate_index"),
                *("mean", "latent_variance", "predictive_variance", "acquisition"),
                "outcome_predictions",
            )
        },
        state="planned",
    )
