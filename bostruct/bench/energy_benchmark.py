"""Benchmark of evaluations to the lowest energy: every task, method and seed, and the results.

Every run is on disk when it is known, so an interrupted benchmark is resumed by the same command,
and one with more seeds or a larger limit of evaluations reuses the runs that are there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bostruct.bench.benchmark import (
    check_results_folder,
    check_unique_names,
    make_folder,
    run_jobs,
    seed_range,
)
from bostruct.bench.diagnosis.failures import diagnose_failures
from bostruct.bench.single_objective.effort_plot import plot_effort
from bostruct.bench.single_objective.method import Method
from bostruct.bench.single_objective.results import RESULTS_JSON, Results
from bostruct.bench.single_objective.run import Run
from bostruct.bench.single_objective.success_plot import plot_success
from bostruct.bench.single_objective.table import summary_markdown
from bostruct.bench.single_objective.task import Task
from bostruct.errors import check_count
from bostruct.runtime.atomic_write import write_atomically
from bostruct.runtime.executors import WorkerDiedError

SUMMARY_MARKDOWN = "summary.md"

WRITE_INTERVAL = 60.0
"""Seconds between two writings of the results while runs end."""

ResultsCallback = Callable[[Results], None]


class Job(NamedTuple):
    """One method on one task with one seed."""

    task: Task
    method: Method
    seed: int


def run_energy_benchmark(
    tasks: Sequence[Task],
    methods: Sequence[Method],
    n_seeds: int,
    out: str | Path,
    *,
    first_seed: int = 0,
    fewer_seeds: Mapping[str, int] | None = None,
    n_workers: int = 1,
    on_progress: ResultsCallback | None = None,
    on_end: ResultsCallback | None = None,
) -> Results:
    """Run every method on every task with each seed, and write the results.

    The results are written after an interruption too.

    Args:
        tasks: Tasks with different names.
        methods: Methods with different names.
        n_seeds: Number of seeds.
        out: Folder of the results and of every run.
        first_seed: First of the seeds, which follow each other.
        fewer_seeds: Number of seeds by name of a method that has fewer.
        n_workers: Number of runs at the same time, each on one core.
        on_progress: Called with all runs at the start and whenever a run has ended.
        on_end: Called with all runs at the end and after an interruption.

    Raises:
        InputError: a number is out of range, or two tasks or methods have the same name.
        LogError: a folder cannot be written, or holds something else.
    """
    seeds = seed_range(first_seed, n_seeds)
    check_count("n_workers", n_workers)
    check_unique_names("tasks", [task.name for task in tasks])
    check_unique_names("methods", [method.name for method in methods])
    folder = Path(out)
    check_results_folder(folder, lambda paths: any(path.name == RESULTS_JSON for path in paths))
    limits = {method.name: n_seeds for method in methods} | dict(fewer_seeds or {})
    jobs = [
        Job(task, method, seed)
        for seed in seeds
        for task in tasks
        for method in methods
        if seed - first_seed < limits[method.name] and method.suits(task)
    ]
    make_folder(folder)
    runs = [method.read(task, seed, folder) for task, method, seed in jobs]
    written = _write_results(Results(tasks, runs), folder)
    try:
        for _ in _complete_runs(jobs, runs, folder, n_workers):
            if time.monotonic() - written > WRITE_INTERVAL:
                written = _write_results(Results(tasks, runs), folder)
            if on_progress is not None:
                on_progress(Results(tasks, runs))
    except BaseException:
        results = Results(tasks, _reread_unfinished(jobs, runs, folder))
        _write_results(results, folder)
        if on_end is not None:
            on_end(results)
        raise
    results = Results(tasks, _reread_unfinished(jobs, runs, folder))
    _write_results(results, folder)  # before the diagnosis, which may be interrupted
    results = replace(results, diagnoses=diagnose_failures(results, methods, folder))
    results.write(folder)
    if on_end is not None:
        on_end(results)
    return results


def _reread_unfinished(jobs: Sequence[Job], runs: Sequence[Run], out: Path) -> list[Run]:
    """Return all runs; unfinished ones are read from disk."""
    return [
        run if run.is_finished else method.read(task, seed, out)
        for run, (task, method, seed) in zip(runs, jobs, strict=True)
    ]


def _write_results(results: Results, folder: Path) -> float:
    """Write results and plots; return the time of a monotonic clock."""
    results.write(folder)
    write_atomically(folder / SUMMARY_MARKDOWN, summary_markdown(results).encode())
    plot_success(results, folder)
    plot_effort(results, folder)
    return time.monotonic()


def _complete_runs(
    jobs: Sequence[Job], runs: list[Run], out: Path, n_workers: int
) -> Iterator[None]:
    """Finish every run in place; yield at the start and after each run."""
    yield
    unfinished = [i for i, run in enumerate(runs) if not run.is_finished]
    functions = [partial(jobs[i].method.run, jobs[i].task, jobs[i].seed, out) for i in unfinished]
    for k, future in run_jobs(functions, n_workers):
        i = unfinished[k]
        died = isinstance(future.exception(), WorkerDiedError)
        runs[i] = replace(runs[i], reason="its process died") if died else future.result()
        yield
