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

from bostruct.bench.multi_objective.enumerated_front import Lookup, Truth, truth
from bostruct.bench.multi_objective.front_recovery import Found, known, relative, scale
from bostruct.bench.multi_objective.methods import Chance, Genetic, Hunt, Screening
from bostruct.bench.multi_objective.recovery_plot import Curves, draw
from bostruct.bench.multi_objective.run import Trace, read
from bostruct.bench.multi_objective.tasks import SCREENS, Screen
from bostruct.errors import InputError, LogError, check_count, must
from bostruct.runtime.atomic_write import write
from bostruct.runtime.executors import InProcess, Workers
from bostruct.runtime.versions import versions

JSON, CSV = "fronts.json", "fronts.csv"

SHARES = (0.95, 0.99)
"""Of the hypervolume: evaluations to these are counted."""


@final
@dataclass(frozen=True)
class Row:
    """One method on one problem after some evaluations; medians over the seeds.

    Args:
        screen: The problem.
        method: The search.
        seeds: How many.
        at: After so many evaluations.
        volume: Share of the true hypervolume, or of what all found together.
        low: Its 10th percentile.
        high: Its 90th percentile.
        recall: Share of the true front.
        to95: Evaluations to 95 % of the hypervolume; None where half of the seeds
            do not get there.
        to99: To 99 %.
        reach: Share of the hypervolume that was to be had.
        absurd: Members of fronts whose outcomes are not the true ones; all seeds.
        infeasible: Those believed to be good enough that are not; all seeds.
        step: Own time of a step, s, median.
        evaluation: Wall time of an evaluation, s, mean.
    """

    screen: str
    method: str
    seeds: int
    at: int
    volume: float
    low: float
    high: float
    recall: float | None
    to95: float | None
    to99: float | None
    reach: float
    absurd: int
    infeasible: int
    step: float | None
    evaluation: float


def fronts(
    screens: Sequence[Screen],
    hunt: Screening,
    seeds: int,
    evaluations: int,
    out: str | Path,
    *,
    at: Sequence[int] = (50, 100),
    workers: int = 1,
    tell: Callable[[str], None] | None = None,
) -> list[Row]:
    """Run a campaign and what it is compared with, and write the results.

    Args:
        screens: The problems.
        hunt: The campaign.
        seeds: How many, from 0.
        evaluations: Of each search.
        out: The folder.
        at: Where the rows look; the end is always one.
        workers: Processes, of one core each.
        tell: Is told how far it is.

    Raises:
        InputError: a number is out of range.
        LogError: the folder cannot be written, or holds something else.
    """
    check_count("seeds", seeds)
    check_count("evaluations", evaluations)
    check_count("workers", workers)
    for number in at:
        check_count("at", number)
    folder = Path(out)
    _check_folder(folder)
    truths: dict[str, Truth] = {}
    jobs: list[tuple[Screen, Hunt, int]] = []
    for screen in screens:
        if screen.size is not None:
            name = screen.name

            def count(done: int, size: int, name: str = name) -> None:
                if tell is not None:
                    tell(f"{name}: {done} of {size} members of the table")

            truths[screen.name] = truth(screen, folder, workers, count)
        others: list[Hunt] = [Chance()]
        if screen.size is None:
            others.append(Genetic())
        jobs += [(screen, h, s) for s in range(seeds) for h in (hunt, *others)]
    try:
        for i, _ in enumerate(_all(jobs, truths, evaluations, folder, workers)):
            if tell is not None:
                tell(f"{i + 1} of {len(jobs)} searches")
    finally:
        rows = report(screens, truths, folder, at)
    return rows


def _all(
    jobs: Sequence[tuple[Screen, Hunt, int]],
    truths: dict[str, Truth],
    count: int,
    folder: Path,
    workers: int,
) -> Iterator[Trace]:
    executor: Executor = InProcess() if workers == 1 else Workers(workers)
    futures: list[Future[Trace]] = []
    try:
        for screen, hunt, seed in jobs:
            table = truths.get(screen.name)
            evaluator = screen.evaluator if table is None else Lookup(table)
            future = executor.submit(hunt.run, screen, evaluator, seed, count, folder)
            if isinstance(executor, InProcess):
                yield future.result()
            else:
                futures.append(future)
        for future in as_completed(futures):
            yield future.result()
    finally:
        if isinstance(executor, Workers):
            executor.shutdown(wait=False)  # what has not ended goes on next time


