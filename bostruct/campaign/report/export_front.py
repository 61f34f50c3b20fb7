"""The front of a campaign as files: tables, structures, entries and pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bostruct.campaign.analysis.outcome_table import ENERGY, outcome_values
from bostruct.campaign.analysis.pareto_front import EvaluatedPoint, ParetoFront
from bostruct.campaign.log.reader import Log
from bostruct.campaign.report import export, pareto_plots
from bostruct.campaign.report.unevaluated_candidates import (
    FrontCandidate,
    predict_front_candidates,
)
from bostruct.errors import LogError
from bostruct.evaluators.alloys.computed_entries import computed_entries_json
from bostruct.evaluators.alloys.convex_hull import ENERGY_ABOVE_HULL
from bostruct.evaluators.quarantine import trusted_properties
from bostruct.runtime.atomic_write import write_atomically

PlotFunction = Callable[[ParetoFront, Sequence[FrontCandidate], Path], bool]


def write_front_files(
    log: Log, out: Path, e_above_hull: Mapping[int, float] | None = None
) -> list[str]:
    """Write the front of a campaign, and all that was evaluated, into a folder.

    Args:
        log: Of a campaign with goals. Opened with its space, the pictures show what
            the last search found beside, too.
        out: The folder; made if it does not exist. Files of the same names are
            replaced.
        e_above_hull: Energies above the hull, `atoms.above_hull` of the log by default.

    Returns:
        The names of the files that were written.

    Raises:
        LogError: nothing was evaluated yet, or the folder cannot be written.
    """
    front = log.pareto_front()
    done = [point.trial for point in front.evaluated if point.state == "done"]
    if not done:
        message = f"{log.folder} has no evaluation yet: there is nothing to write."
        raise LogError(message)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"could not write in {out}: {error.strerror or error}"
        raise LogError(message) from error
    formulas = export.trial_formulas(log, done)
    e_above_hull = export.trial_energies_above_hull(log) if e_above_hull is None else e_above_hull
    written = ["front.csv", "evaluations.csv"]
    best = points_to_csv(front, front.points, formulas, e_above_hull)
    write_atomically(out / "front.csv", best.encode())
    everything = points_to_csv(front, front.evaluated, formulas, e_above_hull, include_all=True)
    write_atomically(out / "evaluations.csv", everything.encode())
    if front.points:
        images = export.images_to_export(log, e_above_hull=e_above_hull)
        for name in ("front.extxyz", "front.db"):
            export.write_structures(images, out / name)
            written.append(name)
        trials = {trial.number: trial for trial in log.trial_records()}
        mine = [trials[point.trial] for point in front.points]
        text = computed_entries_json(
            images,
            [outcome_values(trial, front.optimization_config).get(ENERGY) for trial in mine],
            [
                _known_properties(point, trusted_properties(trials[point.trial]))
                for point in front.points
            ],
            [f"{log.folder.name}-{point.trial}" for point in front.points],
        )
        write_atomically(out / "entries.json", text.encode())
        written.append("entries.json")
    expected = predict_front_candidates(log)
    drawings: dict[str, PlotFunction] = {
        "pareto.png": pareto_plots.plot_objective_pairs,
        "pareto3d.png": pareto_plots.plot_three_objectives,
        "hypervolume.png": pareto_plots.plot_hypervolume_history,
        "parallel.png": pareto_plots.plot_parallel_coordinates,
    }
    for name, draw in drawings.items():
        if draw(front, expected, out / name):
            written.append(name)
    return written


def points_to_csv(
    front: ParetoFront,
    points: Sequence[EvaluatedPoint],
    formulas: Mapping[int, str],
    e_above_hull: Mapping[int, float],
    include_all: bool = False,
) -> str:
    """Return points as CSV: what was found, and what had been predicted of it.

    Outcomes are raw values. Predictions are those from before, with the calibrated σ
    and the ends of the interval of 90 %; of an outcome that is judged as its log10
    they are of that, and their columns say so.

    Args:
        front: Of the log.
        points: Some of it.
        formulas: Of the structures, by trial.
        e_above_hull: Energies above the hull, eV/atom, by trial; empty for no column.
        include_all: Whether to say what became of each evaluation, too.
    """
    goals = front.optimization_config
    named = {n: f"log10_{n}" if n in goals.log_outcomes else n for n in front.learned_names}
    found = []
    doubts: dict[int, list[str]] = {}
    for each in front.quarantined:
        doubts.setdefault(each.trial, []).append(f"{each.name}: {each.reason}")

    for point in points:
        row: dict[str, Any] = {
            "trial": point.trial,
            "evaluation": point.evaluation,
            "step": point.step,
            "generator": point.generator,
            "formula": formulas.get(point.trial, ""),
        }
        if include_all:
            row |= {"state": point.state, "feasible": point.is_feasible}
            row |= {"front": point.is_non_dominated}
        row |= point.raw_outcomes
        if e_above_hull:
            row[ENERGY_ABOVE_HULL] = e_above_hull.get(point.trial)
        for name, label in named.items():
            told = point.predictions.get(name)
            row[f"{label}_predicted"] = told and told.mean
            row[f"{label}_sigma"] = told and told.calibrated_sigma
            row[f"{label}_low"] = told and told.low
            row[f"{label}_high"] = told and told.high
        if include_all:
            n = point.evaluation  # None where it came with its outcomes
            row["hypervolume"] = n and front.history.hypervolume[n - 1]
            row["front_size"] = n and front.history.n_front[n - 1]
            row["doubted"] = "; ".join(doubts.get(point.trial, ()))
        found.append(row)
    text = io.StringIO()
    if found:
        writer = csv.DictWriter(text, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    return text.getvalue()


def _known_properties(point: EvaluatedPoint, properties: Mapping[str, float]) -> dict[str, float]:
    """Return all numbers that are known and believed of a structure."""
    rest = {name: v for name, v in properties.items() if name not in point.raw_outcomes}
    return rest | {name: v for name, v in point.raw_outcomes.items() if v is not None}
