"""The front of a campaign as files: tables, structures, entries and pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bostruct.campaign.analysis.outcome_table import ENERGY, measured
from bostruct.campaign.analysis.pareto_front import Front, Point
from bostruct.campaign.log.reader import Log
from bostruct.campaign.report import export, pareto_plots
from bostruct.campaign.report.unevaluated_candidates import Prospect, prospects
from bostruct.errors import LogError
from bostruct.evaluators.alloys.computed_entries import entries
from bostruct.evaluators.alloys.convex_hull import HEIGHT
from bostruct.evaluators.quarantine import valid
from bostruct.runtime.atomic_write import write

Draw = Callable[[Front, Sequence[Prospect], Path], bool]


def publish(
    log: Log, out: Path, heights: Mapping[int, float] | None = None
) -> list[str]:
    """Write the front of a campaign, and all that was evaluated, into a folder.

    Args:
        log: Of a campaign with goals. Opened with its space, the pictures show what
            the last search found beside, too.
        out: The folder; made if it does not exist. Files of the same names are
            replaced.
        heights: Energies above the hull, `atoms.above_hull` of the log by default.

    Returns:
        The names of the files that were written.

    Raises:
        LogError: nothing was evaluated yet, or the folder cannot be written.
    """
    front = log.front()
    done = [point.trial for point in front.evaluated if point.state == "done"]
    if not done:
        message = f"{log.folder} has no evaluation yet: there is nothing to write."
        raise LogError(message)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"could not write in {out}: {error.strerror or error}"
        raise LogError(message) from error
    formulas = export.formulas(log, done)
    heights = export.above_hull(log) if heights is None else heights
    written = ["front.csv", "evaluations.csv"]
    best = rows(front, front.points, formulas, heights)
    write(out / "front.csv", best.encode())
    everything = rows(front, front.evaluated, formulas, heights, whole=True)
    write(out / "evaluations.csv", everything.encode())
    if front.points:
        images = export.images(log, heights=heights)
        for name in ("front.extxyz", "front.db"):
            export.export(images, out / name)
            written.append(name)
        trials = {trial.number: trial for trial in log.undecoded()}
        mine = [trials[point.trial] for point in front.points]
        text = entries(
            images,
            [measured(trial, front.goals).get(ENERGY) for trial in mine],
            [_known(point, valid(trials[point.trial])) for point in front.points],
            [f"{log.folder.name}-{point.trial}" for point in front.points],
        )
        write(out / "entries.json", text.encode())
        written.append("entries.json")
    expected = prospects(log)
    drawings: dict[str, Draw] = {
        "pareto.png": pareto_plots.pairs,
        "pareto3d.png": pareto_plots.cube,
        "hypervolume.png": pareto_plots.growth,
        "parallel.png": pareto_plots.parallel,
    }
    for name, draw in drawings.items():
        if draw(front, expected, out / name):
            written.append(name)
    return written


def rows(
    front: Front,
    points: Sequence[Point],
    formulas: Mapping[int, str],
    heights: Mapping[int, float],
    whole: bool = False,
) -> str:
    """Return points as CSV: what was found, and what had been predicted of it.

    Outcomes are raw values. Predictions are those from before, with the calibrated σ
    and the ends of the interval of 90 %; of an outcome that is judged as its log10
    they are of that, and their columns say so.

    Args:
        front: Of the log.
        points: Some of it.
        formulas: Of the structures, by trial.
        heights: Energies above the hull, eV/atom, by trial; empty for no column.
        whole: Whether to say what became of each evaluation, too.
    """
    goals = front.goals
    named = {n: f"log10_{n}" if n in goals.logs else n for n in front.learnt}
    found = []
    doubts: dict[int, list[str]] = {}
    for each in front.doubted:
        doubts.setdefault(each.trial, []).append(f"{each.name}: {each.reason}")

    for point in points:
        row: dict[str, Any] = {
            "trial": point.trial,
            "evaluation": point.evaluation,
            "step": point.step,
            "origin": point.origin,
            "formula": formulas.get(point.trial, ""),
        }
        if whole:
            row |= {"state": point.state, "feasible": point.feasible}
            row |= {"front": point.best}
        row |= point.raw
        if heights:
            row[HEIGHT] = heights.get(point.trial)
        for name, label in named.items():
            told = point.foretold.get(name)
            row[f"{label}_predicted"] = told and told.mean
            row[f"{label}_sigma"] = told and told.calibrated
            row[f"{label}_low"] = told and told.low
            row[f"{label}_high"] = told and told.high
        if whole:
            n = point.evaluation  # None where it came with its outcomes
            row["hypervolume"] = n and front.series.hypervolume[n - 1]
            row["front_size"] = n and front.series.front[n - 1]
            row["doubted"] = "; ".join(doubts.get(point.trial, ()))
        found.append(row)
    text = io.StringIO()
    if found:
        writer = csv.DictWriter(text, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    return text.getvalue()


def _known(point: Point, properties: Mapping[str, float]) -> dict[str, float]:
    """Return all numbers that are known and believed of a structure."""
    rest = {name: v for name, v in properties.items() if name not in point.raw}
    return rest | {name: v for name, v in point.raw.items() if v is not None}