def gather(screens: Sequence[Screen], truths: dict[str, Truth], folder: Path) -> Curves:
    """Return what every search in the folder found."""
    curves: Curves = {}
    for screen in screens:
        paths = sorted((folder / screen.name).glob("*/seed-*.json"))
        traces = [trace for path in paths if (trace := read(path)) is not None]
        if not traces:
            continue
        table = truths.get(screen.name)
        common = None if table is not None else scale(traces, screen.goals)
        for trace in traces:
            if table is not None:
                found = known(trace, table)
            else:
                assert common is not None
                found = relative(trace, screen, common)
            curves.setdefault((screen.name, trace.method), []).append(found)
    return curves


def report(
    screens: Sequence[Screen],
    truths: dict[str, Truth],
    folder: Path,
    at: Sequence[int],
) -> list[Row]:
    """Write JSON, CSV and picture of all that is in the folder; return the rows.

    Raises:
        LogError: they cannot be written.
    """
    curves = gather(screens, truths, folder)
    rows = [
        row
        for (screen, method), each in curves.items()
        for row in _rows(screen, method, each, at)
    ]
    data = {
        "versions": versions(),
        "screens": {
            screen.name: {
                "about": screen.about,
                "goals": screen.goals.description(),
                "front": None if table is None else len(table.front),
            }
            for screen in screens
            for table in [truths.get(screen.name)]
        },
        "summary": [asdict(row) for row in rows],
        "searches": [
            {
                **found.trace.json(),
                "volume": list(found.volume),
                "recall": list(found.recall),
                "reach": found.reach,
                "absurd": found.absurd,
                "infeasible": found.infeasible,
            }
            for each in curves.values()
            for found in each
        ],
    }
    write(folder / JSON, json.dumps(data, ensure_ascii=False, indent=1).encode())
    text = io.StringIO()
    table = csv.DictWriter(text, [field.name for field in fields(Row)])
    table.writeheader()
    table.writerows(asdict(row) for row in rows)
    write(folder / CSV, text.getvalue().encode())
    if curves:
        draw(curves, folder)
    return rows


def _rows(
    screen: str, method: str, each: Sequence[Found], at: Sequence[int]
) -> Iterator[Row]:
    last = min(len(found.trace) for found in each)
    own = [math.fsum(parts) for found in each for parts in found.trace.seconds]
    for n in sorted({*(n for n in at if n < last), last}):
        volumes = [found.volume[n - 1] for found in each]
        low, middle, high = np.quantile(volumes, [0.1, 0.5, 0.9])
        recalls = [found.recall[n - 1] for found in each if found.recall]
        yield Row(
            screen=screen,
            method=method,
            seeds=len(each),
            at=n,
            volume=float(middle),
            low=float(low),
            high=float(high),
            recall=float(np.median(recalls)) if recalls else None,
            to95=needed(each, SHARES[0]),
            to99=needed(each, SHARES[1]),
            reach=float(np.median([found.reach for found in each])),
            absurd=sum(found.absurd for found in each),
            infeasible=sum(found.infeasible for found in each),
            step=float(np.median(own)) if own else None,
            evaluation=float(np.mean([found.trace.energies for found in each])),
        )


def needed(each: Sequence[Found], share: float) -> float | None:
    """Return the median of the evaluations to a share; None where it is not known."""
    counts = [found.needed(share) for found in each]
    middle = float(np.median([math.inf if c is None else c for c in counts]))
    return middle if math.isfinite(middle) else None


def named(words: Sequence[str]) -> list[Screen]:
    """Return problems by name; all of none.

    Raises:
        InputError: there is no such problem.
    """
    for word in words:
        if word not in SCREENS:
            raise InputError(must("task", f"be one of {', '.join(SCREENS)}", word))
    return [SCREENS[word] for word in dict.fromkeys(words)] or list(SCREENS.values())


def _check_folder(folder: Path) -> None:
    """Make the folder, or refuse one that holds something else.

    Raises:
        LogError: it cannot be made, or does.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        strange = [one for one in folder.iterdir() if not _own(one)]
    except OSError as error:
        raise LogError(f"could not make {folder}: {error.strerror or error}") from error
    if strange:
        raise LogError(
            f"{folder} is not the folder of such a benchmark and not empty "
            f"(it holds {strange[0].name}). Take an empty or a new folder."
        )


def _own(one: Any) -> bool:  # noqa: ANN401 - a path
    return one.is_dir() or one.suffix in (".json", ".csv", ".png", ".tmp")
