"""The results on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bostruct.bench.single_objective.results import Results, Row
from bostruct.bench.single_objective.run_diagnosis import Finding

COLUMNS = (
    "task",
    "method",
    "solved",
    "95 %",
    "median",
    "90th",
    "s/step",
    "of it",
    "z²",
    "1σ",
)
WHY = ("task", "method", "seed", "needed", "gap, meV", "cause", "agree", "z")


WHY_NOTE = (
    "Runs that failed or took more than three times the median. gap: lowest energy "
    "before, above the reference; agree: steps that say so, of those asked; z: error "
    "of the answer's energy in σ. search: the answer was worth more than what was "
    "chosen; model: the model was wrong about it by more than two σ; isomer: it was "
    "not, others promised more; excluded: it could not be proposed; spoilt: no number, "
    "or σ collapsed. More in failures.csv."
)


def table(results: Results) -> RenderableType:
    """Return the summary as a table, with what there is to say about it."""
    grid = Table(*COLUMNS)
    for column in grid.columns[2:]:
        column.justify = "right"
    rows = results.rows()
    before = ""
    for row in rows:
        if before and row.task != before:
            grid.add_section()
        grid.add_row("" if row.task == before else row.task, row.method, *cells(row))
        before = row.task
    parts: list[RenderableType] = [grid, *map(Text, notes(results, rows))]
    if results.findings:
        parts += [why(results.findings), Text(WHY_NOTE)]
    return Group(*parts)


def why(findings: Sequence[Finding]) -> Table:
    """Return why runs failed or were slow."""
    grid = Table(*WHY)
    for name in ("seed", "needed", "gap, meV", "agree", "z"):
        grid.columns[WHY.index(name)].justify = "right"
    for found in findings:
        grid.add_row(
            found.task,
            found.method,
            str(found.seed),
            "failed" if found.evaluations is None else str(found.evaluations),
            "" if found.gap is None else f"{1000 * found.gap:.0f}",
            found.cause,
            f"{found.agree} of {found.looks}" if found.looks else "",
            "" if found.z is None else f"{found.z:+.1f}",
        )
    return grid


def cells(row: Row) -> tuple[str, ...]:
    """Return the figures of a row as text."""
    split = ""
    if row.fit is not None and row.search is not None and row.log is not None:
        split = f"{row.fit:.2f}+{row.search:.2f}+{row.log:.2f}"
    interval = f"{row.low:.2f}-{row.high:.2f}" if row.runs else ""
    return (
        f"{row.solved} of {row.runs}",
        interval,
        evaluations(row.median, row),
        evaluations(row.p90, row),
        "" if row.step is None else f"{row.step:.2f}",
        split,
        "" if row.z2 is None else f"{row.z2:.2f}",
        "" if row.within is None else f"{row.within:.0%}",
    )


def evaluations(count: float | None, row: Row) -> str:
    """Return a percentile; where it is a run that failed, say that it is more."""
    if count is None:
        return ""
    failed = count >= row.cap and row.solved < row.runs
    return f">{row.cap}" if failed else f"{count:g}"


def notes(results: Results, rows: Sequence[Row]) -> list[str]:
    """Return what the figures mean, and what is to be known about them."""
    found = [
        "Evaluations to success, median and 90th percentile, failed runs counted as the"
        " cap; s/step: median own time in a step, and means of fit + search + log; z²"
        " and 1σ: mean z² and coverage of the energies predicted one step ahead, median"
        " over runs, ideally 1 and 68%."
    ]
    unfinished = sum(row.unfinished for row in rows)
    if unfinished:
        found.append(
            f"{unfinished} of {len(results.runs)} runs have not ended and do not "
            "count: those that succeed end first, so the figures look better than they "
            "are."
        )
    found.extend(
        f"{run.task}, {run.method}, seed {run.seed} ended early: {run.reason}"
        for run in results.runs
        if run.reason
    )
    return found
