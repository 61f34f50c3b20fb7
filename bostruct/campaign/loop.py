"""The loop: plan, evaluate, record, until a stop rule ends it."""

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
from bostruct.runtime.executors import InProcess, Workers, failure_reason

InFlight = dict[Future[Evaluation | Failure], Trial]

EXHAUSTED = "every structure that was found has been evaluated"


def run_loop(
    session: Session,
    executor: Executor,
    stop: StoppingCriterion,
    progress_line: ProgressLine,
) -> str:
    """Run a campaign and return why it ended.

    A step is planned when every trial of the one before has its outcome, so the order
    in which parallel evaluations finish changes nothing. When the search is over, the
    check begins, if there is one.
    """
    in_flight: InFlight = {}
    start = time.monotonic()
    session.require_forces()
    while True:
        progress = session.progress(time.monotonic() - start)
        left = remaining_budget(
            stop,
            progress,
            session.components.final_relaxation,
            session.median_evaluation_seconds(),
        )
        progress_line.update(progress, stop.remaining(progress))
        queue, room = _next_trials(session, left, has_in_flight=bool(in_flight))
        count = len(queue) if room is None else max(room - len(in_flight), 0)
        if isinstance(executor, InProcess):
            count = min(count, 1)  # the rule is asked before each
        call = functools.partial(evaluate, session.components.evaluator)
        for trial in session.start_evaluations(queue[:count]):
            in_flight[executor.submit(call, trial.structures)] = trial
        if not in_flight:
            session.record_relaxations()
            return left.reason or EXHAUSTED
        done, _ = wait(in_flight, return_when=FIRST_COMPLETED)
        for future in done:
            session.tell(in_flight.pop(future), _evaluation_result(future, executor))
        session.require_forces()


def _next_trials(
    session: Session, budget: Budget, has_in_flight: bool
) -> tuple[list[Trial], int | None]:
    """Return the trials that are to be asked for now, and for how many there is room.

    Raises:
        ExhaustedError: there is nothing to ask for, and no energy is known.
    """
    if budget.reason is not None:
        if has_in_flight or budget.remaining == 0 or session.components.final_relaxation is None:
            return [], 0
        return (
            session.planned_relaxation_trials() or session.plan_relaxation_step(),
            budget.remaining,
        )
    queue = session.planned_trials()
    if has_in_flight or queue:
        return queue, budget.remaining
    # What the search leaves is the check's; what that does not need goes back to it.
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
        error.add_note("What was asked for is in the log; the next run asks again.")
        raise error
    return Failure(reason)


@contextmanager
def shutdown_on_exit(executor: Executor) -> Iterator[None]:
    """End the processes of `Workers` with the run, at once if something went wrong.

    An executor of another kind belongs to who made it.
    """
    try:
        yield
    except BaseException:
        if isinstance(executor, Workers):
            executor.shutdown(wait=False)
        raise
    if isinstance(executor, Workers):
        executor.shutdown()
