"""The outcomes of trials, as goals see them: a table, and what is kept out of it.

An outcome of a trial is what the space knows exactly, or what its evaluation found and
nobody doubts: a value that the evaluator put into quarantine, one outside the window of
its goal, and all of a trial that was retracted are unknown. The log keeps every value;
what is believed of it is decided here, when it is read.
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
"""The outcome that every evaluation has, eV."""


@final
@dataclass(frozen=True)
class QuarantinedValue:
    """A value that is kept and not believed.

    Attributes:
        trial: Its number.
        name: Of the outcome.
        value: Raw; None where there was no number.
        reason: One sentence.
    """

    trial: int
    name: str
    value: float | None
    reason: str


def outcome_values(trial: Trial, optimization_config: OptimizationConfig) -> dict[str, float]:
    """Return the raw outcomes of a trial that are believed, by name."""
    if trial.state != "done":
        return {}
    found = {ENERGY: trial.energy, **trusted_properties(trial)}
    windows = optimization_config.valid_ranges
    return {
        name: value
        for name, value in found.items()
        if value is not None and not range_violation(value, windows.get(name))
    }


def quarantined_values(
    trials: Sequence[Trial], optimization_config: OptimizationConfig
) -> list[QuarantinedValue]:
    """Return what of the goals' outcomes is in quarantine, and all that was retracted.

    In the order in which the trials were asked for.
    """
    found: list[QuarantinedValue] = []
    for trial in trials:
        if trial.state == "retracted":
            found.append(QuarantinedValue(trial.number, "all", None, trial.reason))
        if trial.state != "done":
            continue
        for name, each in quarantined_properties(trial).items():
            if name in optimization_config.outcome_names:
                found.append(QuarantinedValue(trial.number, name, each.value, each.reason))
        values = {ENERGY: trial.energy, **trusted_properties(trial)}
        for name, window in optimization_config.valid_ranges.items():
            value = values.get(name)
            reason = "" if value is None else range_violation(value, window)
            if reason:
                found.append(QuarantinedValue(trial.number, name, value, reason))
    return found


def outcome_matrix(trials: Sequence[Trial], optimization_config: OptimizationConfig) -> Tensor:
    """Return the outcomes of trials, `[t, k]` in outcome space, NaN where unknown.

    What the space knows exactly is in `Trial.said`, and known of failed ones too.
    """
    rows = []
    for trial in trials:
        exact = {each.name: each.mean for each in trial.outcome_predictions if each.is_exact}
        row = optimization_config.outcome_vector(outcome_values(trial, optimization_config))
        pairs = zip(optimization_config.outcome_names, row, strict=True)
        rows.append([exact.get(name, value) for name, value in pairs])
    if not rows:
        return torch.zeros(0, len(optimization_config.outcome_names), dtype=torch.float64)
    return torch.tensor(rows, dtype=torch.float64)


def check_learnable(
    trials: Sequence[Trial],
    optimization_config: OptimizationConfig,
    learned_names: Sequence[str],
) -> None:
    """Refuse goals that the evaluator has nothing to say of.

    Raises:
        InputError: no trial has a value of an outcome, though some were evaluated.
    """
    done = [trial for trial in trials if trial.state == "done"]
    told = {
        name
        for trial in done
        for name in (*trusted_properties(trial), *quarantined_properties(trial))
    }
    for name in learned_names:
        if done and name != ENERGY and name not in told:
            condition = "name what the evaluator returns or the space knows"
            way_out = f"The evaluator returned {', '.join(sorted(told)) or 'no property'}."
            raise InputError(error_message("objectives", condition, repr(name), way_out))


def single_outcome(
    trials: Sequence[Trial], optimization_config: OptimizationConfig, name: str
) -> list[Trial]:
    """Return trials with one outcome in the places of the energy.

    So all that is said of predicted energies can be said of it, in outcome space.
    """
    column = optimization_config.outcome_names.index(name)
    values = outcome_matrix(trials, optimization_config)[:, column].tolist()
    found = []
    for trial, value in zip(trials, values, strict=True):
        said = next(
            (e for e in trial.outcome_predictions if e.name == name and not e.is_exact),
            None,
        )
        found.append(
            replace(
                trial,
                energy=None if value != value else value,
                mean=None if said is None else said.mean,
                latent_variance=None if said is None else said.latent_variance,
                predictive_variance=None if said is None else said.predictive_variance,
            )
        )
    return found
