"""The benchmark: every task, method and seed, and what came of them.

Everything is on disk when it is known, so a benchmark that was interrupted goes on with
the same command, and one with more seeds or a larger cap uses what is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pebble import ProcessExpired

from bostruct.bench.diagnosis.failures import failures
from bostruct.bench.single_objective.effort_plot import effort
from bostruct.bench.single_objective.method import Method, measure
from bostruct.bench.single_objective.results import JSON, Results
from bostruct.bench.single_objective.run import Run
from bostruct.bench.single_objective.success_plot import success
from bostruct.bench.single_objective.task import Task
from bostruct.errors import InputError, LogError, check_count, must
from bostruct.runtime.executors import InProcess, Workers

EVERY = 60.0
"""s. The results are written as often while runs end, and at the end."""


class Job(NamedTuple):
    """One run that is wanted."""

    task: Task
    method: Method
    seed: int


Tell = Callable[[Results], None]
"""Is told of all runs as they are."""


def compare(
    tasks: Sequence[Task],
    methods: Sequence[Method],
    seeds: int,
    out: str | Path,
    *,
    jobs: int = 1,
    tell: Tell | None = None,
    end: Tell | None = None,
) -> Results:
    """Run every method on every task with seeds from 0, and write the results.

    They are written as well where it is interrupted.

    Args:
        tasks: Each with a name of its own.
        methods: Each with a name of its own.
        seeds: How many.
        out: The folder of the results, and of every run.
        jobs: Runs at the same time, each on one core.
        tell: Is told at the start and whenever a run has ended.
        end: Is told at the end, also at that of an interruption.

    Raises:
        InputError: a number is out of range, or two tasks or methods have one name.
        LogError: a folder cannot be written, or holds something else.
    """
    check_count("seeds", seeds)
    check_count("jobs", jobs)
    _check_names("tasks", [task.name for task in tasks])
    _check_names("methods", [method.name for method in methods])
    folder = Path(out)
    _check_folder(folder)
    wanted = [
        Job(task, method, seed)
        for seed in range(seeds)
        for task in tasks
        for method in methods
    ]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LogError(f"could not make {folder}: {error.strerror or error}") from error
    runs = [method.read(task, seed, folder) for task, method, seed in wanted]
    executor: Executor = InProcess() if jobs == 1 else Workers(jobs)
    written = _write(Results(tasks, runs), folder)
    try:
        for _ in _complete(wanted, runs, folder, executor):
            if time.monotonic() - written > EVERY:
                written = _write(Results(tasks, runs), folder)
            if tell is not None:
                tell(Results(tasks, runs))
    except BaseException:
        results = Results(tasks, _read(wanted, runs, folder))
        _write(results, folder)
        if end is not None:
            end(results)
        raise
    results = Results(tasks, _read(wanted, runs, folder))
    _write(results, folder)  # also if the rest is interrupted
    results = replace(results, findings=failures(results, methods, folder))
    results.write(folder)
    if end is not None:
        end(results)
    return results


def _read(wanted: Sequence[Job], runs: Sequence[Run], out: Path) -> list[Run]:
    """Return all runs, those that have not ended as they are on disk."""
    return [
        run if run.finished else method.read(task, seed, out)
        for run, (task, method, seed) in zip(runs, wanted, strict=True)
    ]


def _write(results: Results, folder: Path) -> float:
    """Write results and pictures; return when."""
    results.write(folder)
    success(results, folder)
    effort(results, folder)
    return time.monotonic()


def _complete(
    wanted: Sequence[Job], runs: list[Run], out: Path, executor: Executor
) -> Iterator[None]:
    """Bring every run to its end, in place; yield at the start and after each."""
    yield
    places: dict[Future[Run], int] = {}
    try:
        for i, (task, method, seed) in enumerate(wanted):
            if runs[i].finished:
                continue
            future = executor.submit(measure, method, task, seed, out)
            if isinstance(executor, InProcess):
                runs[i] = future.result()
                yield
            else:
                places[future] = i
        for future in as_completed(places):
            i = places[future]
            runs[i] = _result(future, runs[i])
            yield
    finally:
        if isinstance(executor, Workers):
            executor.shutdown(wait=False)  # what has not ended goes on next time


def _result(future: Future[Run], before: Run) -> Run:
    error = future.exception()
    if isinstance(error, ProcessExpired):
        return replace(before, reason="its process died")
    return future.result()


def _check_names(kind: str, names: Sequence[str]) -> None:
    if not names:
        raise InputError(must(kind, "be at least one", "none"))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(must(kind, "have names of their own", ", ".join(twice)))


def _check_folder(out: Path) -> None:
    """Refuse a folder that holds something else.

    Raises:
        LogError: it does.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise LogError(f"{out} is a file, not a folder. Take another name.")
    if any(out.iterdir()) and not (out / JSON).is_file():
        raise LogError(
            f"{out} is not the folder of a benchmark and not empty. "
            "Take an empty or a new folder."
        )
