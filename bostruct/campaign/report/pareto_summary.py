"""What the summary of a campaign with goals says beside that of any campaign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bostruct.campaign.analysis.calibration import CalibratedPrediction
from bostruct.campaign.analysis.pareto_front import EvaluatedPoint, ParetoFront
from bostruct.campaign.records import Step, Trial
from bostruct.evaluators.alloys.convex_hull import ENERGY_ABOVE_HULL


def summarize_front(
    front: ParetoFront, formulas: Mapping[int, str], e_above_hull: Mapping[int, float]
) -> dict[str, Any]:
    """Return what was wanted and found, ready for JSON.

    Outcomes found are raw values in their units; predictions are in outcome space,
    log10 where the objective is.

    Args:
        front: Of the log.
        formulas: Of the structures on it, by their trials.
        e_above_hull: Their energies above the hull, eV/atom; empty where it is not known.
    """
    goals, series = front.optimization_config, front.history
    described = front.description()
    for point in described["points"]:
        point["formula"] = formulas.get(point["trial"], "")
        if e_above_hull:
            point[ENERGY_ABOVE_HULL] = e_above_hull.get(point["trial"])
    count = series.n_feasible[-1] if len(series) else 0
    return {
        "goals": goals.description(),
        "units": goals.units,
        "front": described,
        "feasible": count,
        "feasible_share": count / len(series) if len(series) else None,
        "doubted": [asdict(each) for each in front.quarantined],
    }


def summarize_step(
    step: Step,
    trials: Sequence[Trial],
    front: ParetoFront,
    points: Mapping[int, EvaluatedPoint],
) -> list[dict[str, Any]]:
    """Return what was predicted and found of the trials of a step, ready for JSON.

    Args:
        step: One of the last.
        trials: All of the log.
        front: Of the log.
        points: What was evaluated, by its trial.
    """
    return [
        {
            "trial": trial.number,
            "state": trial.state,
            "generator": trial.generator,
            "acquisition": trial.acquisition,
            "reason": trial.reason,
            "outcomes": _summarize_outcomes(trial, front, points.get(trial.number)),
        }
        for trial in trials
        if trial.step == step.number
    ]


def _summarize_outcomes(
    trial: Trial, front: ParetoFront, point: EvaluatedPoint | None
) -> dict[str, dict[str, Any]]:
    """Return prediction and outcome by name, both in outcome space."""
    said = {each.name: each for each in trial.outcome_predictions}
    found: dict[str, dict[str, Any]] = {}
    for name in front.optimization_config.outcome_names:
        raw = None if point is None else point.raw_outcomes[name]
        value = None if raw is None else front.optimization_config.transform(name, raw)
        exact = name in said and said[name].is_exact
        told = None if point is None else point.predictions.get(name)
        if told is None and name in said and not exact:
            one = said[name]
            told = CalibratedPrediction(
                one.mean,
                one.predictive_variance**0.5,
                one.predictive_variance**0.5,
                None,
                None,
            )
        none = dict.fromkeys(("mean", "sigma", "calibrated", "low", "high"))
        numbers = none if told is None else asdict(told)
        found[name] = {**numbers, "exact": exact, "found": value}
    return found
