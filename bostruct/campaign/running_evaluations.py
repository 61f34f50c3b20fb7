"""Running evaluations: those submitted to an executor that have no result yet."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)
from dataclasses import dataclass
from typing import Self, final

from bostruct.campaign.records import Trial
from bostruct.errors import ExecutorError
from bostruct.evaluators import Evaluation, EvaluationContext, Evaluator, Failure, evaluate
from bostruct.evaluators.base import FailureCause, with_output
from bostruct.evaluators.evaluation_context import KeepFolders, newest_folder, remove_working_folder
from bostruct.evaluators.program_output import last_output
from bostruct.runtime.executors import (
    InProcess,
    Workers,
    failure_reason,
    is_in_this_process,
    rebuilt,
)


@final
@dataclass(frozen=True)
class ProcessDeath:
    """Death of a process that may have computed any of several evaluations."""

    reason: str


EvaluationFuture = Future[Evaluation | Failure]
Result = Evaluation | Failure | ProcessDeath


@final
class RunningEvaluations:
    """Evaluations that were submitted to an executor and have no result yet.

    A pool that is broken by the death of one of its processes is replaced by one of the same
    settings. An evaluation during which this process died before is made in another one. Both end
    with this object.
    """

    def __init__(self, executor: Executor, evaluator: Evaluator, keep: KeepFolders) -> None:
        self.executor = executor
        self._given_executor = executor
        self._keep: KeepFolders = keep
        self._call = functools.partial(evaluate, evaluator, keep=keep)
        self._isolated = Workers()
        self._trials: dict[EvaluationFuture, tuple[Trial, EvaluationContext]] = {}

    def __len__(self) -> int:
        return len(self._trials)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._isolated.shutdown(wait=False)
        if self.executor is not self._given_executor:
            self.executor.shutdown(wait=False, cancel_futures=True)

    def admitted(self, queue: Sequence[Trial], count: int, suspects: set[int]) -> list[Trial]:
        """Return the trials that may be submitted now.

        A trial during which a process has died is evaluated alone, so that the next death is
        known to be its own. With `Workers` it is known anyway.

        Args:
            queue: Trials to evaluate, in order.
            count: Largest number of them.
            suspects: Numbers of trials during which a process has died.
        """
        if isinstance(self.executor, InProcess):
            count = min(count, 1)  # the criterion is consulted before each evaluation
        if isinstance(self.executor, Workers) or count <= 0:
            return list(queue[: max(count, 0)])
        if any(trial.number in suspects for trial, _ in self._trials.values()):
            return []
        suspicious = [trial for trial in queue if trial.number in suspects]
        if suspicious and not self._trials:
            return suspicious[:1]
        return [trial for trial in queue if trial.number not in suspects][:count]

    def submit(self, trial: Trial, context: EvaluationContext, is_suspect: bool = False) -> None:
        """Begin the evaluation of a trial.

        Args:
            trial: Trial with its structure.
            context: Context of the evaluation.
            is_suspect: True if a process has died during an earlier attempt.

        Raises:
            ExecutorError: the executor takes no evaluations.
        """
        future = None
        if is_suspect and is_in_this_process(self.executor):
            future = self._submit_isolated(trial, context)
        try:
            future = future or self._submit(trial, context)
        except BrokenExecutor as error:  # one of its processes died without work
            self._replace_executor(error)
            future = self._submit(trial, context)
        except Exception as error:
            reason = f"the executor takes no evaluation: {type(error).__name__}: {error}"
            raise ExecutorError(f"{reason}. Nothing recorded was lost.") from error
        self._trials[future] = trial, context

    def _submit(self, trial: Trial, context: EvaluationContext) -> EvaluationFuture:
        return self.executor.submit(self._call, trial.structures, context=context)

    def _submit_isolated(self, trial: Trial, context: EvaluationContext) -> EvaluationFuture | None:
        """Begin an evaluation in a process of its own, None where none can take it."""
        try:
            self._isolated.submit(int).result()
            return self._isolated.submit(self._call, trial.structures, context=context)
        except Exception:  # noqa: BLE001 - no main guard, or what cannot be pickled
            return None

    def wait(self, timeout: float | None = None) -> list[tuple[Trial, Result]]:
        """Wait for evaluations; return them with their results in the order of the trials.

        Args:
            timeout: Longest time to wait, s, after which none may be returned; None for no limit.

        Raises:
            ExecutorError: the executor is broken and cannot be replaced.
        """
        if not self._trials:
            time.sleep(timeout or 0.0)
        done, _ = wait(self._trials, timeout, return_when=FIRST_COMPLETED)
        broken = next((e for e in map(_error, done) if isinstance(e, BrokenExecutor)), None)
        if broken is not None:
            results = {future for future in done if not isinstance(_error(future), BrokenExecutor)}
            try:
                self._replace_executor(broken)
            except ExecutorError:
                if not results:
                    raise
                done = results  # they are recorded before the next call raises
            else:
                done, _ = wait(self._trials)  # a broken pool answers all of its calls
        n_lost = sum(isinstance(_error(future), BrokenExecutor) for future in done)
        ended = sorted(((f, *self._trials.pop(f)) for f in done), key=lambda each: each[1].number)
        return [(trial, self._result(future, context, n_lost)) for future, trial, context in ended]

    def cancel_waiting(self) -> list[Trial]:
        """Cancel the evaluations that have not begun; return their trials."""
        cancelled = [future for future in self._trials if future.cancel()]
        return [self._trials.pop(future)[0] for future in cancelled]

    def _result(self, future: EvaluationFuture, context: EvaluationContext, n_lost: int) -> Result:
        error = _error(future)
        if error is None:
            return future.result()
        is_broken = isinstance(error, BrokenExecutor)
        if is_broken and n_lost > 1:
            return ProcessDeath("a process of the executor died; it evaluated this or another one")
        reason = failure_reason(error, getattr(self.executor, "time_limit", None))
        if is_broken:
            reason = "the process of the evaluator died"
        # A cancelled call has not failed, and an interrupt may have come from the terminal.
        is_retryable = isinstance(error, CancelledError | KeyboardInterrupt)
        folder = None if context.folder is None else newest_folder(context.folder)
        outputs = [] if is_retryable else filter(None, [last_output(folder)])
        remove_working_folder(EvaluationContext(context.trial, folder=folder), True, self._keep)
        cause: FailureCause = "time limit" if isinstance(error, TimeoutError) else "lost"
        failure = Failure(reason or str(error), retryable=is_retryable, cause=cause)
        return with_output(failure, *outputs)

    def _replace_executor(self, error: BaseException) -> None:
        """Take a new executor in place of a broken one.

        Raises:
            ExecutorError: its settings are not known.
        """
        new, is_workers = rebuilt(self.executor), isinstance(self.executor, Workers)
        if new is None:
            hint = "`executors.Workers` outlives the death of its processes."
            raise ExecutorError(
                f"the executor is broken: {str(error).rstrip('.')}. Nothing recorded was lost; run "
                f"the same campaign again to go on. {'' if is_workers else hint}".rstrip()
            ) from error
        self.executor.shutdown(wait=False)
        self.executor = new


def _error(future: EvaluationFuture) -> BaseException | None:
    return CancelledError() if future.cancelled() else future.exception()
