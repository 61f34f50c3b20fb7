"""What a log amounts to: where the campaign stands, and how honest its σ was."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import scipy

from bostruct.campaign.analysis.calibration import (
    CalibratedPrediction,
    OnlineCalibration,
    online_calibration,
)
from bostruct.campaign.analysis.predictions import LoggedPrediction
from bostruct.campaign.log.lock import is_locked
from bostruct.campaign.log.reader import Log
from bostruct.campaign.records import OPEN_STATES, Step, Trial
from bostruct.campaign.report.assessment import Assessment
from bostruct.campaign.report.export import trial_energies_above_hull, trial_formulas
from bostruct.campaign.report.pareto_summary import summarize_front, summarize_step

N_LAST_STEPS = 5
"""Steps that `show` prints."""

PREDICTION_FIELDS = tuple(field.name for field in fields(CalibratedPrediction))


def summarize(log: Log) -> dict[str, Any]:
    """Return where a campaign stands, ready for JSON.

    Energies are in eV and in the order in which they were asked for, None where an
    evaluation failed; `evaluation` counts them from 1, and is None where the best
    structure was given with its energy; `step` counts from 0. Of a campaign with goals
    there are no energies, but its front; see `screened`.
    """
    trials, steps, sessions = log.trial_records(), log.steps(), log.sessions()
    finished = [trial for trial in trials if trial.is_finished and not trial.is_initial_data]
    given = [trial for trial in trials if trial.is_initial_data]
    last = sessions[-1] if sessions else {}
    status, reason = _campaign_status(log, last)
    common = {
        "status": status,
        "reason": reason,
        "folder": str(log.folder),
        "seed": log.seed,
        "given": sum(trial.state == "done" for trial in given),
        "refused": sum(trial.state == "failed" for trial in given),
        "evaluations": len(finished),
        "failures": sum(trial.state == "failed" for trial in finished),
        "pending": sum(trial.state in OPEN_STATES for trial in trials),
        "abandoned": sum(trial.state == "abandoned" for trial in trials),
        "retracted": [
            {"trial": trial.number, "reason": trial.reason}
            for trial in trials
            if trial.state == "retracted"
        ],
        "seconds": total_seconds(steps, finished),
        "sessions": len(sessions),
        "device": last.get("device"),
        "threads": last.get("threads"),
        "journal": last.get("journal"),
        "versions": last.get("versions"),
        "description": log.description,
    }
    if log.optimization_config is not None:
        return common | _pareto_fields(log, trials, steps)
    predictions = log.predictions()
    expected = {each.trial: asdict(each.prediction) for each in predictions}
    return common | {
        "energies": [trial.energy for trial in finished],
        "best": best_evaluation(finished, given),
        "check": _relaxation_fields(log),
        "calibration": summarize_calibration(online_calibration(trials), predictions),
        "outlook": asdict(Assessment.from_log(log)),
        "steps": [_step_fields(step, trials, expected) for step in steps[-N_LAST_STEPS:]],
    }


def _pareto_fields(log: Log, trials: Sequence[Trial], steps: Sequence[Step]) -> dict[str, Any]:
    """Return what only a campaign with goals has."""
    front = log.pareto_front()
    points = {point.trial: point for point in front.evaluated}
    names = trial_formulas(log, [point.trial for point in front.points])
    found = summarize_front(front, names, trial_energies_above_hull(log))
    return found | {
        "calibration": {
            name: summarize_calibration(
                log.calibration(outcome=name), log.predictions(outcome=name)
            )
            for name in front.learned_names
        },
        "steps": [
            _step_header(step) | {"trials": summarize_step(step, trials, front, points)}
            for step in steps[-N_LAST_STEPS:]
        ],
    }


def best_evaluation(
    finished: Sequence[Trial], initial_data: Sequence[Trial] = ()
) -> dict[str, Any] | None:
    """Return the lowest energy with its evaluation, counted from 1, and its step."""
    places: list[tuple[int | None, Trial]] = [(None, trial) for trial in initial_data]
    places += [(i + 1, trial) for i, trial in enumerate(finished)]
    found = [(t.energy, t.number, i, t) for i, t in places if t.energy is not None]
    if not found:
        return None
    energy, _, evaluation, trial = min(found, key=lambda item: item[:2])
    return {
        "energy": energy,
        "evaluation": evaluation,
        "step": trial.step,
        "trial": trial.number,
        "generator": trial.generator,
    }


def summarize_calibration(
    calibration: OnlineCalibration, predictions: Sequence[LoggedPrediction] = ()
) -> dict[str, Any]:
    """Return what predictions were worth, and how many intervals of 90 % have held."""
    one, two = calibration.coverage(1.0), calibration.coverage(2.0)
    low, high = calibration.alpha_interval or (None, None)
    q = calibration.quantile()
    held = [each.covered for each in predictions if each.covered is not None]
    return {
        "n": calibration.n,
        "z2": calibration.mean_z2,
        "bias": calibration.bias,
        "within_1sigma": one and one[0],
        "within_1sigma_interval": one and list(one[1:]),
        "within_2sigma": two and two[0],
        "within_2sigma_interval": two and list(two[1:]),
        "alpha": calibration.alpha,
        "alpha_low": low,
        "alpha_high": high,
        "alpha_of_last": None if calibration.alpha is None else len(calibration.recent_z),
        "factor": calibration.sigma_factor,
        "conformal": q if math.isfinite(q) else None,
        "intervals": len(held),
        "held": sum(held),
        "held_interval": list(
            scipy.stats.binomtest(sum(held), len(held)).proportion_ci(method="wilson")
        )
        if held
        else None,
        "notes": list(calibration.notes),
    }


def total_seconds(steps: Sequence[Step], finished: Sequence[Trial]) -> dict[str, float]:
    """Return where the time went, in s."""
    parts = {
        part: math.fsum(step.seconds[part] for step in steps) for part in ("fit", "search", "log")
    }
    evaluate = math.fsum(trial.seconds for trial in finished)
    return {
        "fit": parts["fit"],
        "search": parts["search"],
        "evaluate": evaluate,
        "log": parts["log"],
    }


def _relaxation_fields(log: Log) -> dict[str, Any] | None:
    """Return how far the check of the best structures is; None without one."""
    wanted = log.description.get("final_relaxation")
    if wanted is None:
        return None
    found = log.relaxations()
    return {
        "tolerance": wanted["fmax"],
        "converged": sum(each.converged for each in found),
        "structures": [asdict(each) for each in found],
    }


def _campaign_status(log: Log, last: Mapping[str, Any]) -> tuple[str, str]:
    if is_locked(log.folder):
        host, pid = last.get("host"), last.get("pid")
        return "running", f"process {pid} on {host}"
    if not last or last["ended"] is None:
        return "interrupted", "run the same command again to go on"
    return str(last["status"]), str(last["reason"])


def _step_fields(
    step: Step, trials: Sequence[Trial], predictions: Mapping[int, Mapping[str, Any]]
) -> dict[str, Any]:
    mine = [trial for trial in trials if trial.step == step.number]
    return _step_header(step) | {
        "trials": [
            {
                "trial": trial.number,
                "state": trial.state,
                "generator": trial.generator,
                **(predictions.get(trial.number) or dict.fromkeys(PREDICTION_FIELDS)),
                "acquisition": trial.acquisition,
                "energy": trial.energy,
                "reason": trial.reason,
            }
            for trial in mine
        ],
    }


def _step_header(step: Step) -> dict[str, Any]:
    return {
        "step": step.number,
        "kind": step.kind,
        "trained_on": len(step.training_trials),
        "hyperparameters": {
            name: value if math.isfinite(value) else None
            for name, value in step.hyperparameters.items()
        },
        "seconds": dict(step.seconds),
    }
