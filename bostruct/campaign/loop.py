"""Loop of a campaign: plan, evaluate and record until a stopping criterion holds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from bostruct.campaign.budget import Budget, remaining_budget
from bostruct.campaign.engines.dask_workers import DaskWorkers
from bostruct.campaign.progress import ProgressLine
from bostruct.campaign.records import Trial
from bostruct.campaign.running_evaluations import ProcessDeath, RunningEvaluations
from bostruct.campaign.session import Session
from bostruct.campaign.stop import (
    StoppingCriterion,
    consecutive_failures_reason,
    with_consecutive_failures,
)
from bostruct.errors import EvaluationError, ExhaustedError
from bostruct.evaluators.evaluation_context import KeepFolders
from bostruct.runtime.executors import Workers
from bostruct.runtime.interruption import raise_if_interrupted

EXHAUSTED = "every structure that was found has been evaluated"
"""Reason for which a run ends without a stopping criterion."""


def run_loop(
    session: Session,
    executor: Executor,
    stop: StoppingCriterion,
    progress_line: ProgressLine,
    keep: KeepFolders = "failed",
) -> str:
    """Run a campaign and return the reason for which it ended.

    A step is planned when every trial of the last one has a result, so the order in which parallel
    evaluations finish changes nothing. In an asynchronous campaign one is planned as soon as fewer
    than `batch_size` trials have none, and the log says which. The final relaxation follows the
    search.

    Raises:
        EvaluationError: evaluations fail one after the other, or all structures that were found
            have failed.
        ExecutorError: the executor takes no evaluations any more.
    """
    stop = with_consecutive_failures(stop)
    start = time.monotonic()
    session.require_results()
    session.begin_run(stop)
    with RunningEvaluations(executor, session.components.evaluator, keep) as running:
        while True:
            progress = session.progress(time.monotonic() - start)
            budget = remaining_budget(
                stop,
                progress,
                session.components.final_relaxation,
                session.median_evaluation_seconds,
                session.n_open if session.components.asynchronous else 0,
            )
            if session.relaxes_separately:
                budget = budget.of_search()
            progress_line.update(progress, stop.remaining(progress), session.best_name)
            failures = consecutive_failures_reason(stop, progress)
            if failures is not None:
                session.put_back(running.cancel_waiting())
            # Read before the trials that are ready: a delay that ends in between is not missed.
            seconds_to_retry = session.seconds_to_retry
            queue, remaining = _next_trials(session, budget, len(running))
            count = len(queue) if remaining is None else remaining - len(running)
            suspects = session.writer.suspects()
            admitted = running.admitted(queue, count, suspects)
            for trial in session.start_evaluations(admitted):
                context = session.evaluation_context(trial)
                running.submit(trial, context, is_suspect=trial.number in suspects)
            is_over = budget.reason is not None or failures is not None
            if not len(running) and (is_over or seconds_to_retry is None):
                session.record_relaxations()
                is_exhausted = budget.reason is None
                if failures is not None or (is_exhausted and session.has_only_failures()):
                    raise EvaluationError(session.failure_message(failures))
                return budget.reason or EXHAUSTED
            for trial, result in running.wait(seconds_to_retry):
                raise_if_interrupted()
                if isinstance(result, ProcessDeath):
                    session.tell_death(trial, result.reason)
                else:
                    recorded = session.tell(trial, result)
                    doubt, is_retried = session.doubt(trial), session.is_retried(trial)
                    progress_line.add_result(trial, recorded, doubt, is_retried)
            session.require_results()


def _next_trials(
    session: Session, budget: Budget, n_running: int
) -> tuple[list[Trial], int | None]:
    """Return the trials to evaluate now, and how many evaluations remain.

    Raises:
        ExhaustedError: no structure is left, and none was evaluated.
    """
    if budget.reason is not None:
        if n_running or budget.remaining == 0 or session.components.final_relaxation is None:
            return [], 0
        queue = session.planned_relaxation_trials() or session.plan_relaxation_step()
        return queue, budget.remaining
    queue = session.ready_trials()
    n_open, n_delayed = n_running + len(queue), len(session.planned_trials()) - len(queue)
    n_missing = _n_missing(session, budget, n_open, n_delayed)
    if n_missing == 0:
        return queue, budget.remaining
    # The search leaves a part of the budget to the relaxation, which returns what it does not need.
    if not n_open and (budget.is_relaxation_due or session.is_relaxation_due()):
        queue = session.plan_relaxation_step()
    if not queue or n_open:
        try:
            session.plan_trials(n_missing)
            queue = session.ready_trials()
        except ExhaustedError:
            if session.has_only_failures():
                return [], 0
            if not session.writer.trial_records("done"):
                raise
            queue = [] if session.relaxes_separately else session.plan_relaxation_step()
    return queue, budget.remaining


def _n_missing(session: Session, budget: Budget, n_open: int, n_delayed: int) -> int:
    """Return the number of trials to plan now.

    Args:
        session: Session of the campaign.
        budget: Evaluations that the stopping criterion still allows.
        n_open: Number of trials that are evaluated or may be.
        n_delayed: Number of trials whose retry waits; an asynchronous campaign evaluates others
            meanwhile.
    """
    most, is_any_open = session.components.batch_size, n_open + n_delayed > 0
    if not session.components.asynchronous:
        return 0 if is_any_open else most
    if is_any_open and (budget.is_relaxation_due or session.is_relaxation_due()):
        return 0
    if budget.remaining is not None:
        most = min(most, max(budget.remaining - n_delayed, 0 if is_any_open else 1))
    return max(most - n_open, 0)


@contextmanager
def shutdown_on_exit(executor: Executor) -> Iterator[None]:
    """Shut `Workers` and `DaskWorkers` down with the run, at once after an error.

    Other executors belong to their creators.
    """
    is_done = False
    try:
        yield
        is_done = True
    finally:
        if isinstance(executor, Workers | DaskWorkers):
            executor.shutdown(wait=is_done)
