"""Executors of evaluator calls: the two that bostruct has beside any `concurrent.futures.Executor`.

`InProcess` is the default. `Workers` computes in separate processes: a calculator that hangs or
crashes there is a failed trial, not the end of the campaign.
"""

from __future__ import annotations

import atexit
import hashlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from dataclasses import dataclass
from multiprocessing import connection
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar, final

import cloudpickle

from bostruct.errors import check_count, check_positive
from bostruct.runtime.main_guard import check_main_guard

T = TypeVar("T")
P = ParamSpec("P")

PRELOADED_MODULES = ["bostruct.runtime.executors", "ase.calculators.calculator"]
"""Modules imported before workers start, so that no call spends its time limit on them."""

TERMINATION_SECONDS = 3.0
"""Seconds that a process has to end after SIGTERM, before SIGKILL."""

END_SECONDS = 0.1
"""Seconds that a process has to end by itself when its pipe closes."""

READY, STARTED = b"ready", b"started"
"""Messages of a worker: it can take calls; the function is unpacked and its time begins."""

_function_cache: dict[str, Callable[..., Any]] = {}
"""Last function that a worker received, so that a calculator is made once in each process."""

_process_mutex = threading.Lock()
"""Lock of starting and joining processes: multiprocessing asks for the state of all of them."""


class WorkerDiedError(RuntimeError):
    """A worker process that ended during a call.

    Args:
        exitcode: Exit code of the process; the negative number of the signal that ended it.
    """

    def __init__(self, exitcode: int | None) -> None:
        super().__init__(exitcode)
        self.exitcode = exitcode

    def __str__(self) -> str:
        """Return the reason for which the process ended."""
        return f"the process of the evaluator died: {_exit_reason(self.exitcode)}"


