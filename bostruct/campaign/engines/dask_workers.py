"""Executor on the workers of Dask: processes of this machine, or those of a cluster."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar, final

import cloudpickle

from bostruct.errors import InputError, check_count, error_message
from bostruct.runtime.executors import call_pickled
from bostruct.runtime.main_guard import check_main_guard

T = TypeVar("T")
P = ParamSpec("P")

START_SECONDS = 60
"""Longest time in which a scheduler answers, s."""


@final
class DaskWorkers(Executor):
    """Executor on the workers of Dask, pip install 'bostruct[dask]'.

    Without a client it starts a cluster of processes on this machine with the first call, and ends
    it with `shutdown`; the next call starts another one. With one, or with the address of a
    scheduler, it takes the workers that are there, and leaves them. Functions travel by value
    (cloudpickle), so functions defined in a campaign file work.

    A worker that dies loses its own evaluation, which is a failure by the cause "lost" for the
    `RetryPolicy`. There is no time limit: let the evaluator have one.

    Args:
        n_workers: Number of processes of the cluster on this machine.
        client: The `distributed.Client`, or the address of a scheduler, such as
            "tcp://10.0.0.1:8786"; None for a cluster on this machine.

    Raises:
        InputError: Dask is not installed, or the number is no count.
    """

    def __init__(self, n_workers: int = 1, client: Any = None) -> None:  # noqa: ANN401
        if importlib.util.find_spec("distributed") is None:
            hint = "Run: pip install 'bostruct[dask]'"
            raise InputError(error_message("distributed", "be installed for Dask", "none", hint))
        self.n_workers = check_count("n_workers", n_workers)
        self.client = client
        self._executor: Executor | None = None
        self._owned: tuple[Any, ...] = ()  # client and cluster, closed in this order
        self._mutex = threading.Lock()

    @property
    def starts_processes(self) -> bool:
        """True if it starts processes on this machine, which import the script."""
        return self.client is None

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call the function on a worker.

        Raises:
            InputError: the address is that of no scheduler, or a script calls it outside of
                `if __name__ == "__main__":`.
        """
        function, arguments = cloudpickle.dumps(fn), cloudpickle.dumps((args, kwargs))
        with self._mutex:
            if self._executor is None:
                self._executor = self._connect()
            return self._executor.submit(call_pickled, function, arguments)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the calls, without `wait` at once, and the processes that this has started."""
        with self._mutex:
            executor, self._executor = self._executor, None
            owned, self._owned = self._owned, ()
        if executor is not None:
            executor.shutdown(wait=wait and not cancel_futures)
        for each in owned:
            each.close()

    def _connect(self) -> Executor:
        import distributed

        client = self.client
        if client is None:
            check_main_guard(starts_processes=True)
            cluster = distributed.LocalCluster(
                n_workers=self.n_workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                memory_limit=0,
                silence_logs="CRITICAL",
                # What kills one worker is not given to another one before the campaign knows.
                scheduler_kwargs={"allowed_failures": 0},
            )
            client = distributed.Client(cluster)
            self._owned = client, cluster
        elif isinstance(client, str):
            try:
                client = distributed.Client(client, timeout=START_SECONDS)
            except (OSError, ValueError) as error:
                condition = "be the address of a Dask scheduler"
                hint = f"{type(error).__name__}: {error}"
                raise InputError(error_message("client", condition, self.client, hint)) from error
            self._owned = (client,)
        executor: Executor = client.get_executor(pure=False, retries=0)
        return executor
