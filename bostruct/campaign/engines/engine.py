"""Choice of an engine by its name, in a campaign file or on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Final

from bostruct.campaign.engines.dask_workers import DaskWorkers
from bostruct.errors import check_choice, check_count
from bostruct.runtime.executors import InProcess, Workers

ENGINES: Final[Mapping[str, Callable[[int], Executor]]] = {
    "in-process": lambda n_workers: InProcess(),
    "processes": Workers,
    "dask": DaskWorkers,
}
"""Functions from a number of workers to an executor, by the name of the engine."""


def make_engine(name: str, n_workers: int = 1) -> Executor:
    """Return the executor of an engine.

    Args:
        name: Name: "in-process", "processes" of this machine, "dask" for a cluster of Dask on this
            machine, or the address of a Dask scheduler, such as "tcp://10.0.0.1:8786".
        n_workers: Number of worker processes that are started, if any are.

    Raises:
        InputError: there is no such engine, it is not installed, or the number is no count.
    """
    check_count("n_workers", n_workers)
    if "://" in name:
        return DaskWorkers(client=name)
    hint = " or the address of a Dask scheduler"
    return ENGINES[check_choice("engine", name, ENGINES, hint)](n_workers)
