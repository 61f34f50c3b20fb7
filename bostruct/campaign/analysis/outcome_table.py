"""Table of the outcomes of trials, and the values that are kept out of it.

An outcome of a trial is known exactly to the space, or is a trusted result of its evaluation.
Values that the evaluator quarantined, values outside the valid range of their objective, and all
values of a doubted or retracted trial are unknown. The log keeps every value; whether it is trusted
is decided here, when it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from bostruct.campaign.records import Trial
from bostruct.errors import InputError, error_message
from bostruct.evaluators.quarantine import (
    quarantined_properties,
    range_violation,
    trusted_properties,
)
from bostruct.objectives import OptimizationConfig

ENERGY = "energy"
"""Name of the energy as an outcome, eV."""


@final
@dataclass(frozen=True)
class QuarantinedValue:
    """Value that is kept in the log and not trusted.

    Attributes:
        trial: Number of the trial.
        name: Name of the outcome; "all" of a retracted trial, "doubted" of a doubted one.
        value: Raw value; None where there was no number.
        reason: Reason, one sentence.
    """

    trial: int
    name: str
    value: float | None
    reason: str


def outcome_values(trial: Trial, optimization_config: OptimizationConfig) -> dict[str, float]:
    """Return the trusted raw outcomes of a trial by name."""
    if not trial.is_known:
        return {}
    ranges = optimization_config.valid_ranges
    return {
        name: value
        for name, value in {ENERGY: trial.energy, **trusted_properties(trial)}.items()
        if value is not None and not range_violation(value, ranges.get(name))
    }


def quarantined_values(
    trials: Sequence[Trial], optimization_config: OptimizationConfig
) -> list[QuarantinedValue]:
    """Return the quarantined outcomes, and the doubted and retracted trials, in their order."""
    quarantined: list[QuarantinedValue] = []
    for trial in trials:
        if trial.state == "retracted":
            quarantined.append(QuarantinedValue(trial.number, "all", None, trial.reason))
        if trial.doubt:
            quarantined.append(QuarantinedValue(trial.number, "doubted", None, trial.doubt))
        if not trial.is_known:
            continue
        for name, prop in quarantined_properties(trial).items():
            if name in optimization_config.outcome_names:
                quarantined.append(QuarantinedValue(trial.number, name, prop.value, prop.reason))
        values = {ENERGY: trial.energy, **trusted_properties(trial)}
        for name, valid_range in optimization_config.valid_ranges.items():
            value = values.get(name)
            reason = "" if value is None else range_violation(value, valid_range)
            if reason:
                quarantined.append(QuarantinedValue(trial.number, name, value, reason))
    return quarantined


def outcome_matrix(trials: Sequence[Trial], optimization_config: OptimizationConfig) -> Tensor:
    """Return the outcomes of trials, `[t, k]` in outcome space, NaN where unknown.

    Exact outcomes are in `Trial.outcome_predictions`, and known of failed trials too.
    """
    rows = []
    for trial in trials:
        exact = {o.name: o.mean for o in trial.outcome_predictions if o.is_exact}
        row = optimization_config.outcome_vector(outcome_values(trial, optimization_config))
        pairs = zip(optimization_config.outcome_names, row, strict=True)
        rows.append([exact.get(name, value) for name, value in pairs])
    if not rows:
        return torch.zeros(0, len(optimization_config.outcome_names), dtype=torch.float64)
    return torch.tensor(rows, dtype=torch.float64)


def check_learnable(
    trials: Sequence[Trial], optimization_config: OptimizationConfig, learned_names: Sequence[str]
) -> None:
    """Refuse outcomes that the evaluator does not return.

    Raises:
        InputError: trials were evaluated, and none has a value of an outcome.
    """
    missing, returned, has_done = set(learned_names), set[str](), False
    for trial in trials:
        if not missing:
            return
        if trial.state == "done":
            has_done = True
            returned |= {*trusted_properties(trial), *quarantined_properties(trial)}
            missing -= returned if trial.energy is None else {*returned, ENERGY}
    for name in learned_names:
        if has_done and name in missing:
            condition = "name properties that the evaluator returns or the space knows"
            hint = f"The evaluator returned {', '.join(sorted(returned)) or 'no property'}."
            raise InputError(error_message("objectives", condition, repr(name), hint))


def single_outcome(
    trials: Sequence[Trial], optimization_config: OptimizationConfig, name: str
) -> list[Trial]:
    """Return trials with one outcome, in outcome space, in place of the energy.

    So the analysis of predicted energies applies to any outcome.
    """
    column = optimization_config.outcome_names.index(name)
    values = outcome_matrix(trials, optimization_config)[:, column].tolist()
    replaced = []
    for trial, value in zip(trials, values, strict=True):
        prediction = next(
            (o for o in trial.outcome_predictions if o.name == name and not o.is_exact), None
        )
        replaced.append(
            replace(
                trial,
                energy=None if value != value else value,
                mean=None if prediction is None else prediction.mean,
                latent_variance=None if prediction is None else prediction.latent_variance,
                predictive_variance=None if prediction is None else prediction.predictive_variance,
            )
        )
    return replaced
