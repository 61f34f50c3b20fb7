"""The loop: plan, evaluate, record, until a stop rule ends it."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager

from bostruct.campaign.executors import InProcess, Workers, failed
from bostruct.campaign.progress import Line
from bostruct.campaign.records import Trial
from bostruct.campaign.session import Session
from bostruct.campaign.stop import Progress, Stop
from bostruct.errors import ExhaustedError
from bostruct.evaluators import Evaluation, Failure, evaluate

InFlight = dict[Future[Evaluation | Failure], Trial]


def loop(session: Session, executor: Executor, stop: Stop, line: Line) -> str:
    """Run a campaign and return why it ended.

    A step is planned when every trial of the one before has its outcome, so the order
    in which parallel evaluations finish changes nothing.
    """
    in_flight: InFlight = {}
    start = time.monotonic()
    while True:
        progress = Progress(session.energies(), time.monotonic() - start)
        room = stop.room(progress)
        line.show(progress, room)
        reason = stop.reason(progress)
        if reason and not in_flight:
            return reason
        if not reason:
            try:
                _submit(session, executor, in_flight, room)
            except ExhaustedError:
                if any(energy is not None for energy in progress.energies):
                    return "every structure that was found has been evaluated"
                raise
        done, _ = wait(in_flight, return_when=FIRST_COMPLETED)
        for future in done:
            session.tell(in_flight.pop(future), _outcome(future, executor))


def _submit(
    session: Session, executor: Executor, in_flight: InFlight, room: int | None
) -> None:
    """Ask for as many energies of the step as the stop rule leaves room for."""
    call = functools.partial(evaluate, session.parts.evaluator)
    queue = session.queue()
    if not queue and not in_flight:
        queue = session.plan(session.parts.batch)
    count = len(queue) if room is None else max(room - len(in_flight), 0)
    if isinstance(executor, InProcess):
        count = min(count, 1)  # the rule is asked before each
    for trial in session.hand_out(queue[:count]):
        in_flight[executor.submit(call, trial.structures)] = trial


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
