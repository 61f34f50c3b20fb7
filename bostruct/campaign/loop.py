"""Loop of a campaign: plan, evaluate and record until a stopping criterion holds."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager

from bostruct.campaign.budget import Budget, remaining_budget
from bostruct.campaign.progress import ProgressLine
from bostruct.campaign.records import Trial
from bostruct.campaign.session import Session
from bostruct.campaign.stop import StoppingCriterion
from bostruct.errors import ExhaustedError
from bostruct.evaluators import Evaluation, Failure, evaluate
from bostruct.evaluators.evaluation_context import KeepFolders
from bostruct.runtime.executors import InProcess, Workers, failure_reason

InFlight = dict[Future[Evaluation | Failure], Trial]

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
    evaluations finish changes nothing. The final relaxation follows the search.
    """
    in_flight: InFlight = {}
    start = time.monotonic()
    session.require_forces()
    while True:
        progress = session.progress(time.monotonic() - start)
        budget = remaining_budget(
            stop, progress, session.components.final_relaxation, session.median_evaluation_seconds()
        )
        progress_line.update(progress, stop.remaining(progress), session.best_name)
        queue, remaining = _next_trials(session, budget, has_in_flight=bool(in_flight))
        count = len(queue) if remaining is None else max(remaining - len(in_flight), 0)
        if isinstance(executor, InProcess):
            count = min(count, 1)  # the criterion is consulted before each evaluation
        call = functools.partial(evaluate, session.components.evaluator, keep=keep)
        for trial in session.start_evaluations(queue[:count]):
            context = session.evaluation_context(trial)
            in_flight[executor.submit(call, trial.structures, context=context)] = trial
        if not in_flight:
            session.record_relaxations()
            return budget.reason or EXHAUSTED
        done, _ = wait(in_flight, return_when=FIRST_COMPLETED)
        for future in done:
            session.tell(in_flight.pop(future), _evaluation_result(future, executor))
        session.require_forces()


def _next_trials(
    session: Session, budget: Budget, has_in_flight: bool
) -> tuple[list[Trial], int | None]:
    """Return the trials to evaluate now, and how many evaluations remain.

    Raises:
        ExhaustedError: no structure is left, and no energy is known.
    """
    if budget.reason is not None:
        if has_in_flight or budget.remaining == 0 or session.components.final_relaxation is None:
            return [], 0
        queue = session.planned_relaxation_trials() or session.plan_relaxation_step()
        return queue, budget.remaining
    queue = session.planned_trials()
    if has_in_flight or queue:
        return queue, budget.remaining
    # The search leaves a part of the budget to the relaxation, which returns what it does not need.
    if budget.is_relaxation_due or session.is_relaxation_due():
        queue = session.plan_relaxation_step()
    if not queue:
        try:
            queue = session.plan_step(session.components.batch_size)
        except ExhaustedError:
            if not session.writer.trial_records("done"):
                raise
            queue = session.plan_relaxation_step()
    return queue, budget.remaining


def _evaluation_result(
    future: Future[Evaluation | Failure], executor: Executor
) -> Evaluation | Failure:
    error = future.exception()
    if error is None:
        return future.result()
    reason = failure_reason(error, getattr(executor, "time_limit", None))
    if reason is None:
        error.add_note("The trial is in the log; the next run evaluates it again.")
        raise error
    return Failure(reason)


@contextmanager
def shutdown_on_exit(executor: Executor) -> Iterator[None]:
    """Shut `Workers` down with the run, at once after an error.

    Other executors belong to their creators.
    """
    try:
        yield
    except BaseException:
        if isinstance(executor, Workers):
            executor.shutdown(wait=False)
        raise
    if isinstance(executor, Workers):
        executor.shutdown()
