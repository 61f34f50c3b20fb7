"""The summary of a campaign with goals as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bostruct.campaign.analysis.pareto_front import ParetoFront
from bostruct.campaign.report.labels import format_number, format_objective, split_unit
from bostruct.campaign.report.pareto_summary import summarize_front
from bostruct.evaluators.alloys.convex_hull import ENERGY_ABOVE_HULL
from bostruct.objectives import Constraint, Objective, OptimizationConfig

Summary = Mapping[str, Any]

MAX_FRONT_ROWS = 12
"""Structures of the front that `show` prints."""

HULL_NOTE = "(above the hull of all that was evaluated so far, the elements at 0)"

ERROR_NOTE = "(by how many calibrated σ it was off what had been predicted; * is exact)"


def final_lines(summary: Summary) -> list[str]:
    """Return what a run found, a sentence a line."""
    count = f"{summary['evaluations']} evaluations ({summary['failures']} failed)"
    size = len(summary["front"]["points"])
    if not size:
        return [f"No structure on the front in {count}."]
    what = "1 structure" if size == 1 else f"{size} structures"
    return [
        f"Front of {what} by {count}, hypervolume "
        f"{format_number(summary['front']['hypervolume'])}.",
        *([f"Doubted: {_quarantine_counts(summary)}."] if summary["doubted"] else []),
    ]


def header_lines(summary: Summary) -> list[tuple[str, str]]:
    """Return what was wanted, how far it is, and what predictions were worth.

    Each as the name of the line and its text.
    """
    goals, front = goals_from_summary(summary), summary["front"]
    lines = [("objectives", format_objective(part)) for part in goals.objectives]
    lines += [("constraints", format_objective(part)) for part in goals.constraints]
    lines.append(("front", f"{len(front['points'])} structures"))
    lines += _hypervolume_lines(front)
    if summary["feasible_share"] is not None:
        share = f"{summary['feasible']} of {summary['evaluations']}"
        lines.append(("feasible", f"{share} ({summary['feasible_share']:.0%})"))
    if summary["doubted"]:
        lines.append(("doubted", _quarantine_counts(summary)))
        lines += [("", text) for text in _quarantine_lines(summary)]
    for name, quality in summary["calibration"].items():
        lines.append(("calibration", f"{split_unit(name)[0]}: {_calibration_text(quality)}"))
    return lines


def table_lines(summary: Summary) -> list[str]:
    """Return the front and the last steps, as tables."""
    goals = goals_from_summary(summary)
    points = summary["front"]["points"]
    lines: list[str] = []
    if points:
        lines += ["", *format_front_table(goals, points[:MAX_FRONT_ROWS])]
        if len(points) > MAX_FRONT_ROWS:
            rest = f"bostruct front {summary['folder']}"
            lines.append(f"and {len(points) - MAX_FRONT_ROWS} more: {rest}")
        lines += _table_notes(points)
    rows = []
    for step in summary["steps"]:
        for trial in step["trials"]:
            rows += _trial_rows(goals, step["step"], trial)
    titles = ("step", "trial", "outcome", "predicted", "calibrated", "found", "error/σ")
    return [*lines, "", *align_columns([titles, *rows])]


def front_lines(
    front: ParetoFront, formulas: Mapping[int, str], e_above_hull: Mapping[int, float]
) -> list[str]:
    """Return a whole front as text.

    Args:
        front: Of a log.
        formulas: Of the structures on it, by their trials.
        e_above_hull: Their energies above the hull, eV/atom; empty where it is not known.
    """
    found = summarize_front(front, formulas, e_above_hull)
    counts = f"{len(front.points)} structures by {len(front.history)} evaluations"
    lines = [
        *(
            f"objectives   {format_objective(part)}"
            for part in front.optimization_config.objectives
        ),
        *(
            f"constraints  {format_objective(part)}"
            for part in front.optimization_config.constraints
        ),
        f"front        {counts}, {found['feasible']} of them feasible",
        *(f"{name:<11}  {text}" for name, text in _hypervolume_lines(found["front"])),
    ]
    if found["doubted"]:
        lines.append(f"doubted      {_quarantine_counts(found)}")
        lines += [f"{'':<11}  {text}" for text in _quarantine_lines(found)]
    if front.points:
        points = found["front"]["points"]
        lines += [
            "",
            *format_front_table(front.optimization_config, points),
            *_table_notes(points),
        ]
    return lines


def _hypervolume_lines(front: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the hypervolume and what it is measured from."""
    if not front["reference"]:
        return []
    bound = ", ".join(
        f"{split_unit(name)[0]} {format_number(value)}"
        for name, value in front["reference"].items()
    )
    source = {"a step": "of the last step", "the data": "from the data"}
    where = source.get(front["reference_from"], "given")
    volume = format_number(front["hypervolume"])
    return [("hypervolume", volume), ("reference", f"{bound} ({where})")]


