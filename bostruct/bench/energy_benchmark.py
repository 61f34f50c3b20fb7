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

from bostruct.bench.diagnosis.failures import diagnose_failures
from bostruct.bench.single_objective.effort_plot import plot_effort
from bostruct.bench.single_objective.method import Method, run_single_threaded
from bostruct.bench.single_objective.results import RESULTS_JSON, Results
from bostruct.bench.single_objective.run import Run
from bostruct.bench.single_objective.success_plot import plot_success
from bostruct.bench.single_objective.task import Task
from bostruct.errors import InputError, LogError, check_count, error_message
from bostruct.runtime.executors import InProcess, Workers

WRITE_INTERVAL = 60.0
"""s. The results are written as often while runs end, and at the end."""


class Job(NamedTuple):
    """One run that is wanted."""

    task: Task
    method: Method
    seed: int


ResultsCallback = Callable[[Results], None]
"""Is told of all runs as they are."""


def run_energy_benchmark(
    tasks: Sequence[Task],
    methods: Sequence[Method],
    n_seeds: int,
    out: str | Path,
    *,
    n_workers: int = 1,
    on_progress: ResultsCallback | None = None,
    on_end: ResultsCallback | None = None,
) -> Results:
    """Run every method on every task with seeds from 0, and write the results.

    They are written as well where it is interrupted.

    Args:
        tasks: Each with a name of its own.
        methods: Each with a name of its own.
        n_seeds: How many.
        out: The folder of the results, and of every run.
        n_workers: Runs at the same time, each on one core.
        on_progress: Is told at the start and whenever a run has ended.
        on_end: Is told at the end, also at that of an interruption.

    Raises:
        InputError: a number is out of range, or two tasks or methods have one name.
        LogError: a folder cannot be written, or holds something else.
    """
    check_count("n_seeds", n_seeds)
    check_count("n_workers", n_workers)
    _check_names("tasks", [task.name for task in tasks])
    _check_names("methods", [method.name for method in methods])
    folder = Path(out)
    _check_folder(folder)
    wanted = [
        Job(task, method, seed) for seed in range(n_seeds) for task in tasks for method in methods
    ]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LogError(f"could not make {folder}: {error.strerror or error}") from error
    runs = [method.read(task, seed, folder) for task, method, seed in wanted]
    executor: Executor = InProcess() if n_workers == 1 else Workers(n_workers)
    written = _write_results(Results(tasks, runs), folder)
    try:
        for _ in _complete_runs(wanted, runs, folder, executor):
            if time.monotonic() - written > WRITE_INTERVAL:
                written = _write_results(Results(tasks, runs), folder)
            if on_progress is not None:
                on_progress(Results(tasks, runs))
    except BaseException:
        results = Results(tasks, _reread_unfinished(wanted, runs, folder))
        _write_results(results, folder)
        if on_end is not None:
            on_end(results)
        raise
    results = Results(tasks, _reread_unfinished(wanted, runs, folder))
    _write_results(results, folder)  # also if the rest is interrupted
    results = replace(results, diagnoses=diagnose_failures(results, methods, folder))
    results.write(folder)
    if on_end is not None:
        on_end(results)
    return results


def _reread_unfinished(jobs: Sequence[Job], runs: Sequence[Run], out: Path) -> list[Run]:
    """Return all runs, those that have not ended as they are on disk."""
    return [
        run if run.is_finished else method.read(task, seed, out)
        for run, (task, method, seed) in zip(runs, jobs, strict=True)
    ]


def _write_results(results: Results, folder: Path) -> float:
    """Write results and pictures; return when."""
    results.write(folder)
    plot_success(results, folder)
    plot_effort(results, folder)
    return time.monotonic()


def _complete_runs(
    jobs: Sequence[Job], runs: list[Run], out: Path, executor: Executor
) -> Iterator[None]:
    """Bring every run to its end, in place; yield at the start and after each."""
    yield
    places: dict[Future[Run], int] = {}
    try:
        for i, (task, method, seed) in enumerate(jobs):
            if runs[i].is_finished:
                continue
            future = executor.submit(run_single_threaded, method, task, seed, out)
            if isinstance(executor, InProcess):
                runs[i] = future.result()
                yield
            else:
                places[future] = i
        for future in as_completed(places):
            i = places[future]
            runs[i] = _run_or_reason(future, runs[i])
            yield
    finally:
        if isinstance(executor, Workers):
            executor.shutdown(wait=False)  # what has not ended goes on next time


def _run_or_reason(future: Future[Run], unfinished: Run) -> Run:
    error = future.exception()
    if isinstance(error, ProcessExpired):
        return replace(unfinished, reason="its process died")
    return future.result()


def _check_names(kind: str, names: Sequence[str]) -> None:
    if not names:
        raise InputError(error_message(kind, "be at least one", "none"))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(error_message(kind, "have names of their own", ", ".join(twice)))


def _check_folder(out: Path) -> None:
    """Refuse a folder that holds something else.

    Raises:
        LogError: it does.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise LogError(f"{out} is a file, not a folder. Take another name.")
    if any(out.iterdir()) and not (out / RESULTS_JSON).is_file():
        raise LogError(
            f"{out} is not the folder of a benchmark and not empty. Take an empty or a new folder."
        )