@final
class InProcess(Executor):
    """Executor that computes in this process, one call after the other."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call the function now; return its result as a future."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it belongs to the future
            future.set_exception(error)
        return future


@final
class Workers(Executor):
    """Executor with worker processes that may crash or be killed.

    The processes start with the first calls and end with `shutdown`; the next call starts new
    ones, so that one executor in a campaign file serves many runs. Functions travel by value
    (cloudpickle), so functions defined in a campaign file work; a script that calls `run` needs
    `if __name__ == "__main__":` around it.

    Args:
        max_workers: Number of processes.
        time_limit: Longest duration of one call in seconds; a process that takes longer is killed.
    """

    def __init__(self, max_workers: int = 1, time_limit: float | None = None) -> None:
        check_count("max_workers", max_workers)
        if time_limit is not None:
            check_positive("time_limit", time_limit, "In seconds, or None.")
        self.max_workers = max_workers
        self.time_limit = time_limit
        self._pool: _Pool | None = None
        self._mutex = threading.Lock()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call the function in a worker.

        Raises:
            InputError: a script calls it outside of `if __name__ == "__main__":`.
        """
        future: Future[T] = Future()
        call = _Call(future, cloudpickle.dumps(fn), cloudpickle.dumps((args, kwargs)))
        with self._mutex:
            if self._pool is None:
                check_main_guard(starts_processes=True)
                self._pool = _Pool(self.max_workers, self.time_limit)
                atexit.register(self.shutdown, wait=False)
            self._pool.calls.put(call)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes; without `wait`, also those that are computing."""
        with self._mutex:
            pool, self._pool = self._pool, None
        if pool is not None:
            atexit.unregister(self.shutdown)
            pool.end(at_once=not wait or cancel_futures)


@dataclass(frozen=True)
class _Call:
    """Call of a function in a worker: bytes, as torch would send file descriptors."""

    future: Future[Any]
    function: bytes
    arguments: bytes


class _Pool:
    """Worker processes, each with a thread of this process that waits for it."""

    def __init__(self, max_workers: int, time_limit: float | None) -> None:
        self.calls: SimpleQueue[_Call | None] = SimpleQueue()
        self.workers = [_Worker(self.calls, time_limit) for _ in range(max_workers)]
        self.threads = [threading.Thread(target=w.serve, daemon=True) for w in self.workers]
        for thread in self.threads:
            thread.start()

    def end(self, at_once: bool) -> None:
        """End the workers: at once, or when every call has been answered."""
        if at_once:
            while not self.calls.empty():
                call = self.calls.get()
                if call is not None:
                    call.future.cancel()
            for worker in self.workers:
                worker.stop()
        for _ in self.workers:
            self.calls.put(None)
        for worker, thread in zip(self.workers, self.threads, strict=True):
            if at_once:
                thread.join(TERMINATION_SECONDS)
                worker.stop(signal.SIGKILL)
            thread.join()


class _Worker:
    """One worker process. Its pipe is its own, so that its death disturbs no other."""

    def __init__(self, calls: SimpleQueue[_Call | None], time_limit: float | None) -> None:
        self.calls, self.time_limit = calls, time_limit
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: connection.Connection | None = None
        self._is_stopped = False

    def serve(self) -> None:
        """Answer calls until there are no more."""
        while (call := self.calls.get()) is not None:
            if not call.future.set_running_or_notify_cancel():
                continue
            try:
                is_error, value = cloudpickle.loads(self._answer(call))
            except BaseException as error:  # noqa: BLE001 - it belongs to the future
                is_error, value = True, CancelledError() if self._is_stopped else error
            if is_error:
                call.future.set_exception(value)
            else:
                call.future.set_result(value)
        self._end_process(TERMINATION_SECONDS)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the process even while it computes; no other takes its place."""
        with _process_mutex:
            self._is_stopped = True
            if self._process is not None:
                _send_signal(self._process, number)

    def _answer(self, call: _Call) -> bytes:
        """Return the pickled answer of the process to a call.

        A process that ended before the function began, as one that was killed between two calls, is
        replaced once.

        Raises:
            TimeoutError: the call took longer than the time limit.
            WorkerDiedError: the process ended.
            BrokenExecutor: no process could be started.
        """
        try:
            answer = self._send(call)
        except WorkerDiedError:
            answer = self._send(call)
        return self._receive(self.time_limit) if answer == STARTED else answer

    def _send(self, call: _Call) -> bytes:
        """Send a call; return `STARTED`, or the answer where the function could not be loaded."""
        if self._process is None or connection.wait([self._process.sentinel], 0):
            self._end_process()
            self._start_process()
        assert self._pipe is not None
        try:
            self._pipe.send_bytes(call.function)
            self._pipe.send_bytes(call.arguments)
        except OSError:
            raise WorkerDiedError(self._end_process()) from None
        return self._receive(None)

    def _receive(self, timeout: float | None) -> bytes:
        """Return the next message of the process."""
        assert self._pipe is not None
        assert self._process is not None
        if not connection.wait([self._pipe, self._process.sentinel], timeout):
            self._end_process()
            raise TimeoutError
        try:
            if self._pipe.poll():
                return self._pipe.recv_bytes()
        except (EOFError, OSError):  # in the middle of a message
            pass
        raise WorkerDiedError(self._end_process())

    def _start_process(self) -> None:
        # Not fork: torch's threads and locks would not survive it. The fork server imports torch
        # once, so that a worker which replaces a dead one starts at once.
        method = "spawn" if sys.platform == "win32" else "forkserver"
        context: Any = multiprocessing.get_context(method)
        if method == "forkserver":
            context.set_forkserver_preload(PRELOADED_MODULES)
        self._pipe, pipe_of_worker = context.Pipe()
        process = context.Process(target=_run_worker, args=(pipe_of_worker,))
        with _process_mutex:
            if self._is_stopped:
                raise CancelledError
            process.start()
            self._process = process
        pipe_of_worker.close()
        try:
            self._receive(None)
        except WorkerDiedError as error:
            raise BrokenExecutor(
                f"a worker process could not start: {_exit_reason(error.exitcode)}. A script "
                'that calls `run` needs `if __name__ == "__main__":` around it.'
            ) from error

    def _end_process(self, seconds: float = END_SECONDS) -> int | None:
        """End the process, if it does not end by itself in time; return its exit code."""
        process, pipe, self._pipe = self._process, self._pipe, None
        if pipe is not None:
            pipe.close()  # a process that waits for calls ends now
        if process is None:
            return None
        for number in (signal.SIGTERM, signal.SIGKILL):
            if connection.wait([process.sentinel], seconds):
                break
            _send_signal(process, number)
            seconds = TERMINATION_SECONDS
        with _process_mutex:
            self._process = None
            process.join()
            exitcode = process.exitcode
            process.close()
        return exitcode


