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
from bostruct.errors import InputError, must
from bostruct.evaluators.quarantine import outside, quarantined, valid
from bostruct.objectives import Goals

ENERGY = "energy"
"""The outcome that every evaluation has, eV."""


@final
@dataclass(frozen=True)
class Doubted:
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


def measured(trial: Trial, goals: Goals) -> dict[str, float]:
    """Return the raw outcomes of a trial that are believed, by name."""
    if trial.state != "done":
        return {}
    found = {ENERGY: trial.energy, **valid(trial)}
    windows = goals.windows
    return {
        name: value
        for name, value in found.items()
        if value is not None and not outside(value, windows.get(name))
    }


def doubted(trials: Sequence[Trial], goals: Goals) -> list[Doubted]:
    """Return what of the goals' outcomes is in quarantine, and all that was retracted.

    In the order in which the trials were asked for.
    """
    found: list[Doubted] = []
    for trial in trials:
        if trial.state == "retracted":
            found.append(Doubted(trial.number, "all", None, trial.reason))
        if trial.state != "done":
            continue
        for name, each in quarantined(trial).items():
            if name in goals.names:
                found.append(Doubted(trial.number, name, each.value, each.reason))
        values = {ENERGY: trial.energy, **valid(trial)}
        for name, window in goals.windows.items():
            value = values.get(name)
            reason = "" if value is None else outside(value, window)
            if reason:
                found.append(Doubted(trial.number, name, value, reason))
    return found


def table(trials: Sequence[Trial], goals: Goals) -> Tensor:
    """Return the outcomes of trials, `[t, k]` in outcome space, NaN where unknown.

    What the space knows exactly is in `Trial.said`, and known of failed ones too.
    """
    rows = []
    for trial in trials:
        exact = {each.name: each.mean for each in trial.said if each.exact}
        row = goals.outcomes(measured(trial, goals))
        pairs = zip(goals.names, row, strict=True)
        rows.append([exact.get(name, value) for name, value in pairs])
    if not rows:
        return torch.zeros(0, len(goals.names), dtype=torch.float64)
    return torch.tensor(rows, dtype=torch.float64)


def learnable(trials: Sequence[Trial], goals: Goals, learnt: Sequence[str]) -> None:
    """Refuse goals that the evaluator has nothing to say of.

    Raises:
        InputError: no trial has a value of an outcome, though some were evaluated.
    """
    done = [trial for trial in trials if trial.state == "done"]
    told = {name for trial in done for name in (*valid(trial), *quarantined(trial))}
    for name in learnt:
        if done and name != ENERGY and name not in told:
            condition = "name what the evaluator returns or the space knows"
            way_out = (
                f"The evaluator returned {', '.join(sorted(told)) or 'no property'}."
            )
            raise InputError(must("objectives", condition, repr(name), way_out))


def alone(trials: Sequence[Trial], goals: Goals, name: str) -> list[Trial]:
    """Return trials with one outcome in the places of the energy.

    So all that is said of predicted energies can be said of it, in outcome space.
    """
    column = goals.names.index(name)
    values = table(trials, goals)[:, column].tolist()
    found = []
    for trial, value in zip(trials, values, strict=True):
        said = next((e for e in trial.said if e.name == name and not e.exact), None)
        found.append(
            replace(
                trial,
                energy=None if value != value else value,
                mean=None if said is None else said.mean,
                variance=None if said is None else said.variance,
                observed=None if said is None else said.observed,
            )
        )
    return found
