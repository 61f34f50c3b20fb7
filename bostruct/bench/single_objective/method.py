"""Method of the energy benchmark: from a task and a seed to a run."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from bostruct.bench.single_objective.run import Run
from bostruct.bench.single_objective.task import Task


class Method(Protocol):
    """Method that searches for the lowest energy."""

    @property
    def name(self) -> str:
        """Name of the method in the results."""
        ...

    @property
    def max_evaluations(self) -> int:
        """Number of evaluations after which a run has failed."""
        ...

    def suits(self, task: Task) -> bool:
        """Return whether the method can search the space of a task."""
        ...

    def folder(self, task: Task) -> Path:
        """Return the folder of a task's runs below the benchmark's folder."""
        ...

    def read(self, task: Task, seed: int, out: Path) -> Run:
        """Return the stored part of one run, without continuing it."""
        ...

    def run(self, task: Task, seed: int, out: Path) -> Run:
        """Start or resume one run, and return it when it has ended."""
        ...


def empty_run(method: Method, task: Task, seed: int) -> Run:
    """Return a run without evaluations."""
    return Run(task.name, method.name, seed, method.max_evaluations, task.target_energy)


def run_folder(method: Method, task: Task, seed: int, out: Path) -> Path:
    """Return the folder of one run."""
    return out / method.folder(task) / f"seed-{seed:03d}"
