"""Executors of evaluator calls: the two that bostruct has beside any `concurrent.futures.Executor`.

`InProcess` is the default. `Workers` computes in separate processes: a calculator that hangs or
crashes there is a failed trial, not the end of the campaign.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from multiprocessing import connection
from typing import Any, ParamSpec, TypeVar, final

import cloudpickle
from pebble import ProcessExpired, ProcessPool

from bostruct.errors import check_count, check_positive
from bostruct.runtime.main_guard import check_main_guard

T = TypeVar("T")
P = ParamSpec("P")

PRELOADED_MODULES = ["bostruct.runtime.executors", "ase.calculators.calculator"]
"""Modules imported before workers start, so that no call spends its time limit on them."""

_function_cache: dict[str, Callable[..., Any]] = {}
"""Last function that a worker received, so that a calculator is made once in each process."""


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

    The processes start with the first call and end with `shutdown`; the next call starts new ones,
    so that one executor in a campaign file serves many runs. Functions travel by value
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
        self._pool: ProcessPool | None = None
        self._mutex = threading.Lock()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call the function in a worker.

        Raises:
            InputError: a script calls it outside of `if __name__ == "__main__":`.
        """
        function = cloudpickle.dumps(fn)
        arguments = cloudpickle.dumps((args, kwargs))
        with self._mutex:
            if self._pool is None:
                check_main_guard(starts_processes=True)
                self._pool = _make_pool(self.max_workers)
            inner = self._pool.schedule(
                _call_in_worker, args=(function, arguments), timeout=self.time_limit
            )
        outer: Future[T] = Future()
        outer.set_running_or_notify_cancel()
        inner.add_done_callback(lambda inner: _forward_result(inner, outer))
        return outer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes; without `wait`, also those that are computing."""
        with self._mutex:
            pool, self._pool = self._pool, None
        if pool is None:
            return
        if wait and not cancel_futures:
            pool.close()
        else:
            pool.stop()
        pool.join()


def failure_reason(error: BaseException, time_limit: float | None = None) -> str | None:
    """Return why one call was lost, or None if the executor itself is broken."""
    if isinstance(error, TimeoutError):
        limit = "" if time_limit is None else f" of {time_limit:g} s"
        return f"the evaluator took longer than the time limit{limit}"
    if isinstance(error, ProcessExpired):
        return f"the process of the evaluator died: {_exit_reason(error.exitcode)}"
    if isinstance(error, BrokenExecutor | CancelledError):
        return None
    return f"the executor lost the call: {type(error).__name__}: {error}"


def _exit_reason(code: int) -> str:
    if code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    return f"exit code {code}"


def _make_pool(max_workers: int) -> ProcessPool:
    # Not fork: torch's threads and locks would not survive it. The fork server imports torch
    # once, so that a worker which replaces a dead one starts at once.
    method = "spawn" if sys.platform == "win32" else "forkserver"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(PRELOADED_MODULES)
    return ProcessPool(max_workers=max_workers, initializer=_initialize_worker, context=context)


def _initialize_worker() -> None:
    """Make a worker ignore Ctrl-C and exit with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the campaign
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _call_in_worker(function: bytes, arguments: bytes) -> bytes:
    """Run in a worker; bytes travel both ways, as torch would send file descriptors."""
    digest = hashlib.sha256(function).hexdigest()
    if digest not in _function_cache:
        _function_cache.clear()
        _function_cache[digest] = cloudpickle.loads(function)
    args, kwargs = cloudpickle.loads(arguments)
    result: bytes = cloudpickle.dumps(_function_cache[digest](*args, **kwargs))
    return result


def _forward_result(inner: Future[bytes], outer: Future[T]) -> None:
    error = CancelledError() if inner.cancelled() else inner.exception()
    if error is not None:
        outer.set_exception(error)
    else:
        outer.set_result(cloudpickle.loads(inner.result()))
