"""Export of a Pareto front: tables, structures, pymatgen entries and plots."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bostruct.campaign.analysis.outcome_table import ENERGY, outcome_values
from bostruct.campaign.analysis.pareto_front import EvaluatedPoint, ParetoFront
from bostruct.campaign.log.malformed_log import reads_log
from bostruct.campaign.log.reader import Log
from bostruct.campaign.report import export, pareto_plots
from bostruct.campaign.report.unevaluated_candidates import FrontCandidate, predict_front_candidates
from bostruct.errors import LogError
from bostruct.evaluators.alloys.computed_entries import computed_entries_json
from bostruct.evaluators.alloys.convex_hull import ENERGY_ABOVE_HULL
from bostruct.evaluators.quarantine import trusted_properties
from bostruct.runtime.atomic_write import write_atomically

PlotFunction = Callable[[ParetoFront, Sequence[FrontCandidate], Path], bool]


@reads_log
def write_front_files(
    log: Log, out: Path, e_above_hull: Mapping[int, float] | None = None
) -> list[str]:
    """Write the front of a campaign, and all evaluated structures, into a folder.

    Args:
        log: Log of a campaign with objectives. Opened with its space, the plots show the best
            candidates of the last search, too.
        out: Folder, created if it does not exist. Files of the same names are replaced.
        e_above_hull: Energies above the hull by trial, `trial_energies_above_hull` by default.

    Returns:
        Names of the files that were written.

    Raises:
        LogError: nothing was evaluated yet, or the folder cannot be written.
    """
    front = log.pareto_front()
    done = [point.trial for point in front.evaluated if point.state == "done"]
    if not done:
        raise LogError(f"{log.folder} has no evaluation yet: there is nothing to write.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LogError(f"could not write in {out}: {error.strerror or error}") from error
    formulas = export.trial_formulas(log, done)
    e_above_hull = export.trial_energies_above_hull(log) if e_above_hull is None else e_above_hull
    written = ["front.csv", "evaluations.csv"]
    text = points_to_csv(front, front.points, formulas, e_above_hull)
    write_atomically(out / "front.csv", text.encode())
    text = points_to_csv(front, front.evaluated, formulas, e_above_hull, include_all=True)
    write_atomically(out / "evaluations.csv", text.encode())
    if front.points:
        images = export.images_to_export(log, e_above_hull=e_above_hull)
        for name in ("front.extxyz", "front.db"):
            export.write_structures(images, out / name)
            written.append(name)
        trials = {trial.number: trial for trial in log.trial_records()}
        text = computed_entries_json(
            images,
            [
                outcome_values(trials[point.trial], front.optimization_config).get(ENERGY)
                for point in front.points
            ],
            [
                _known_properties(point, trusted_properties(trials[point.trial]))
                for point in front.points
            ],
            [f"{log.folder.name}-{point.trial}" for point in front.points],
        )
        write_atomically(out / "entries.json", text.encode())
        written.append("entries.json")
    candidates = predict_front_candidates(log)
    plots: dict[str, PlotFunction] = {
        "pareto.png": pareto_plots.plot_objective_pairs,
        "pareto3d.png": pareto_plots.plot_three_objectives,
        "hypervolume.png": pareto_plots.plot_hypervolume_history,
        "parallel.png": pareto_plots.plot_parallel_coordinates,
    }
    for name, plot in plots.items():
        if plot(front, candidates, out / name):
            written.append(name)
    return written


def points_to_csv(
    front: ParetoFront,
    points: Sequence[EvaluatedPoint],
    formulas: Mapping[int, str],
    e_above_hull: Mapping[int, float],
    include_all: bool = False,
) -> str:
    """Return points as CSV: raw outcomes, and the predictions before their evaluation.

    Predictions have the calibrated σ and the ends of the 90 % interval; those of a logarithmic
    objective are of its log10, as the names of their columns state.

    Args:
        front: Pareto front of the log.
        points: Points to write.
        formulas: Chemical formulas by trial.
        e_above_hull: Energies above the hull by trial, eV/atom; empty for no column.
        include_all: True adds state, feasibility, history and quarantine of each evaluation.
    """
    config = front.optimization_config
    labels = {n: f"log10_{n}" if n in config.log_outcomes else n for n in front.learned_names}
    reasons: dict[int, list[str]] = {}
    for value in front.quarantined:
        reasons.setdefault(value.trial, []).append(f"{value.name}: {value.reason}")
    rows = []
    for point in points:
        row: dict[str, Any] = {
            "trial": point.trial,
            "evaluation": point.evaluation,
            "step": point.step,
            "generator": point.generator,
            "formula": formulas.get(point.trial, ""),
            "name": point.name,
        }
        if include_all:
            row |= {"state": point.state, "feasible": point.is_feasible}
            row |= {"front": point.is_non_dominated}
        row |= point.raw_outcomes
        if e_above_hull:
            row[ENERGY_ABOVE_HULL] = e_above_hull.get(point.trial)
        for name, label in labels.items():
            prediction = point.predictions.get(name)
            row[f"{label}_predicted"] = prediction and prediction.mean
            row[f"{label}_sigma"] = prediction and prediction.calibrated_sigma
            row[f"{label}_low"] = prediction and prediction.low
            row[f"{label}_high"] = prediction and prediction.high
        if include_all:
            n = point.evaluation  # None for initial data
            row["hypervolume"] = n and front.history.hypervolume[n - 1]
            row["front_size"] = n and front.history.n_front[n - 1]
            row["quarantined"] = "; ".join(reasons.get(point.trial, ()))
        rows.append(row)
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


def _known_properties(point: EvaluatedPoint, properties: Mapping[str, float]) -> dict[str, float]:
    """Return all trusted properties and outcomes of a structure."""
    others = {name: v for name, v in properties.items() if name not in point.raw_outcomes}
    return others | {name: v for name, v in point.raw_outcomes.items() if v is not None}
