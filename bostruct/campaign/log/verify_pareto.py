"""What `verify` reads again in the log of a campaign with goals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bostruct.campaign import records
from bostruct.campaign.analysis.calibration import (
    CALIBRATION_PREFIX,
    calibration_at_step,
    trial_z_scores,
)
from bostruct.campaign.analysis.hypervolume_history import front_metrics
from bostruct.campaign.analysis.outcome_table import outcome_matrix, single_outcome
from bostruct.campaign.analysis.pareto_front import resolve_reference_point
from bostruct.campaign.log.reader import Log
from bostruct.campaign.records import Step, Trial
from bostruct.objectives import OptimizationConfig

LOGGED_TOLERANCE = 1e-10
"""Relative: what is counted again repeats what the step logged."""


def verify_outcome_rows(log: Log) -> list[str]:
    """Return which rows of the table of outcomes are not what was written."""
    if log.optimization_config is None:
        return []
    problems = []
    places: dict[int, list[int]] = {}
    for row in log.query("SELECT * FROM bostruct_outcome ORDER BY trial, position"):
        places.setdefault(row["trial"], []).append(row["position"])
        if records.row_checksum(dict(row)) != row["checksum"]:
            problems.append(
                f"trial {row['trial']}: what was said of its {row['name']} is not "
                "what was written: the checksum differs"
            )
    kinds = {step.number: step.kind for step in log.steps()}
    whole = list(range(len(log.optimization_config.outcome_names)))
    for trial in log.trial_records():
        if kinds.get(trial.step) == "model" and places.get(trial.number) != whole:
            problems.append(f"trial {trial.number} has lost what was said of it")
    return problems


def verify_outcome_predictions(
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
        learnt = [each for each in trial.outcome_predictions if not each.is_exact]
        for name in ("mean", "latent_variance", "predictive_variance"):
            there = tensors[f"candidates.{name}"][i].tolist()
            if [getattr(each, name) for each in learnt] != there:
                problems.append(
                    f"trial {trial.number}: the {name} in the table of outcomes is not "
                    f"that in the posterior file of step {step}"
                )
    return problems


def verify_fronts(log: Log) -> list[str]:
    """Return which steps log another front, or calibration, than their trials give."""
    goals = log.optimization_config
    if goals is None:
        return []
    told = log.trials_before_retraction()
    z = {name: trial_z_scores(single_outcome(told, goals, name)) for name in goals.outcome_names}
    problems = []
    for step in log.steps():
        if step.kind != "model":
            continue
        if not _is_close(_recompute_front_metrics(step, told, goals), step.hyperparameters):
            problems.append(
                f"step {step.number}: its front, its feasible structures or its "
                "hypervolume are not those of the trials it was planned from"
            )
        there = {
            name: value
            for name, value in step.hyperparameters.items()
            if name.startswith(CALIBRATION_PREFIX)
        }
        wanted = {
            f"{key}_of_{name}": value
            for name in _logged_outcomes(step, goals)
            for key, value in calibration_at_step(z[name], step.training_trials)
            .logged_values()
            .items()
        }
        if there.keys() != wanted.keys() or not _is_close(wanted, there):
            problems.append(
                f"step {step.number}: its calibration is not that of the outcomes "
                "it was planned from"
            )
    return problems


def _logged_outcomes(step: Step, optimization_config: OptimizationConfig) -> list[str]:
    """Return the outcomes that a step logs a calibration of: it always has a factor."""
    there = step.hyperparameters
    return [
        name
        for name in optimization_config.outcome_names
        if f"{CALIBRATION_PREFIX}factor_of_{name}" in there
    ]


def _recompute_front_metrics(
    step: Step,
    trials_before_retraction: Sequence[Trial],
    optimization_config: OptimizationConfig,
) -> dict[str, float]:
    """Return what a step should have logged of the front that it knew."""
    known = set(step.training_trials)
    trials = [trial for trial in trials_before_retraction if trial.number in known]
    Y = outcome_matrix(trials, optimization_config)
    reference, _ = resolve_reference_point(Y, [step], optimization_config)
    assert reference is not None
    return front_metrics(Y, optimization_config, reference)


def _is_close(expected: Mapping[str, float], logged: Mapping[str, float]) -> bool:
    return all(
        math.isclose(logged.get(name, math.nan), value, rel_tol=LOGGED_TOLERANCE)
        for name, value in expected.items()
    )


def max_difference(stored: Tensor, recomputed: Tensor, tolerance: float) -> float | None:
    """Return by how much predictions differ, None where they repeat each other.

    Args:
        stored: As in the posterior file, `[c]` or `[c, k]`.
        recomputed: `[c, 1, 1]` or `[c, 1, k]`, of the rebuilt posterior.
        tolerance: Absolute and relative.
    """
    recomputed = recomputed.squeeze(-2).to(stored)
    recomputed = recomputed.squeeze(-1) if stored.ndim == 1 else recomputed
    if recomputed.shape != stored.shape:
        return math.inf
    if torch.allclose(recomputed, stored, rtol=tolerance, atol=tolerance):
        return None
    return float((recomputed - stored).abs().max())