def format_front_table(
    optimization_config: OptimizationConfig, points: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Return the points of a front, at least one, a line each; `*` is exact.

    Behind each value that had been predicted stands by how many σ it was off; the last
    column is the energy above the hull, where that is known.
    """
    titles = ["trial", "formula"]
    for name in optimization_config.outcome_names:
        text, unit = split_unit(name, optimization_config.units[name])
        titles.append(f"{text}, {unit}" if unit else text)
    high = ENERGY_ABOVE_HULL in points[0]
    if high:
        titles.append(", ".join(split_unit(ENERGY_ABOVE_HULL)))
    rows = []
    for point in points:
        row = [str(point["trial"]), point["formula"]]
        row += [
            _format_outcome(optimization_config, name, point)
            for name in optimization_config.outcome_names
        ]
        if high:
            row.append(format_number(point[ENERGY_ABOVE_HULL]))
        rows.append(row)
    return align_columns([titles, *rows])


def _table_notes(points: Sequence[Mapping[str, Any]]) -> list[str]:
    return [ERROR_NOTE, HULL_NOTE] if ENERGY_ABOVE_HULL in points[0] else [ERROR_NOTE]


def align_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows with columns of one width each, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{text:<{n}}" for text, n in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def goals_from_summary(summary: Summary) -> OptimizationConfig:
    """Return the goals that a summary describes."""
    described = summary["goals"]
    return OptimizationConfig(
        tuple(Objective(**part) for part in described["objectives"]),
        tuple(Constraint(**part) for part in described["constraints"]),
    )


def _format_outcome(
    optimization_config: OptimizationConfig, name: str, point: Mapping[str, Any]
) -> str:
    text = format_number(point["outcomes"][name])
    if name in point["exact"]:
        return f"{text}*"
    told = point["foretold"].get(name)
    if told is None:
        return text
    off = optimization_config.transform(name, point["outcomes"][name]) - told["mean"]
    return f"{text} ({off / told['calibrated']:+.1f}σ)" if told["calibrated"] else text


def _quarantine_counts(summary: Summary) -> str:
    trials = sum(each["name"] == "all" for each in summary["doubted"])
    values = len(summary["doubted"]) - trials
    parts = []
    if values:
        parts.append(f"{values} value{'s' * (values > 1)} in quarantine")
    if trials:
        parts.append(f"{trials} trial{'s' * (trials > 1)} retracted")
    return " and ".join(parts)


def _quarantine_lines(summary: Summary) -> list[str]:
    """Return the last of what is doubted, a sentence each."""
    found = []
    for each in summary["doubted"][-5:]:
        what = "retracted" if each["name"] == "all" else split_unit(each["name"])[0]
        found.append(f"trial {each['trial']}, {what}: {each['reason']}")
    return found


def _calibration_text(calibration: Mapping[str, Any]) -> str:
    n = calibration["n"]
    if not n:
        return "no prediction was tested yet"
    if calibration["alpha"] is None:
        text = f"σ × {calibration['factor']:.2f}, {n} tested"
    else:
        of = calibration["alpha_of_last"]
        which = f"{n}" if of == n else f"the last {of} of {n}"
        low, high = calibration["alpha_low"], calibration["alpha_high"]
        which = f"(90 %: {low:.2f} to {high:.2f}) by {which} predictions"
        text = f"σ × {calibration['alpha']:.2f} {which}"
    if calibration["intervals"]:
        held = f"{calibration['held']} of {calibration['intervals']}"
        text += f"; {held} intervals of 90 % have held"
    return text


def _trial_rows(
    optimization_config: OptimizationConfig, step: int, trial: Mapping[str, Any]
) -> list[tuple[str, str, str, str, str, str, str]]:
    """Return a row for each outcome of a trial."""
    rows = []
    first = (str(step), str(trial["trial"]))
    for name, each in trial["outcomes"].items():
        text = split_unit(name)[0]
        text = f"log10 {text}" if name in optimization_config.log_outcomes else text
        found = trial["state"] if each["found"] is None else format_number(each["found"])
        if each["found"] is None and trial["state"] == "done":
            found = "in quarantine"
        said, wider, off = "-", "-", "-"
        if each["exact"]:
            said = "exact"
        elif each["mean"] is not None:
            said = f"{format_number(each['mean'])} ± {format_number(each['sigma'])}"
            wider = f"± {format_number(each['calibrated'])}"
            if each["found"] is not None and each["sigma"]:
                off = f"{(each['found'] - each['mean']) / each['sigma']:+.2f}"
        rows.append((*first, text, said, wider, found, off))
        first = ("", "")
    if trial["reason"]:
        rows.append(("", "", trial["reason"], "", "", "", ""))
    return rows
