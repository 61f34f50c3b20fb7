"""Benchmark of Pareto fronts: hypervolume and recall of methods against evaluations.

Where the space of a task can be listed, every member is evaluated once, which makes the front
known, and methods read this table; elsewhere they call the evaluator, and hypervolumes are
fractions of that of all runs together. Each run is a file as soon as it has ended, so an
interrupted benchmark is resumed by the same command; runs of other options in the folder are
reported as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import final

import numpy as np
import torch

from bostruct.bench.benchmark import (
    check_results_folder,
    make_folder,
    run_jobs,
    seed_range,
    write_json,
)
from bostruct.bench.multi_objective.enumerated_front import (
    EnumeratedFront,
    TableEvaluator,
    enumerate_front,
)
from bostruct.bench.multi_objective.front_recovery import (
    FrontRecovery,
    HypervolumeScale,
    enumerated_recovery,
)
from bostruct.bench.multi_objective.methods import (
    GENETIC_ALGORITHM,
    RANDOM_SEARCH,
    CampaignFrontMethod,
    FrontMethod,
)
from bostruct.bench.multi_objective.recovery_plot import RecoveriesByMethod, plot_recovery
from bostruct.bench.multi_objective.run import FORMAT_VERSION, FrontRun, read_run
from bostruct.bench.multi_objective.tasks import MULTI_OBJECTIVE_TASKS, MultiObjectiveTask
from bostruct.bench.tables import dataclass_frame, write_csv
from bostruct.errors import check_choice, check_count
from bostruct.runtime.versions import package_versions

FRONTS_JSON, FRONTS_CSV = "fronts.json", "fronts.csv"


@final
@dataclass(frozen=True)
class FrontSummary:
    """Medians over the seeds of one method on one task after a number of evaluations.

    Args:
        task: Name of the task.
        method: Name of the method.
        n_seeds: Number of runs.
        n_evaluations: Number of evaluations after which the row is taken.
        hypervolume: Fraction of the hypervolume of the true front, or of all runs together.
        hypervolume_p10: 10th percentile of that fraction.
        hypervolume_p90: 90th percentile of that fraction.
        recall: Fraction of the members of the true front; None where it is not known.
        evaluations_to_95: Evaluations to 95 % of the hypervolume; None where half of the seeds
            do not reach it.
        evaluations_to_99: Evaluations to 99 % of the hypervolume, None likewise.
        attainable_hypervolume: Fraction of the hypervolume left by failed and quarantined
            evaluations.
        n_absurd: Number of members of the final fronts with wrong outcomes, over all seeds.
        n_infeasible: Number of infeasible members taken for feasible ones, over all seeds.
        step_seconds: Median time of a step without its evaluations, s.
        evaluation_seconds: Mean wall time of an evaluation, s.
    """

    task: str
    method: str
    n_seeds: int
    n_evaluations: int
    hypervolume: float
    hypervolume_p10: float
    hypervolume_p90: float
    recall: float | None
    evaluations_to_95: float | None
    evaluations_to_99: float | None
    attainable_hypervolume: float
    n_absurd: int
    n_infeasible: int
    step_seconds: float | None
    evaluation_seconds: float


def run_front_benchmark(
    tasks: Sequence[MultiObjectiveTask],
    campaign_method: CampaignFrontMethod,
    n_seeds: int,
    n_evaluations: int,
    out: str | Path,
    *,
    report_at: Sequence[int] = (50, 100),
    first_seed: int = 0,
    n_workers: int = 1,
    on_progress: Callable[[str], None] | None = None,
) -> list[FrontSummary]:
    """Run a campaign and its baselines, and write the results.

    Args:
        tasks: Multi-objective tasks.
        campaign_method: Campaign to be measured.
        n_seeds: Number of seeds.
        n_evaluations: Number of evaluations of each run.
        out: Folder of the results.
        report_at: Numbers of evaluations to summarize, beside the last one.
        first_seed: First of the seeds, which follow each other.
        n_workers: Number of processes, of one core each.
        on_progress: Called with one line of progress.

    Raises:
        InputError: a number is out of range.
        LogError: the folder cannot be written, or holds something else.
    """
    seeds = seed_range(first_seed, n_seeds)
    check_count("n_evaluations", n_evaluations)
    check_count("n_workers", n_workers)
    for number in report_at:
        check_count("report_at", number)
    folder = Path(out)
    check_results_folder(folder, lambda paths: all(map(_is_benchmark_path, paths)))
    make_folder(folder)

    report = on_progress or (lambda _: None)
    fronts: dict[str, EnumeratedFront] = {}
    functions: list[Callable[[], FrontRun]] = []
    for task in tasks:
        evaluator = task.evaluator
        methods: list[FrontMethod] = [campaign_method, RANDOM_SEARCH]
        if task.search_space.size is None:
            methods.append(GENETIC_ALGORITHM)
        else:
            fronts[task.name] = enumerate_front(task, folder, n_workers, report)
            evaluator = TableEvaluator(fronts[task.name])
        functions += [
            partial(method.run, task, evaluator, seed, n_evaluations, folder)
            for seed in seeds
            for method in methods
        ]
    try:
        for n_ended, (_, future) in enumerate(run_jobs(functions, n_workers), 1):
            future.result()
            report(f"{n_ended} of {len(functions)} searches")
    finally:
        rows = write_report(tasks, fronts, folder, report_at)
    return rows


def collect_recoveries(
    tasks: Sequence[MultiObjectiveTask], enumerated_fronts: dict[str, EnumeratedFront], folder: Path
) -> RecoveriesByMethod:
    """Return the recovery of every run in the folder, by task and method."""
    recoveries: RecoveriesByMethod = {}
    for task in tasks:
        paths = sorted((folder / task.name).glob("*/seed-*.json"))
        runs = [run for path in paths if (run := read_run(path)) is not None]
        if not runs:
            continue
        table = enumerated_fronts.get(task.name)
        every = torch.cat([run.Y for run in runs]) if table is None else table.outcomes
        scale = HypervolumeScale.from_outcomes(every, task.optimization_config)
        for run in runs:
            if table is None:
                recovery = FrontRecovery(run, scale.history(run.Y))
            else:
                recovery = enumerated_recovery(run, table, scale)
            recoveries.setdefault((task.name, run.method), []).append(recovery)
    return recoveries


def write_report(
    tasks: Sequence[MultiObjectiveTask],
    enumerated_fronts: dict[str, EnumeratedFront],
    folder: Path,
    report_at: Sequence[int],
) -> list[FrontSummary]:
    """Write JSON, CSV and plots of all runs in the folder; return the summary.

    Raises:
        LogError: a file cannot be written.
    """
    recoveries = collect_recoveries(tasks, enumerated_fronts, folder)
    rows = [
        row
        for (task, method), group in recoveries.items()
        for row in _summarize(task, method, group, report_at)
    ]
    n_front = {name: len(table.front_indices) for name, table in enumerated_fronts.items()}
    data = {
        "format": FORMAT_VERSION,
        "versions": package_versions(),
        "seeds": sorted({r.run.seed for group in recoveries.values() for r in group}),
        "tasks": {
            task.name: {
                "summary": task.summary,
                "optimization_config": task.optimization_config.description(),
                "n_front": n_front.get(task.name),
            }
            for task in tasks
        },
        "summary": [asdict(row) for row in rows],
        "runs": [recovery.json() for group in recoveries.values() for recovery in group],
    }
    write_json(data, folder / FRONTS_JSON)
    write_csv(dataclass_frame(FrontSummary, rows), folder / FRONTS_CSV)
    if recoveries:
        plot_recovery(recoveries, folder)
    return rows


def _summarize(
    task: str, method: str, recoveries: Sequence[FrontRecovery], report_at: Sequence[int]
) -> Iterator[FrontSummary]:
    last = min(len(recovery.run) for recovery in recoveries)
    steps = [math.fsum(parts) for recovery in recoveries for parts in recovery.run.step_seconds]
    for n in sorted({*(n for n in report_at if n < last), last}):
        hypervolumes = [recovery.hypervolume[n - 1] for recovery in recoveries]
        low, middle, high = np.quantile(hypervolumes, [0.1, 0.5, 0.9])
        recalls = [recovery.recall[n - 1] for recovery in recoveries if recovery.recall]
        yield FrontSummary(
            task=task,
            method=method,
            n_seeds=len(recoveries),
            n_evaluations=n,
            hypervolume=float(middle),
            hypervolume_p10=float(low),
            hypervolume_p90=float(high),
            recall=float(np.median(recalls)) if recalls else None,
            evaluations_to_95=median_evaluations_to(recoveries, 0.95),
            evaluations_to_99=median_evaluations_to(recoveries, 0.99),
            attainable_hypervolume=float(np.median([r.attainable_hypervolume for r in recoveries])),
            n_absurd=sum(recovery.n_absurd for recovery in recoveries),
            n_infeasible=sum(recovery.n_infeasible for recovery in recoveries),
            step_seconds=float(np.median(steps)) if steps else None,
            evaluation_seconds=float(np.mean([r.run.evaluation_seconds for r in recoveries])),
        )


def median_evaluations_to(recoveries: Sequence[FrontRecovery], fraction: float) -> float | None:
    """Return the median of the evaluations to a fraction; None where half do not reach it."""
    counts = [recovery.evaluations_to(fraction) for recovery in recoveries]
    median = float(np.median([math.inf if count is None else count for count in counts]))
    return median if math.isfinite(median) else None


def tasks_by_name(names: Sequence[str]) -> list[MultiObjectiveTask]:
    """Return tasks by name, each once; all where no name is given.

    Raises:
        InputError: there is no task of a name.
    """
    for name in names:
        check_choice("task", name, MULTI_OBJECTIVE_TASKS)
    return [MULTI_OBJECTIVE_TASKS[name] for name in dict.fromkeys(names or MULTI_OBJECTIVE_TASKS)]


def _is_benchmark_path(path: Path) -> bool:
    return path.is_dir() or path.suffix in (".json", ".csv", ".png", ".tmp")
