"""Command `fronts`: fraction of known Pareto fronts that campaigns find."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from bostruct import cli
from bostruct.cli.progress_line import progress_line
from bostruct.errors import check_count

CONSOLE_WIDTH = 150
"""Columns of the table where the output is no terminal."""

COLUMNS = (
    *("task", "method", "seeds", "at", "volume", "10-90 %", "recall", "to 95 %", "to 99 %"),
    *("attainable", "absurd", "infeasible", "s/step"),
)
COLUMNS_NOTE = (
    "Medians over the seeds. volume: fraction of the true hypervolume, or of that of all runs "
    "together where the space cannot be listed, with its 10th and 90th percentiles; recall: "
    "fraction of the true front; to 95, 99 %: evaluations to so much of the hypervolume; "
    "attainable: fraction of it left by failed evaluations; absurd, infeasible: members of fronts "
    "with wrong outcomes, and infeasible ones taken for feasible, all seeds. EMT is a model "
    "potential."
)


def fronts(
    tasks: Annotated[
        list[str] | None,
        typer.Argument(metavar="TASKS", help="Names of tasks.", show_default="all"),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = 10,
    first_seed: Annotated[int, typer.Option(help="First of the seeds.")] = 0,
    evaluations: Annotated[int, typer.Option(help="Evaluations of each search.")] = 100,
    initial: Annotated[
        int | None,
        typer.Option(
            help="Number of random structures first.", show_default="that of the campaign"
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Structures selected and evaluated together.")] = 1,
    poison: Annotated[
        Literal["passing", "lasting"] | None,
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
    console = cli.result_console(CONSOLE_WIDTH)
    if list_tasks:
        rows = ((task.name, task.summary) for task in cli.MULTI_OBJECTIVE_TASKS.values())
        columns = ("task", "summary")
        console.print(cli.terminal_table(cli.data_frame(rows, columns), left=columns))
        return
    check_count("batch", batch)
    with progress_line() as line:
        summary = cli.run_front_benchmark(
            cli.tasks_by_name(tasks or []),
            cli.CampaignFrontMethod(initial, batch, poison),
            seeds,
            evaluations,
            out,
            report_at=at or (50, 100),
            first_seed=first_seed,
            n_workers=workers,
            on_progress=line.update,
        )
    console.print(front_table(summary))
    console.print(f"Results are in {out}", soft_wrap=True)


def front_table(rows: Sequence[cli.FrontSummary]) -> RenderableType:
    """Return a summary as a table, with an explanation of its columns."""
    cells, before = [], None
    for row in rows:
        is_first = (row.task, row.method) != before
        before = (row.task, row.method)
        step = "" if row.step_seconds is None else f"{row.step_seconds:.2f}"
        counts = (row.evaluations_to_95, row.evaluations_to_99)
        to_95, to_99 = ("-" if count is None else f"{count:g}" for count in counts)
        cells.append(
            (
                row.task,
                row.method if is_first else "",
                str(row.n_seeds) if is_first else "",
                str(row.n_evaluations),
                f"{row.hypervolume:.4f}",
                f"{row.hypervolume_p10:.3f}-{row.hypervolume_p90:.3f}",
                "" if row.recall is None else f"{row.recall:.0%}",
                to_95 if is_first else "",
                to_99 if is_first else "",
                f"{row.attainable_hypervolume:.3f}" if is_first else "",
                str(row.n_absurd) if is_first else "",
                str(row.n_infeasible) if is_first else "",
                step if is_first else "",
            )
        )
    table = cli.terminal_table(
        cli.data_frame(cells, COLUMNS), left=("task", "method"), group="task"
    )
    return Group(table, Text(COLUMNS_NOTE))
