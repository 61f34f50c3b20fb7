"""What the command line asks for: the benchmark with its progress and its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from rich.console import Console
from rich.status import Status
from rich.table import Table

from bostruct.bench.energy_benchmark import compare
from bostruct.bench.single_objective.baselines import basin_hopping, random_search
from bostruct.bench.single_objective.campaign_method import Campaigns
from bostruct.bench.single_objective.load import load
from bostruct.bench.single_objective.method import Method
from bostruct.bench.single_objective.named_tasks import TASKS
from bostruct.bench.single_objective.results import Results
from bostruct.bench.single_objective.table import table
from bostruct.errors import check_count
from bostruct.runtime.device import resolve

WIDTH = 120
"""Columns of the table where the output is no terminal."""


@final
@dataclass(frozen=True)
class Options:
    """What is to be run.

    Args:
        words: Tasks, or files that hold them.
        efforts: Settings of the campaign.
        seeds: How many.
        evaluations: Cap of the campaigns.
        baseline_evaluations: Cap of the others; 0 leaves them out.
        jobs: Runs at the same time.
        device: Of the campaigns' tensor work.
        out: The folder.
    """

    words: Sequence[str]
    efforts: Sequence[str]
    seeds: int
    evaluations: int
    baseline_evaluations: int
    jobs: int
    device: str
    out: Path


def run(options: Options) -> None:
    """Run the benchmark; print the table, of an interrupted one as well."""
    tasks, settings = load(options.words, options.efforts)
    resolve(options.device)
    methods: list[Method] = [
        Campaigns(setting, options.evaluations, options.device) for setting in settings
    ]
    if check_count("baseline_evaluations", options.baseline_evaluations, 0):
        methods.append(random_search(options.baseline_evaluations))
        methods.append(basin_hopping(options.baseline_evaluations))
    stderr, stdout = Console(stderr=True), _stdout()
    line = Status("starting", console=stderr)
    if stderr.is_terminal:
        line.start()

    def end(results: Results) -> None:
        line.stop()
        stdout.print(table(results))
        stdout.print(f"Results are in {options.out}", soft_wrap=True)

    try:
        compare(
            tasks,
            methods,
            options.seeds,
            options.out,
            jobs=options.jobs,
            tell=lambda results: line.update(progress(results)),
            end=end,
        )
    finally:
        line.stop()


def progress(results: Results) -> str:
    """Return how far it is, in one line."""
    ended = sum(run.finished for run in results.runs)
    return f"{ended} of {len(results.runs)} runs"


def show() -> None:
    """Print the named tasks."""
    grid = Table("task", "lowest, eV", "solved within, eV", "source")
    for task in TASKS.values():
        grid.add_row(
            task.name, f"{task.reference:.6f}", f"{task.tolerance:g}", task.source
        )
    _stdout().print(grid)


def _stdout() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)
