"""Results of the energy benchmark as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bostruct.bench.single_objective.one_step_ahead import OneStepAheadScores
from bostruct.bench.single_objective.results import MethodSummary, Results, RunDiagnosis
from bostruct.bench.tables import data_frame, markdown_table, terminal_table

TIME_COLUMNS = ("s/step", "of it", "CPU s")
SUMMARY_COLUMNS = ("task", "method", "solved", "95 %", "median", "90th", *TIME_COLUMNS, "z²", "1σ")
CALIBRATION_COLUMNS = (
    *("task", "method", "n", "50 %", "90 %", "95 %", "stated", "mean z", "median z²", "z²"),
    "z² after 8",
)
FAILURE_COLUMNS = ("task", "method", "seed", "needed", "gap, meV", "cause", "agree", "z")

SUMMARY_NOTE = (
    "Evaluations to success, median and 90th percentile, failed runs counted as the limit; "
    "s/step: median time of a step without evaluations, and means of fit + search + log; CPU "
    "s: CPU time per evaluation with the evaluator's own, median over runs; z² and "
    "1σ: mean z² and coverage of the energies predicted one step ahead, median over runs, ideally "
    "1 and 68%."
)
CALIBRATION_NOTE = (
    "Energies predicted one step ahead, of all runs: fraction within the central 50, 90 and 95 % "
    "intervals of the model, and of what a campaign states with the correction of its earlier "
    "errors, mean z, median z² over that of a right σ, mean z², and mean z² of the predictions "
    "after the eighth of each run."
)
FAILURE_NOTE = (
    "Runs that failed or took more than three times the median. gap: lowest energy before, above "
    "the reference; agree: diagnosed steps with this cause; z: error of the predicted energy of "
    "the reference minimum in σ. search: the reference minimum had a higher acquisition value "
    "than the selected structure; model: its prediction was wrong by more than two σ; isomer: it "
    "was not, others had higher values; excluded: it could not be proposed; prediction: not a "
    "number, or σ collapsed. More in failures.csv."
)


def summary_table(results: Results) -> RenderableType:
    """Return summaries, notes and causes of failures as tables for a terminal."""
    rows = results.summaries()
    frame = data_frame(
        ((row.task, row.method, *format_cells(row)) for row in rows), SUMMARY_COLUMNS
    )
    table = terminal_table(frame, left=("task", "method"), group="task")
    parts: list[RenderableType] = [table, *map(Text, summary_notes(results, rows))]
    scores = results.calibration()
    if scores:
        parts += [calibration_table(scores), Text(CALIBRATION_NOTE)]
    if results.diagnoses:
        parts += [failure_table(results.diagnoses), Text(FAILURE_NOTE)]
    return Group(*parts)


def summary_markdown(results: Results) -> str:
    """Return summaries and scores of predictions as tables in Markdown."""
    rows = ((row.task, row.method, *format_cells(row)) for row in results.summaries())
    parts = [markdown_table(data_frame(rows, SUMMARY_COLUMNS)), SUMMARY_NOTE]
    scores = results.calibration()
    if scores:
        frame = data_frame(map(calibration_cells, scores), CALIBRATION_COLUMNS)
        parts += [markdown_table(frame), CALIBRATION_NOTE]
    return "\n\n".join(parts) + "\n"


def calibration_table(scores: Sequence[OneStepAheadScores]) -> Table:
    """Return the scores of predictions one step ahead as a table for a terminal."""
    frame = data_frame(map(calibration_cells, scores), CALIBRATION_COLUMNS)
    return terminal_table(frame, left=("task", "method"), group="task")


def calibration_cells(row: OneStepAheadScores) -> tuple[str, ...]:
    """Return the scores of predictions one step ahead as texts."""
    numbers = (row.z_mean, row.z2_median, row.z2, row.z2_late)
    coverage = (row.coverage_50, row.coverage_90, row.coverage_95)
    stated = (row.stated_50, row.stated_90, row.stated_95)
    return (
        row.task,
        row.method,
        str(row.n),
        *(f"{fraction:.0%}" for fraction in coverage),
        ", ".join(f"{fraction:.0%}" for fraction in stated),
        *("" if number is None else f"{number:.2f}" for number in numbers),
    )


def failure_table(diagnoses: Sequence[RunDiagnosis]) -> Table:
    """Return the causes of failed and slow runs as a table for a terminal."""
    rows = (
        (
            row.task,
            row.method,
            str(row.seed),
            "failed" if row.evaluations_to_success is None else str(row.evaluations_to_success),
            "" if row.energy_gap is None else f"{1000 * row.energy_gap:.0f}",
            row.cause,
            f"{row.n_agreeing_steps} of {row.n_diagnosed_steps}" if row.n_diagnosed_steps else "",
            "" if row.z_score is None else f"{row.z_score:+.1f}",
        )
        for row in diagnoses
    )
    return terminal_table(data_frame(rows, FAILURE_COLUMNS), left=("task", "method", "cause"))


def format_cells(row: MethodSummary) -> tuple[str, ...]:
    """Return the numbers of a summary as texts."""
    parts = (row.fit_seconds, row.search_seconds, row.log_seconds)
    interval = f"{row.solved_low:.2f}-{row.solved_high:.2f}" if row.n_runs else ""
    return (
        f"{row.n_solved} of {row.n_runs}",
        interval,
        format_evaluations(row.median_evaluations, row),
        format_evaluations(row.p90_evaluations, row),
        "" if row.median_step_seconds is None else f"{row.median_step_seconds:.2f}",
        "+".join(f"{seconds:.2f}" for seconds in parts if seconds is not None),
        "" if row.cpu_seconds is None else f"{row.cpu_seconds:.2f}",
        "" if row.z2 is None else f"{row.z2:.2f}",
        "" if row.coverage_1sigma is None else f"{row.coverage_1sigma:.0%}",
    )


def format_evaluations(count: float | None, row: MethodSummary) -> str:
    """Return a percentile as text, with ">" before the limit where failed runs reach it."""
    if count is None:
        return ""
    failed = count >= row.max_evaluations and row.n_solved < row.n_runs
    return f">{row.max_evaluations}" if failed else f"{count:g}"


def summary_notes(results: Results, rows: Sequence[MethodSummary]) -> list[str]:
    """Return explanations of the columns, and notes on unfinished runs and errors."""
    notes = [SUMMARY_NOTE]
    unfinished = sum(row.n_unfinished for row in rows)
    if unfinished:
        notes.append(
            f"{unfinished} of {len(results.runs)} runs have not ended and do not count: runs that "
            "succeed end first, so the numbers are too good."
        )
    notes.extend(
        f"{run.task}, {run.method}, seed {run.seed} ended early: {run.reason}"
        for run in results.runs
        if run.reason
    )
    return notes
