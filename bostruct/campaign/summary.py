"""What a log amounts to: where the campaign stands, and how honest its σ was."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bostruct.campaign.history import predicted, widening
from bostruct.campaign.lock import running
from bostruct.campaign.log import Log
from bostruct.campaign.records import OPEN, Step, Trial

LAST = 5
"""Steps that `show` prints."""


def summary(log: Log) -> dict[str, Any]:
    """Return where a campaign stands, ready for JSON.

    Energies are in eV and in the order in which they were asked for, None where an
    evaluation failed; `evaluation` counts them from 1, and is None where the best
    structure was given with its energy; `step` counts from 0.
    """
    trials, steps, sessions = log.undecoded(), log.steps(), log.sessions()
    finished = [trial for trial in trials if trial.finished and not trial.given]
    given = [trial for trial in trials if trial.given]
    last = sessions[-1] if sessions else {}
    status, reason = _status(log, last)
    return {
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
        "energies": [trial.energy for trial in finished],
        "best": best(finished, given),
        "check": _check(log),
        "calibration": calibration(finished),
        "seconds": seconds(steps, finished),
        "steps": [_step(step, trials) for step in steps[-LAST:]],
        "sessions": len(sessions),
        "device": last.get("device"),
        "threads": last.get("threads"),
        "journal": last.get("journal"),
        "versions": last.get("versions"),
        "description": log.description,
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


def calibration(trials: Sequence[Trial]) -> dict[str, Any]:
    """Return how the energies lie in what was predicted before they were known.

    With z = (E - mean) / σ and σ² the variance of an observed energy: the mean of z²,
    1 where σ is right, and the shares within 1 σ and 2 σ, 0.68 and 0.95 if Gaussian.
    `widening` is by how much σ had better be multiplied in the next step, see
    `bostruct.campaign.history`.
    """
    squares = [z * z for z, _ in predicted(trials)]
    n = len(squares)
    if n == 0:
        names = ("z2", "within_1sigma", "within_2sigma", "widening")
        return {"n": 0, **dict.fromkeys(names)}
    return {
        "n": n,
        "z2": math.fsum(squares) / n,
        "within_1sigma": sum(square <= 1 for square in squares) / n,
        "within_2sigma": sum(square <= 4 for square in squares) / n,
        "widening": widening(trials),
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


def _step(step: Step, trials: Sequence[Trial]) -> dict[str, Any]:
    mine = [trial for trial in trials if trial.step == step.number]
    return {
        "step": step.number,
        "kind": step.kind,
        "trained_on": len(step.known),
        "hyperparameters": {
            name: value if math.isfinite(value) else None
            for name, value in step.hyperparameters.items()
        },
        "seconds": dict(step.seconds),
        "trials": [
            {
                "trial": trial.number,
                "state": trial.state,
                "origin": trial.origin,
                "mean": trial.mean,
                "sigma": None if trial.observed is None else trial.observed**0.5,
                "acquisition": trial.acquisition,
                "energy": trial.energy,
                "reason": trial.reason,
            }
            for trial in mine
        ],
    }
