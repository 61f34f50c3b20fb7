"""Verification of what only the log of a campaign with objectives holds: outcomes and fronts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bostruct.campaign.analysis.calibration import (
    CALIBRATION_PREFIX,
    calibration_at_step,
    trial_z_scores,
)
from bostruct.campaign.analysis.hypervolume_history import front_metrics
from bostruct.campaign.analysis.outcome_table import outcome_matrix, single_outcome
from bostruct.campaign.analysis.pareto_front import resolve_reference_point
from bostruct.campaign.analysis.recalibration import RECALIBRATION_PREFIX
from bostruct.campaign.records import Step, Trial
from bostruct.objectives import OptimizationConfig, pareto_front

LOGGED_TOLERANCE = 1e-10
"""Relative tolerance of recomputed values that a step logged."""


def verify_completeness(
    steps: Sequence[Step], trials: Sequence[Trial], optimization_config: OptimizationConfig
) -> list[str]:
    """Return the trials of a model that have no prediction of some outcome."""
    model_steps = {step.number for step in steps if step.kind == "model"}
    return [
        f"trial {trial.number} has lost its predictions"
        for trial in trials
        if trial.step in model_steps
        and tuple(o.name for o in trial.outcome_predictions) != optimization_config.outcome_names
    ]


def verify_outcome_predictions(
    step: int, tensors: Mapping[str, Tensor], trials: Sequence[Trial]
) -> list[str]:
    """Return where the outcome table differs from the posterior file of a step.

    Args:
        step: Number of the step.
        tensors: Tensors of the posterior file, `candidates.mean` and the variances `[c, k]` for k
            learned outcomes.
        trials: Trials of the step; without outcome predictions nothing is compared.
    """
    problems = []
    for trial, i in zip(trials, tensors["chosen.index"].tolist(), strict=False):
        learned = [outcome for outcome in trial.outcome_predictions if not outcome.is_exact]
        if not trial.outcome_predictions:
            continue
        for name in ("mean", "latent_variance", "predictive_variance"):
            values = tensors[f"candidates.{name}"][i].tolist()
            if [getattr(outcome, name) for outcome in learned] != values:
                problems.append(
                    f"trial {trial.number}: the {name} in the table of outcomes is not that in the "
                    f"posterior file of step {step}"
                )
    return problems


def verify_fronts(
    steps: Sequence[Step], trials: Sequence[Trial], optimization_config: OptimizationConfig
) -> list[str]:
    """Return the steps that logged another front or calibration than follows from their trials.

    Args:
        steps: All steps.
        trials: All trials as they were before any retraction.
        optimization_config: Objectives and constraints.
    """
    config = optimization_config
    z = {
        name: trial_z_scores(single_outcome(trials, config, name)) for name in config.outcome_names
    }
    Y = outcome_matrix(trials, config)
    problems = []
    numbers: list[int] = []  # of the step before, as the front
    front = torch.zeros(0, dtype=torch.int64)
    for step in steps:
        if step.kind != "model":
            continue
        n_before, before = len(numbers), numbers
        numbers = [number for number in step.training_trials if number < len(Y)]
        if numbers[:n_before] == before:  # what was dominated still is
            rows = torch.cat([front, torch.tensor(numbers[n_before:], dtype=torch.int64)])
        else:
            rows = torch.tensor(numbers, dtype=torch.int64)
        front = rows[pareto_front(Y[rows], config)]
        if not _is_close(_front_metrics(step, Y, front, config), step.hyperparameters):
            problems.append(
                f"step {step.number}: its front, its feasible structures or its hypervolume are "
                "not those of the trials it was planned from"
            )
        prefixes = (CALIBRATION_PREFIX, RECALIBRATION_PREFIX)
        logged = {k: v for k, v in step.hyperparameters.items() if k.startswith(prefixes)}
        expected: dict[str, float] = {}
        for name in config.outcome_names:
            # A step that logs the calibration of an outcome always logs its factor.
            if f"{CALIBRATION_PREFIX}factor_of_{name}" not in logged:
                continue
            calibration = calibration_at_step(z[name], step.training_trials)
            values = calibration.logged_values()
            expected |= {f"{key}_of_{name}": value for key, value in values.items()}
            if f"{RECALIBRATION_PREFIX}scale_of_{name}" in logged:
                expected |= calibration.recalibration.logged_values(name)
        if logged.keys() != expected.keys() or not _is_close(expected, logged):
            problems.append(
                f"step {step.number}: its calibration is not that of the outcomes it was planned "
                "from"
            )
    return problems


def _front_metrics(
    step: Step, Y: Tensor, front: Tensor, optimization_config: OptimizationConfig
) -> dict[str, float]:
    """Return the metrics of the front among the training trials of a step.

    Args:
        step: Step.
        Y: `[t, k]` outcomes of all trials.
        front: `[f]` numbers of the trials on the front.
        optimization_config: Objectives and constraints.
    """
    numbers = [number for number in step.training_trials if number < len(Y)]
    reference, _ = resolve_reference_point(Y[numbers], [step], optimization_config)
    assert reference is not None
    position = {number: row for row, number in enumerate(numbers)}
    rows = torch.tensor([position[number] for number in front.tolist()], dtype=torch.int64)
    return front_metrics(Y[numbers], optimization_config, reference, rows)


def _is_close(expected: Mapping[str, float], logged: Mapping[str, float]) -> bool:
    return all(
        math.isclose(logged.get(name, math.nan), value, rel_tol=LOGGED_TOLERANCE)
        for name, value in expected.items()
    )


def max_difference(stored: Tensor, recomputed: Tensor, tolerance: float) -> float | None:
    """Return the largest absolute difference of predictions, None within the tolerance.

    Args:
        stored: `[c]` or `[c, k]` values of the posterior file.
        recomputed: `[c, 1, 1]` or `[c, 1, k]` values of the restored posterior.
        tolerance: Absolute and relative tolerance.
    """
    recomputed = recomputed.squeeze(-2).to(stored)
    recomputed = recomputed.squeeze(-1) if stored.ndim == 1 else recomputed
    if recomputed.shape != stored.shape:
        return math.inf
    if torch.allclose(recomputed, stored, rtol=tolerance, atol=tolerance):
        return None
    return float((recomputed - stored).abs().max())
