"""Command `fronts`: fraction of known Pareto fronts that campaigns find."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bostruct.bench.front_benchmark import FrontSummary, run_front_benchmark, tasks_by_name
from bostruct.bench.multi_objective.fault_injection import FaultMode
from bostruct.bench.multi_objective.methods import CampaignFrontMethod
from bostruct.bench.multi_objective.tasks import MULTI_OBJECTIVE_TASKS
from bostruct.cli.console import progress_line, result_console
from bostruct.errors import check_count

CONSOLE_WIDTH = 150
"""Columns of the table where the output is no terminal."""

COLUMNS_NOTE = (
    "Medians over the seeds. volume: fraction of the true hypervolume, or of that of all searches "
    "together where the space cannot be enumerated, with its 10th and 90th percentiles; recall: "
    "fraction of the true front; to 95, 99 %: evaluations until that fraction of the hypervolume; "
    "reach: attainable fraction, as failures are lost; absurd, infeasible: members of fronts with "
    "wrong or infeasible outcomes, all seeds. EMT is a model landscape."
)


def fronts(
    tasks: Annotated[
        list[str] | None,
        typer.Argument(metavar="TASKS", help="Names of tasks.", show_default="all"),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds, from 0.")] = 10,
    evaluations: Annotated[int, typer.Option(help="Evaluations of each search.")] = 100,
    initial: Annotated[
        int | None,
        typer.Option(
            help="Number of random structures first.", show_default="that of the campaign"
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Structures selected and evaluated together.")] = 1,
    poison: Annotated[
        FaultMode | None,
        typer.Option(
            help="Fault injection in 11 % of the results: absurd values, errors, NaN. A passing "
            "failure is one of the call, a lasting one of the structure."
        ),
    ] = None,
    at: Annotated[
        list[int] | None,
        typer.Option(
            help="Number of evaluations of a row; may be repeated.", show_default="50, 100"
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Number of processes, each on one core.")] = 1,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the results.")] = Path(
        "runs/fronts"
    ),
    list_tasks: Annotated[
        bool, typer.Option("--list", help="Print the named tasks and exit.")
    ] = False,
) -> None:
    """Measure the fraction of known Pareto fronts that is found; resume on the same DIR."""
    console = result_console(CONSOLE_WIDTH)
    if list_tasks:
        table = Table("task", "summary")
        for task in MULTI_OBJECTIVE_TASKS.values():
            table.add_row(task.name, task.summary)
        console.print(table)
        return
    check_count("batch", batch)
    with progress_line() as line:
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
    console.print(front_table(rows))
    console.print(f"Results are in {out}", soft_wrap=True)


def front_table(rows: Sequence[FrontSummary]) -> RenderableType:
    """Return rows as a table, with a note on its columns."""
    table = Table(
        *("task", "method", "seeds", "at", "volume", "10-90 %", "recall", "to 95 %"),
        *("to 99 %", "reach", "absurd", "infeasible", "s/step"),
    )
    table.columns[1].no_wrap = True
    for column in table.columns[2:]:
        column.justify = "right"
    previous = ("", "")
    for row in rows:
        if previous[0] not in ("", row.task):
            table.add_section()
        is_first = (row.task, row.method) != previous
        table.add_row(
            row.task if row.task != previous[0] else "",
            row.method if is_first else "",
            str(row.n_seeds) if is_first else "",
            str(row.n_evaluations),
            f"{row.hypervolume:.4f}",
            f"{row.hypervolume_p10:.3f}-{row.hypervolume_p90:.3f}",
            "" if row.recall is None else f"{row.recall:.0%}",
            _format_count(row.evaluations_to_95) if is_first else "",
            _format_count(row.evaluations_to_99) if is_first else "",
            f"{row.attainable_hypervolume:.3f}" if is_first else "",
            str(row.n_absurd) if is_first else "",
            str(row.n_infeasible) if is_first else "",
            "" if row.step_seconds is None or not is_first else f"{row.step_seconds:.2f}",
        )
        previous = (row.task, row.method)
    return Group(table, Text(COLUMNS_NOTE))


def _format_count(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
