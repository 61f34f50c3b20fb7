"""The summary of a campaign with goals as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bostruct.campaign.analysis.pareto_front import Front
from bostruct.campaign.report.labels import aim, shown, words
from bostruct.campaign.report.pareto_summary import screened
from bostruct.evaluators.alloys.convex_hull import HEIGHT
from bostruct.objectives import Constraint, Goals, Objective

Summary = Mapping[str, Any]

ROWS = 12
"""Structures of the front that `show` prints."""

HULL = "(above the hull of all that was evaluated so far, the elements at 0)"

LEGEND = "(by how many calibrated σ it was off what had been predicted; * is exact)"


def ending(summary: Summary) -> list[str]:
    """Return what a run found, a sentence a line."""
    count = f"{summary['evaluations']} evaluations ({summary['failures']} failed)"
    size = len(summary["front"]["points"])
    if not size:
        return [f"No structure on the front in {count}."]
    what = "1 structure" if size == 1 else f"{size} structures"
    return [
        f"Front of {what} by {count}, hypervolume "
        f"{shown(summary['front']['hypervolume'])}.",
        *([f"Doubted: {_doubted(summary)}."] if summary["doubted"] else []),
    ]


def head(summary: Summary) -> list[tuple[str, str]]:
    """Return what was wanted, how far it is, and what predictions were worth.

    Each as the name of the line and its text.
    """
    goals, front = goals_of(summary), summary["front"]
    lines = [("objectives", aim(part)) for part in goals.objectives]
    lines += [("constraints", aim(part)) for part in goals.constraints]
    lines.append(("front", f"{len(front['points'])} structures"))
    lines += _volume(front)
    if summary["feasible_share"] is not None:
        share = f"{summary['feasible']} of {summary['evaluations']}"
        lines.append(("feasible", f"{share} ({summary['feasible_share']:.0%})"))
    if summary["doubted"]:
        lines.append(("doubted", _doubted(summary)))
        lines += [("", text) for text in _doubts(summary)]
    for name, quality in summary["calibration"].items():
        lines.append(("calibration", f"{words(name)[0]}: {_quality(quality)}"))
    return lines


def tables(summary: Summary) -> list[str]:
    """Return the front and the last steps, as tables."""
    goals = goals_of(summary)
    points = summary["front"]["points"]
    lines: list[str] = []
    if points:
        lines += ["", *front_table(goals, points[:ROWS])]
        if len(points) > ROWS:
            rest = f"bostruct front {summary['folder']}"
            lines.append(f"and {len(points) - ROWS} more: {rest}")
        lines += _legend(points)
    rows = []
    for step in summary["steps"]:
        for trial in step["trials"]:
            rows += _trial(goals, step["step"], trial)
    titles = ("step", "trial", "outcome", "predicted", "calibrated", "found", "error/σ")
    return [*lines, "", *aligned([titles, *rows])]


def front(
    front: Front, formulas: Mapping[int, str], heights: Mapping[int, float]
) -> list[str]:
    """Return a whole front as text.

    Args:
        front: Of a log.
        formulas: Of the structures on it, by their trials.
        heights: Their energies above the hull, eV/atom; empty where it is not known.
    """
    found = screened(front, formulas, heights)
    counts = f"{len(front.points)} structures by {len(front.series)} evaluations"
    lines = [
        *(f"objectives   {aim(part)}" for part in front.goals.objectives),
        *(f"constraints  {aim(part)}" for part in front.goals.constraints),
        f"front        {counts}, {found['feasible']} of them feasible",
        *(f"{name:<11}  {text}" for name, text in _volume(found["front"])),
    ]
    if found["doubted"]:
        lines.append(f"doubted      {_doubted(found)}")
        lines += [f"{'':<11}  {text}" for text in _doubts(found)]
    if front.points:
        points = found["front"]["points"]
        lines += ["", *front_table(front.goals, points), *_legend(points)]
    return lines


def _volume(front: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the hypervolume and what it is measured from."""
    if not front["reference"]:
        return []
    bound = ", ".join(
        f"{words(name)[0]} {shown(value)}" for name, value in front["reference"].items()
    )
    source = {"a step": "of the last step", "the data": "from the data"}
    where = source.get(front["reference_from"], "given")
    volume = shown(front["hypervolume"])
    return [("hypervolume", volume), ("reference", f"{bound} ({where})")]