def _send_signal(process: multiprocessing.process.BaseProcess, number: signal.Signals) -> None:
    if number == signal.SIGTERM:
        process.terminate()
    else:
        process.kill()


def failure_reason(error: BaseException, time_limit: float | None = None) -> str | None:
    """Return why one call was lost, or None if the executor itself is broken."""
    if isinstance(error, TimeoutError):
        limit = "" if time_limit is None else f" of {time_limit:g} s"
        return f"the evaluator took longer than the time limit{limit}"
    if isinstance(error, WorkerDiedError):
        return str(error)
    if isinstance(error, CancelledError):
        return "the executor cancelled the call"
    if isinstance(error, BrokenExecutor):
        return None
    return f"the executor lost the call: {type(error).__name__}: {error}"


def is_in_this_process(executor: Executor) -> bool:
    """Return whether calls run in this process, so that a crash in one ends it."""
    return isinstance(executor, InProcess | ThreadPoolExecutor)


def rebuilt(executor: Executor) -> Executor | None:
    """Return a new executor with the settings of a broken one, None where they are not known.

    A `ProcessPoolExecutor` of which one process has died takes no calls any more.
    """
    names = ("max_workers", "mp_context", "initializer", "initargs", "max_tasks_per_child")
    if type(executor) is not ProcessPoolExecutor or any(
        not hasattr(executor, f"_{name}") for name in names
    ):
        return None
    return ProcessPoolExecutor(**{name: getattr(executor, f"_{name}") for name in names})


def _exit_reason(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _run_worker(pipe: connection.Connection) -> None:
    """Answer calls in a worker process until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the campaign
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    pipe.send_bytes(READY)
    while True:
        try:
            function, arguments = pipe.recv_bytes(), pipe.recv_bytes()
        except (EOFError, OSError):
            return
        pipe.send_bytes(_answer_call(function, arguments, lambda: pipe.send_bytes(STARTED)))


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _answer_call(function: bytes, arguments: bytes, on_start: Callable[[], None]) -> bytes:
    """Return whether a call raised an error, and its result or the error, pickled."""
    try:
        unpacked = _unpacked(function)
        args, kwargs = cloudpickle.loads(arguments)
        on_start()
        answer: bytes = cloudpickle.dumps((False, unpacked(*args, **kwargs)))
    except BaseException as error:  # noqa: BLE001 - SystemExit of foreign code as well
        return _pickled_error(error)
    return answer


def call_pickled(function: bytes, arguments: bytes) -> Any:  # noqa: ANN401 - of any type
    """Return the result of a call that travelled pickled by value.

    Args:
        function: Function, pickled by cloudpickle.
        arguments: Positional and keyword arguments, pickled by cloudpickle.
    """
    unpacked = _unpacked(function)
    args, kwargs = cloudpickle.loads(arguments)
    return unpacked(*args, **kwargs)


def _unpacked(function: bytes) -> Callable[..., Any]:
    """Return a function as it was unpacked the first time, if it is the last one."""
    digest = hashlib.sha256(function).hexdigest()
    found = _function_cache.get(digest)
    if found is None:
        found = cloudpickle.loads(function)
        _function_cache.clear()
        _function_cache[digest] = found
    return found


def _pickled_error(error: BaseException) -> bytes:
    """Return an error that can be read everywhere: itself, or its text."""
    try:
        data: bytes = cloudpickle.dumps((True, error))
        cloudpickle.loads(data)
    except BaseException:  # noqa: BLE001 - foreign code
        text = f"{type(error).__name__}: {error.args!r}"
        data = cloudpickle.dumps((True, RuntimeError(text)))
    return data
