"""The loop: plan, evaluate, record, until a stop rule ends it."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager

from bostruct.campaign.budget import Budget, budget
from bostruct.campaign.progress import Line
from bostruct.campaign.records import Trial
from bostruct.campaign.session import Session
from bostruct.campaign.stop import Stop
from bostruct.errors import ExhaustedError
from bostruct.evaluators import Evaluation, Failure, evaluate
from bostruct.runtime.executors import InProcess, Workers, failed

InFlight = dict[Future[Evaluation | Failure], Trial]

EXHAUSTED = "every structure that was found has been evaluated"


def loop(session: Session, executor: Executor, stop: Stop, line: Line) -> str:
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
        left = budget(stop, progress, session.parts.check, session.seconds())
        line.show(progress, stop.room(progress))
        queue, room = _queue(session, left, busy=bool(in_flight))
        count = len(queue) if room is None else max(room - len(in_flight), 0)
        if isinstance(executor, InProcess):
            count = min(count, 1)  # the rule is asked before each
        call = functools.partial(evaluate, session.parts.evaluator)
        for trial in session.hand_out(queue[:count]):
            in_flight[executor.submit(call, trial.structures)] = trial
        if not in_flight:
            session.conclude()
            return left.reason or EXHAUSTED
        done, _ = wait(in_flight, return_when=FIRST_COMPLETED)
        for future in done:
            session.tell(in_flight.pop(future), _outcome(future, executor))
        session.require_forces()


def _queue(
    session: Session, left: Budget, busy: bool
) -> tuple[list[Trial], int | None]:
    """Return the trials that are to be asked for now, and for how many there is room.

    Raises:
        ExhaustedError: there is nothing to ask for, and no energy is known.
    """
    if left.reason is not None:
        if busy or left.room == 0 or session.parts.check is None:
            return [], 0
        return session.checks() or session.plan_check(), left.room
    queue = session.queue()
    if busy or queue:
        return queue, left.room
    # What the search leaves is the check's; what that does not need goes back to it.
    if left.due or session.due():
        queue = session.plan_check()
    if not queue:
        try:
            queue = session.plan(session.parts.batch)
        except ExhaustedError:
            if not session.ledger.undecoded("done"):
                raise
            queue = session.plan_check()
    return queue, left.room


def _outcome(
    future: Future[Evaluation | Failure], executor: Executor
) -> Evaluation | Failure:
    error = future.exception()
    if error is None:
        return future.result()
    reason = failed(error, getattr(executor, "time_limit", None))
    if reason is None:
        error.add_note("What was asked for is in the log; the next run asks again.")
        raise error
    return Failure(reason)


@contextmanager
def ended(executor: Executor) -> Iterator[None]:
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
