"""What a log amounts to: where the campaign stands, and how honest its σ was."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from bostruct.campaign.analysis.calibration import Calibrated, Expected, calibrated
from bostruct.campaign.analysis.predictions import Foretold
from bostruct.campaign.log.lock import running
from bostruct.campaign.log.reader import Log
from bostruct.campaign.records import OPEN, Step, Trial
from bostruct.campaign.report.assessment import Outlook
from bostruct.campaign.report.export import above_hull, formulas
from bostruct.campaign.report.pareto_summary import screened, stepped
from bostruct.uncertainty.calibration.wilson import wilson

LAST = 5
"""Steps that `show` prints."""

NAMES = tuple(field.name for field in fields(Expected))


def summary(log: Log) -> dict[str, Any]:
    """Return where a campaign stands, ready for JSON.

    Energies are in eV and in the order in which they were asked for, None where an
    evaluation failed; `evaluation` counts them from 1, and is None where the best
    structure was given with its energy; `step` counts from 0. Of a campaign with goals
    there are no energies, but its front; see `screened`.
    """
    trials, steps, sessions = log.undecoded(), log.steps(), log.sessions()
    finished = [trial for trial in trials if trial.finished and not trial.given]
    given = [trial for trial in trials if trial.given]
    last = sessions[-1] if sessions else {}
    status, reason = _status(log, last)
    common = {
        "status": status,
        "reason": reason,
        "folder": str(log.folder),
        "seed": log.seed,
        "given": sum(trial.state == "done" for trial in given),
        "refused": sum(trial.state == "failed" for trial in given),
        "evaluations": len(finished),
        "failures": sum(trial.state == "failed" for trial in finished),
        "pending": sum(trial.state in OPEN for trial in trials),
        "abandoned": sum(trial.state == "abandoned" for trial in trials),
        "retracted": [
            {"trial": trial.number, "reason": trial.reason}
            for trial in trials
            if trial.state == "retracted"
        ],
        "seconds": seconds(steps, finished),
        "sessions": len(sessions),
        "device": last.get("device"),
        "threads": last.get("threads"),
        "journal": last.get("journal"),
        "versions": last.get("versions"),
        "description": log.description,
    }
    if log.goals is not None:
        return common | _screened(log, trials, steps)
    predictions = log.foretold()
    expected = {each.trial: asdict(each.expected) for each in predictions}
    return common | {
        "energies": [trial.energy for trial in finished],
        "best": best(finished, given),
        "check": _check(log),
        "calibration": calibration(calibrated(trials), predictions),
        "outlook": asdict(Outlook.of(log)),
        "steps": [_step(step, trials, expected) for step in steps[-LAST:]],
    }


def _screened(
    log: Log, trials: Sequence[Trial], steps: Sequence[Step]
) -> dict[str, Any]:
    """Return what only a campaign with goals has."""
    front = log.front()
    points = {point.trial: point for point in front.evaluated}
    names = formulas(log, [point.trial for point in front.points])
    found = screened(front, names, above_hull(log))
    return found | {
        "calibration": {
            name: calibration(log.calibration(outcome=name), log.foretold(outcome=name))
            for name in front.learnt
        },
        "steps": [
            _head(step) | {"trials": stepped(step, trials, front, points)}
            for step in steps[-LAST:]
        ],
    }


def best(
    finished: Sequence[Trial], given: Sequence[Trial] = ()
) -> dict[str, Any] | None:
    """Return the lowest energy with its evaluation, counted from 1, and its step."""
    places: list[tuple[int | None, Trial]] = [(None, trial) for trial in given]
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
        "origin": trial.origin,
    }


def calibration(
    found: Calibrated, predictions: Sequence[Foretold] = ()
) -> dict[str, Any]:
    """Return what predictions were worth, and how many intervals of 90 % have held."""
    one, two = found.within(1.0), found.within(2.0)
    low, high = found.interval or (None, None)
    q = found.quantile()
    held = [each.held for each in predictions if each.held is not None]
    return {
        "n": found.n,
        "z2": found.z2,
        "bias": found.bias,
        "within_1sigma": one and one[0],
        "within_1sigma_interval": one and list(one[1:]),
        "within_2sigma": two and two[0],
        "within_2sigma_interval": two and list(two[1:]),
        "alpha": found.alpha,
        "alpha_low": low,
        "alpha_high": high,
        "alpha_of_last": None if found.alpha is None else len(found.last),
        "factor": found.factor,
        "conformal": q if math.isfinite(q) else None,
        "intervals": len(held),
        "held": sum(held),
        "held_interval": list(wilson(sum(held), len(held))) if held else None,
        "notes": list(found.notes),
    }


def seconds(steps: Sequence[Step], finished: Sequence[Trial]) -> dict[str, float]:
    """Return where the time went, in s."""
    parts = {
        part: math.fsum(step.seconds[part] for step in steps)
        for part in ("fit", "search", "log")
    }
    evaluate = math.fsum(trial.seconds for trial in finished)
    return {
        "fit": parts["fit"],
        "search": parts["search"],
        "evaluate": evaluate,
        "log": parts["log"],
    }


def _check(log: Log) -> dict[str, Any] | None:
    """Return how far the check of the best structures is; None without one."""
    wanted = log.description.get("check")
    if wanted is None:
        return None
    found = log.checked()
    return {
        "tolerance": wanted["tolerance"],
        "converged": sum(each.converged for each in found),
        "structures": [asdict(each) for each in found],
    }


def _status(log: Log, last: Mapping[str, Any]) -> tuple[str, str]:
    if running(log.folder):
        host, pid = last.get("host"), last.get("pid")
        return "running", f"process {pid} on {host}"
    if not last or last["ended"] is None:
        return "interrupted", "run the same command again to go on"
    return str(last["status"]), str(last["reason"])


def _step(
    step: Step, trials: Sequence[Trial], expected: Mapping[int, Mapping[str, Any]]
) -> dict[str, Any]:
    mine = [trial for trial in trials if trial.step == step.number]
    return _head(step) | {
        "trials": [
            {
                "trial": trial.number,
                "state": trial.state,
                "origin": trial.origin,
                **(expected.get(trial.number) or dict.fromkeys(NAMES)),
                "acquisition": trial.acquisition,
                "energy": trial.energy,
                "reason": trial.reason,
            }
            for trial in mine
        ],
    }


def _head(step: Step) -> dict[str, Any]:
    return {
        "step": step.number,
        "kind": step.kind,
        "trained_on": len(step.known),
        "hyperparameters": {
            name: value if math.isfinite(value) else None
            for name, value in step.hyperparameters.items()
        },
        "seconds": dict(step.seconds),
    }
