"""What the command line asks of `fronts`: progress and a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.status import Status
from rich.table import Table
from rich.text import Text

from bostruct.bench.front_benchmark import (
    FrontSummary,
    run_front_benchmark,
    tasks_by_name,
)
from bostruct.bench.multi_objective.fault_injection import FaultMode
from bostruct.bench.multi_objective.methods import CampaignFrontMethod
from bostruct.bench.multi_objective.tasks import MULTI_OBJECTIVE_TASKS

CONSOLE_WIDTH = 150
"""Columns of the table where the output is no terminal."""

COLUMNS_NOTE = (
    "Medians over the seeds. volume: share of the true hypervolume, or of what all "
    "searches found together where the space cannot be listed, with its 10th and 90th "
    "percentiles; recall: share of the true front; to 95, 99 %: evaluations until so "
    "much of the hypervolume; reach: what was to be had of it, as failures are lost; "
    "absurd, infeasible: members of fronts that are not what they seem, all seeds. "
    "EMT is a model landscape."
)


def run_fronts(
    tasks: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TASKS]...", help="Names. [default: all]"),
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many, from 0.")] = 10,
    evaluations: Annotated[int, typer.Option(help="Of each search.")] = 100,
    initial: Annotated[
        int | None,
        typer.Option(help="Random structures first. [default: the campaign's]"),
    ] = None,
    batch: Annotated[int, typer.Option(help="Chosen and evaluated together.")] = 1,
    poison: Annotated[
        FaultMode | None,
        typer.Option(
            help="Spoil 11 % of the results: absurd, error, NaN. A passing failure is "
            "one of the call, a lasting one of the structure."
        ),
    ] = None,
    at: Annotated[
        list[int] | None,
        typer.Option(help="Where the table looks; may be repeated. [default: 50, 100]"),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes, of one core each.")] = 1,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the results.")] = Path(
        "runs/fronts"
    ),
    list_tasks: Annotated[
        bool, typer.Option("--list", help="Print the named tasks, run nothing.")
    ] = False,
) -> None:
    """Count how much of known Pareto fronts is found; on the same DIR again, go on."""
    stderr, stdout = Console(stderr=True), _result_console()
    if list_tasks:
        grid = Table("task", "what")
        for screen in MULTI_OBJECTIVE_TASKS.values():
            grid.add_row(screen.name, screen.summary)
        stdout.print(grid)
        return
    line = Status("starting", console=stderr)
    if stderr.is_terminal:
        line.start()
    try:
        rows = run_front_benchmark(
            tasks_by_name(tasks or []),
            CampaignFrontMethod(initial, batch, poison),
            seeds,
            evaluations,
            out,
            report_at=at or (50, 100),
            n_workers=workers,
            on_progress=line.update,
        )
    finally:
        line.stop()
    stdout.print(front_table(rows))
    stdout.print(f"Results are in {out}", soft_wrap=True)


def front_table(rows: Sequence[FrontSummary]) -> RenderableType:
    """Return rows as a table, with what the columns mean."""
    names = (
        *("task", "method", "seeds", "at", "volume", "10-90 %", "recall", "to 95 %"),
        *("to 99 %", "reach", "absurd", "infeasible", "s/step"),
    )
    grid = Table(*names)
    grid.columns[1].no_wrap = True
    for column in grid.columns[2:]:
        column.justify = "right"
    before = ("", "")
    for row in rows:
        own = (row.task, row.method)
        if before[0] not in ("", row.task):
            grid.add_section()
        first = own != before
        grid.add_row(
            row.task if row.task != before[0] else "",
            row.method if first else "",
            str(row.n_seeds) if first else "",
            str(row.n_evaluations),
            f"{row.hypervolume:.4f}",
            f"{row.hypervolume_p10:.3f}-{row.hypervolume_p90:.3f}",
            "" if row.recall is None else f"{row.recall:.0%}",
            _format_count(row.evaluations_to_95) if first else "",
            _format_count(row.evaluations_to_99) if first else "",
            f"{row.attainable_hypervolume:.3f}" if first else "",
            str(row.n_absurd) if first else "",
            str(row.n_infeasible) if first else "",
            "" if row.step_seconds is None or not first else f"{row.step_seconds:.2f}",
        )
        before = own
    return Group(grid, Text(COLUMNS_NOTE))


def _format_count(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _result_console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=CONSOLE_WIDTH)
