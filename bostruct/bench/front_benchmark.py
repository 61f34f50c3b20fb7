"""How much of a front campaigns find, and how soon: `bostruct fronts`.

Named problems enter. Where their space can be listed, every member is evaluated once,
which makes the front known, and campaigns ask the table; else they ask the evaluator,
and hypervolumes are shares of what all searches found together. Each search is a file
as soon as it has ended, so that a benchmark which was interrupted goes on with the same
command; what other options left in the folder stays beside it.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, final

import numpy as np

from bostruct.bench.multi_objective.enumerated_front import (
    EnumeratedFront,
    TableEvaluator,
    enumerate_front,
)
from bostruct.bench.multi_objective.front_recovery import (
    FrontRecovery,
    enumerated_recovery,
    hypervolume_scale,
    relative_recovery,
)
from bostruct.bench.multi_objective.methods import (
    CampaignFrontMethod,
    FrontMethod,
    GeneticAlgorithm,
    RandomSearch,
)
from bostruct.bench.multi_objective.recovery_plot import (
    RecoveriesByMethod,
    plot_recovery,
)
from bostruct.bench.multi_objective.run import FrontRun, read_run
from bostruct.bench.multi_objective.tasks import (
    MULTI_OBJECTIVE_TASKS,
    MultiObjectiveTask,
)
from bostruct.errors import InputError, LogError, check_count, error_message
from bostruct.runtime.atomic_write import write_atomically
from bostruct.runtime.executors import InProcess, Workers
from bostruct.runtime.versions import package_versions

FRONTS_JSON, FRONTS_CSV = "fronts.json", "fronts.csv"

HYPERVOLUME_FRACTIONS = (0.95, 0.99)
"""Of the hypervolume: evaluations to these are counted."""


@final
@dataclass(frozen=True)
class FrontSummary:
    """One method on one problem after some evaluations; medians over the seeds.

    Args:
        task: The problem.
        method: The search.
        n_seeds: How many.
        n_evaluations: After so many evaluations.
        hypervolume: Share of the true hypervolume, or of what all found together.
        hypervolume_p10: Its 10th percentile.
        hypervolume_p90: Its 90th percentile.
        recall: Share of the true front.
        evaluations_to_95: Evaluations to 95 % of the hypervolume; None where half of the seeds
            do not get there.
        evaluations_to_99: To 99 %.
        attainable_hypervolume: Share of the hypervolume that was to be had.
        n_absurd: Members of fronts whose outcomes are not the true ones; all seeds.
        n_infeasible: Those believed to be good enough that are not; all seeds.
        step_seconds: Own time of a step, s, median.
        evaluation_seconds: Wall time of an evaluation, s, mean.
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
    n_workers: int = 1,
    on_progress: Callable[[str], None] | None = None,
) -> list[FrontSummary]:
    """Run a campaign and what it is compared with, and write the results.

    Args:
        tasks: The problems.
        campaign_method: The campaign.
        n_seeds: How many, from 0.
        n_evaluations: Of each search.
        out: The folder.
        report_at: Where the rows look; the end is always one.
        n_workers: Processes, of one core each.
        on_progress: Is told how far it is.

    Raises:
        InputError: a number is out of range.
        LogError: the folder cannot be written, or holds something else.
    """
    check_count("n_seeds", n_seeds)
    check_count("n_evaluations", n_evaluations)
    check_count("n_workers", n_workers)
    for number in report_at:
        check_count("report_at", number)
    folder = Path(out)
    _check_folder(folder)
    truths: dict[str, EnumeratedFront] = {}
    jobs: list[tuple[MultiObjectiveTask, FrontMethod, int]] = []
    for screen in tasks:
        if screen.size is not None:
            name = screen.name

            def count(done: int, size: int, name: str = name) -> None:
                if on_progress is not None:
                    on_progress(f"{name}: {done} of {size} members of the table")

            truths[screen.name] = enumerate_front(screen, folder, n_workers, count)
        others: list[FrontMethod] = [RandomSearch()]
        if screen.size is None:
            others.append(GeneticAlgorithm())
        jobs += [(screen, h, s) for s in range(n_seeds) for h in (campaign_method, *others)]
    try:
        for i, _ in enumerate(_run_all(jobs, truths, n_evaluations, folder, n_workers)):
            if on_progress is not None:
                on_progress(f"{i + 1} of {len(jobs)} searches")
    finally:
        rows = write_report(tasks, truths, folder, report_at)
    return rows


def _run_all(
    jobs: Sequence[tuple[MultiObjectiveTask, FrontMethod, int]],
    enumerated_fronts: dict[str, EnumeratedFront],
    n_evaluations: int,
    folder: Path,
    n_workers: int,
) -> Iterator[FrontRun]:
    executor: Executor = InProcess() if n_workers == 1 else Workers(n_workers)
    futures: list[Future[FrontRun]] = []
    try:
        for screen, hunt, seed in jobs:
            table = enumerated_fronts.get(screen.name)
            evaluator = screen.evaluator if table is None else TableEvaluator(table)
            future = executor.submit(hunt.run, screen, evaluator, seed, n_evaluations, folder)
            if isinstance(executor, InProcess):
                yield future.result()
            else:
                futures.append(future)
        for future in as_completed(futures):
            yield future.result()
    finally:
        if isinstance(executor, Workers):
            executor.shutdown(wait=False)  # what has not ended goes on next time


