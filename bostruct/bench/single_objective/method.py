"""What is compared: a method finds the lowest energy of a task from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch

from bostruct.bench.single_objective.run import Run
from bostruct.bench.single_objective.task import Task


class Method(Protocol):
    """One way to find the lowest energy."""

    @property
    def name(self) -> str:
        """In the results."""
        ...

    @property
    def max_evaluations(self) -> int:
        """Evaluations after which a run has failed."""
        ...

    def folder(self, task: Task) -> Path:
        """Return where its runs of a task lie below the benchmark's folder."""
        ...

    def read(self, task: Task, seed: int, out: Path) -> Run:
        """Return what is on disk of one run, without going on with it."""
        ...

    def run(self, task: Task, seed: int, out: Path) -> Run:
        """Start one run or go on with it, to its end."""
        ...


def run_folder(method: Method, task: Task, seed: int, out: Path) -> Path:
    """Return where one run lies."""
    return out / method.folder(task) / f"seed-{seed:03d}"


def run_single_threaded(method: Method, task: Task, seed: int, out: Path) -> Run:
    """Run to the end on one core."""
    with single_thread():
        return method.run(task, seed, out)


@contextmanager
def single_thread() -> Iterator[None]:
    """Let torch use one core, so that times can be compared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
