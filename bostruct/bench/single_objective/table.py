"""The results on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bostruct.bench.single_objective.results import MethodSummary, Results
from bostruct.bench.single_objective.run_diagnosis import RunDiagnosis

SUMMARY_COLUMNS = (
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
FAILURE_COLUMNS = (
    "task",
    "method",
    "seed",
    "needed",
    "gap, meV",
    "cause",
    "agree",
    "z",
)


FAILURE_NOTE = (
    "Runs that failed or took more than three times the median. gap: lowest energy "
    "before, above the reference; agree: steps that say so, of those asked; z: error "
    "of the answer's energy in σ. search: the answer was worth more than what was "
    "chosen; model: the model was wrong about it by more than two σ; isomer: it was "
    "not, others promised more; excluded: it could not be proposed; spoilt: no number, "
    "or σ collapsed. More in failures.csv."
)


def summary_table(results: Results) -> RenderableType:
    """Return the summary as a table, with what there is to say about it."""
    grid = Table(*SUMMARY_COLUMNS)
    for column in grid.columns[2:]:
        column.justify = "right"
    rows = results.summaries()
    before = ""
    for row in rows:
        if before and row.task != before:
            grid.add_section()
        grid.add_row("" if row.task == before else row.task, row.method, *format_cells(row))
        before = row.task
    parts: list[RenderableType] = [grid, *map(Text, summary_notes(results, rows))]
    if results.diagnoses:
        parts += [failure_table(results.diagnoses), Text(FAILURE_NOTE)]
    return Group(*parts)


def failure_table(diagnoses: Sequence[RunDiagnosis]) -> Table:
    """Return why runs failed or were slow."""
    grid = Table(*FAILURE_COLUMNS)
    for name in ("seed", "needed", "gap, meV", "agree", "z"):
        grid.columns[FAILURE_COLUMNS.index(name)].justify = "right"
    for found in diagnoses:
        grid.add_row(
            found.task,
            found.method,
            str(found.seed),
            "failed" if found.evaluations_to_success is None else str(found.evaluations_to_success),
            "" if found.energy_gap is None else f"{1000 * found.energy_gap:.0f}",
            found.cause,
            f"{found.n_agreeing_steps} of {found.n_diagnosed_steps}"
            if found.n_diagnosed_steps
            else "",
            "" if found.z_score is None else f"{found.z_score:+.1f}",
        )
    return grid


def format_cells(row: MethodSummary) -> tuple[str, ...]:
    """Return the figures of a row as text."""
    split = ""
    if (
        row.fit_seconds is not None
        and row.search_seconds is not None
        and row.log_seconds is not None
    ):
        split = f"{row.fit_seconds:.2f}+{row.search_seconds:.2f}+{row.log_seconds:.2f}"
    interval = f"{row.solved_low:.2f}-{row.solved_high:.2f}" if row.n_runs else ""
    return (
        f"{row.n_solved} of {row.n_runs}",
        interval,
        format_evaluations(row.median_evaluations, row),
        format_evaluations(row.p90_evaluations, row),
        "" if row.median_step_seconds is None else f"{row.median_step_seconds:.2f}",
        split,
        "" if row.z2 is None else f"{row.z2:.2f}",
        "" if row.coverage_1sigma is None else f"{row.coverage_1sigma:.0%}",
    )


def format_evaluations(count: float | None, row: MethodSummary) -> str:
    """Return a percentile; where it is a run that failed, say that it is more."""
    if count is None:
        return ""
    failed = count >= row.max_evaluations and row.n_solved < row.n_runs
    return f">{row.max_evaluations}" if failed else f"{count:g}"


def summary_notes(results: Results, rows: Sequence[MethodSummary]) -> list[str]:
    """Return what the figures mean, and what is to be known about them."""
    found = [
        "Evaluations to success, median and 90th percentile, failed runs counted as the"
        " cap; s/step: median own time in a step, and means of fit + search + log; z²"
        " and 1σ: mean z² and coverage of the energies predicted one step ahead, median"
        " over runs, ideally 1 and 68%."
    ]
    unfinished = sum(row.n_unfinished for row in rows)
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
