"""What `verify` reads again in the log of a campaign with goals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bostruct.campaign import records
from bostruct.campaign.analysis.calibration import LOGGED, before, scores
from bostruct.campaign.analysis.hypervolume_history import logged
from bostruct.campaign.analysis.outcome_table import alone, table
from bostruct.campaign.analysis.pareto_front import bound
from bostruct.campaign.log.reader import Log
from bostruct.campaign.records import Step, Trial
from bostruct.objectives import Goals

TOLERANCE = 1e-10
"""Relative: what is counted again repeats what the step logged."""


def rows(log: Log) -> list[str]:
    """Return which rows of the table of outcomes are not what was written."""
    if log.goals is None:
        return []
    problems = []
    places: dict[int, list[int]] = {}
    for row in log.rows("SELECT * FROM bostruct_outcome ORDER BY trial, place"):
        places.setdefault(row["trial"], []).append(row["place"])
        if records.checksum(dict(row)) != row["checksum"]:
            problems.append(
                f"trial {row['trial']}: what was said of its {row['name']} is not "
                "what was written: the checksum differs"
            )
    kinds = {step.number: step.kind for step in log.steps()}
    whole = list(range(len(log.goals.names)))
    for trial in log.undecoded():
        if kinds.get(trial.step) == "model" and places.get(trial.number) != whole:
            problems.append(f"trial {trial.number} has lost what was said of it")
    return problems


def said(
    step: int, tensors: Mapping[str, Tensor], trials: Sequence[Trial]
) -> list[str]:
    """Return where a table of outcomes says other than the posterior file of a step.

    Args:
        step: Its number.
        tensors: Of the file, `candidates.mean` and the like `[c, learnt]`.
        trials: All of the log.
    """
    problems = []
    mine = [trial for trial in trials if trial.step == step]
    for trial, i in zip(mine, tensors["chosen.index"].tolist(), strict=False):
        learnt = [each for each in trial.said if not each.exact]
        for name in ("mean", "variance", "observed"):
            there = tensors[f"candidates.{name}"][i].tolist()
            if [getattr(each, name) for each in learnt] != there:
                problems.append(
                    f"trial {trial.number}: the {name} in the table of outcomes is not "
                    f"that in the posterior file of step {step}"
                )
    return problems


def fronts(log: Log) -> list[str]:
    """Return which steps log another front, or calibration, than their trials give."""
    goals = log.goals
    if goals is None:
        return []
    told = log.told()
    z = {name: scores(alone(told, goals, name)) for name in goals.names}
    problems = []
    for step in log.steps():
        if step.kind != "model":
            continue
        if not _same(_front(step, told, goals), step.hyperparameters):
            problems.append(
                f"step {step.number}: its front, its feasible structures or its "
                "hypervolume are not those of the trials it was planned from"
            )
        there = {
            name: value
            for name, value in step.hyperparameters.items()
            if name.startswith(LOGGED)
        }
        wanted = {
            f"{key}_of_{name}": value
            for name in _learnt(step, goals)
            for key, value in before(z[name], step.known).numbers().items()
        }
        if there.keys() != wanted.keys() or not _same(wanted, there):
            problems.append(
                f"step {step.number}: its calibration is not that of the outcomes "
                "it was planned from"
            )
    return problems


def _learnt(step: Step, goals: Goals) -> list[str]:
    """Return the outcomes that a step logs a calibration of: it always has a factor."""
    there = step.hyperparameters
    return [name for name in goals.names if f"{LOGGED}factor_of_{name}" in there]


def _front(step: Step, told: Sequence[Trial], goals: Goals) -> dict[str, float]:
    """Return what a step should have logged of the front that it knew."""
    known = set(step.known)
    trials = [trial for trial in told if trial.number in known]
    Y = table(trials, goals)
    reference, _ = bound(Y, [step], goals)
    assert reference is not None
    return logged(Y, goals, reference)


def _same(wanted: Mapping[str, float], there: Mapping[str, float]) -> bool:
    return all(
        math.isclose(there.get(name, math.nan), value, rel_tol=TOLERANCE)
        for name, value in wanted.items()
    )


def differences(before: Tensor, now: Tensor, tolerance: float) -> float | None:
    """Return by how much predictions differ, None where they repeat each other.

    Args:
        before: As in the posterior file, `[c]` or `[c, k]`.
        now: `[c, 1, 1]` or `[c, 1, k]`, of the rebuilt posterior.
        tolerance: Absolute and relative.
    """
    now = now.squeeze(-2).to(before)
    now = now.squeeze(-1) if before.ndim == 1 else now
    if now.shape != before.shape:
        return math.inf
    if torch.allclose(now, before, rtol=tolerance, atol=tolerance):
        return None
    return float((now - before).abs().max())