def front_table(goals: Goals, points: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the points of a front, at least one, a line each; `*` is exact.

    Behind each value that had been predicted stands by how many σ it was off; the last
    column is the energy above the hull, where that is known.
    """
    titles = ["trial", "formula"]
    for name in goals.names:
        text, unit = words(name, goals.units[name])
        titles.append(f"{text}, {unit}" if unit else text)
    high = HEIGHT in points[0]
    if high:
        titles.append(", ".join(words(HEIGHT)))
    rows = []
    for point in points:
        row = [str(point["trial"]), point["formula"]]
        row += [_value(goals, name, point) for name in goals.names]
        if high:
            row.append(shown(point[HEIGHT]))
        rows.append(row)
    return aligned([titles, *rows])


def _legend(points: Sequence[Mapping[str, Any]]) -> list[str]:
    return [LEGEND, HULL] if HEIGHT in points[0] else [LEGEND]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows with columns of one width each, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{text:<{n}}" for text, n in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def goals_of(summary: Summary) -> Goals:
    """Return the goals that a summary describes."""
    described = summary["goals"]
    return Goals(
        tuple(Objective(**part) for part in described["objectives"]),
        tuple(Constraint(**part) for part in described["constraints"]),
    )


def _value(goals: Goals, name: str, point: Mapping[str, Any]) -> str:
    text = shown(point["outcomes"][name])
    if name in point["exact"]:
        return f"{text}*"
    told = point["foretold"].get(name)
    if told is None:
        return text
    off = goals.outcome(name, point["outcomes"][name]) - told["mean"]
    return f"{text} ({off / told['calibrated']:+.1f}σ)" if told["calibrated"] else text


def _doubted(summary: Summary) -> str:
    trials = sum(each["name"] == "all" for each in summary["doubted"])
    values = len(summary["doubted"]) - trials
    parts = []
    if values:
        parts.append(f"{values} value{'s' * (values > 1)} in quarantine")
    if trials:
        parts.append(f"{trials} trial{'s' * (trials > 1)} retracted")
    return " and ".join(parts)


def _doubts(summary: Summary) -> list[str]:
    """Return the last of what is doubted, a sentence each."""
    found = []
    for each in summary["doubted"][-5:]:
        what = "retracted" if each["name"] == "all" else words(each["name"])[0]
        found.append(f"trial {each['trial']}, {what}: {each['reason']}")
    return found


def _quality(quality: Mapping[str, Any]) -> str:
    n = quality["n"]
    if not n:
        return "no prediction was tested yet"
    if quality["alpha"] is None:
        text = f"σ × {quality['factor']:.2f}, {n} tested"
    else:
        of = quality["alpha_of_last"]
        which = f"{n}" if of == n else f"the last {of} of {n}"
        low, high = quality["alpha_low"], quality["alpha_high"]
        which = f"(90 %: {low:.2f} to {high:.2f}) by {which} predictions"
        text = f"σ × {quality['alpha']:.2f} {which}"
    if quality["intervals"]:
        held = f"{quality['held']} of {quality['intervals']}"
        text += f"; {held} intervals of 90 % have held"
    return text


def _trial(
    goals: Goals, step: int, trial: Mapping[str, Any]
) -> list[tuple[str, str, str, str, str, str, str]]:
    """Return a row for each outcome of a trial."""
    rows = []
    first = (str(step), str(trial["trial"]))
    for name, each in trial["outcomes"].items():
        text = words(name)[0]
        text = f"log10 {text}" if name in goals.logs else text
        found = trial["state"] if each["found"] is None else shown(each["found"])
        if each["found"] is None and trial["state"] == "done":
            found = "in quarantine"
        said, wider, off = "-", "-", "-"
        if each["exact"]:
            said = "exact"
        elif each["mean"] is not None:
            said = f"{shown(each['mean'])} ± {shown(each['sigma'])}"
            wider = f"± {shown(each['calibrated'])}"
            if each["found"] is not None and each["sigma"]:
                off = f"{(each['found'] - each['mean']) / each['sigma']:+.2f}"
        rows.append((*first, text, said, wider, found, off))
        first = ("", "")
    if trial["reason"]:
        rows.append(("", "", trial["reason"], "", "", "", ""))
    return rows