def collect_recoveries(
    tasks: Sequence[MultiObjectiveTask],
    enumerated_fronts: dict[str, EnumeratedFront],
    folder: Path,
) -> RecoveriesByMethod:
    """Return what every search in the folder found."""
    curves: RecoveriesByMethod = {}
    for screen in tasks:
        paths = sorted((folder / screen.name).glob("*/seed-*.json"))
        traces = [trace for path in paths if (trace := read_run(path)) is not None]
        if not traces:
            continue
        table = enumerated_fronts.get(screen.name)
        common = (
            None if table is not None else hypervolume_scale(traces, screen.optimization_config)
        )
        for trace in traces:
            if table is not None:
                found = enumerated_recovery(trace, table)
            else:
                assert common is not None
                found = relative_recovery(trace, screen, common)
            curves.setdefault((screen.name, trace.method), []).append(found)
    return curves


def write_report(
    tasks: Sequence[MultiObjectiveTask],
    enumerated_fronts: dict[str, EnumeratedFront],
    folder: Path,
    report_at: Sequence[int],
) -> list[FrontSummary]:
    """Write JSON, CSV and picture of all that is in the folder; return the rows.

    Raises:
        LogError: they cannot be written.
    """
    curves = collect_recoveries(tasks, enumerated_fronts, folder)
    rows = [
        row
        for (screen, method), each in curves.items()
        for row in _summarize(screen, method, each, report_at)
    ]
    data = {
        "versions": package_versions(),
        "screens": {
            screen.name: {
                "about": screen.summary,
                "goals": screen.optimization_config.description(),
                "front": None if table is None else len(table.front_indices),
            }
            for screen in tasks
            for table in [enumerated_fronts.get(screen.name)]
        },
        "summary": [asdict(row) for row in rows],
        "searches": [
            {
                **found.run.json(),
                "volume": list(found.hypervolume),
                "recall": list(found.recall),
                "reach": found.attainable_hypervolume,
                "absurd": found.n_absurd,
                "infeasible": found.n_infeasible,
            }
            for each in curves.values()
            for found in each
        ],
    }
    write_atomically(folder / FRONTS_JSON, json.dumps(data, ensure_ascii=False, indent=1).encode())
    text = io.StringIO()
    table = csv.DictWriter(text, [field.name for field in fields(FrontSummary)])
    table.writeheader()
    table.writerows(asdict(row) for row in rows)
    write_atomically(folder / FRONTS_CSV, text.getvalue().encode())
    if curves:
        plot_recovery(curves, folder)
    return rows


def _summarize(
    task: str,
    method: str,
    recoveries: Sequence[FrontRecovery],
    report_at: Sequence[int],
) -> Iterator[FrontSummary]:
    last = min(len(found.run) for found in recoveries)
    own = [math.fsum(parts) for found in recoveries for parts in found.run.step_seconds]
    for n in sorted({*(n for n in report_at if n < last), last}):
        volumes = [found.hypervolume[n - 1] for found in recoveries]
        low, middle, high = np.quantile(volumes, [0.1, 0.5, 0.9])
        recalls = [found.recall[n - 1] for found in recoveries if found.recall]
        yield FrontSummary(
            task=task,
            method=method,
            n_seeds=len(recoveries),
            n_evaluations=n,
            hypervolume=float(middle),
            hypervolume_p10=float(low),
            hypervolume_p90=float(high),
            recall=float(np.median(recalls)) if recalls else None,
            evaluations_to_95=median_evaluations_to(recoveries, HYPERVOLUME_FRACTIONS[0]),
            evaluations_to_99=median_evaluations_to(recoveries, HYPERVOLUME_FRACTIONS[1]),
            attainable_hypervolume=float(
                np.median([found.attainable_hypervolume for found in recoveries])
            ),
            n_absurd=sum(found.n_absurd for found in recoveries),
            n_infeasible=sum(found.n_infeasible for found in recoveries),
            step_seconds=float(np.median(own)) if own else None,
            evaluation_seconds=float(
                np.mean([found.run.evaluation_seconds for found in recoveries])
            ),
        )


def median_evaluations_to(recoveries: Sequence[FrontRecovery], fraction: float) -> float | None:
    """Return the median of the evaluations to a share; None where it is not known."""
    counts = [found.evaluations_to(fraction) for found in recoveries]
    middle = float(np.median([math.inf if c is None else c for c in counts]))
    return middle if math.isfinite(middle) else None


def tasks_by_name(names: Sequence[str]) -> list[MultiObjectiveTask]:
    """Return problems by name; all of none.

    Raises:
        InputError: there is no such problem.
    """
    for word in names:
        if word not in MULTI_OBJECTIVE_TASKS:
            raise InputError(
                error_message("task", f"be one of {', '.join(MULTI_OBJECTIVE_TASKS)}", word)
            )
    return [MULTI_OBJECTIVE_TASKS[word] for word in dict.fromkeys(names)] or list(
        MULTI_OBJECTIVE_TASKS.values()
    )


def _check_folder(folder: Path) -> None:
    """Make the folder, or refuse one that holds something else.

    Raises:
        LogError: it cannot be made, or does.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        strange = [one for one in folder.iterdir() if not _is_benchmark_path(one)]
    except OSError as error:
        raise LogError(f"could not make {folder}: {error.strerror or error}") from error
    if strange:
        raise LogError(
            f"{folder} is not the folder of such a benchmark and not empty "
            f"(it holds {strange[0].name}). Take an empty or a new folder."
        )


def _is_benchmark_path(path: Any) -> bool:  # noqa: ANN401 - a path
    return path.is_dir() or path.suffix in (".json", ".csv", ".png", ".tmp")
