"""Check of the forces of a campaign against its energies, now and then, in the metrics of a step.

It is due when initial data come in, at the first step with a model, and each time the number of
known forces has doubled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from bostruct import surrogates
from bostruct.campaign.enthalpy import has_variable_cell
from bostruct.campaign.records import Step, Trial
from bostruct.spaces import DiscreteSpace
from bostruct.surrogates.force_consistency import ForceConsistency

if TYPE_CHECKING:  # a reader of logs needs neither
    from bostruct.campaign.planning.step_context import StepContext
    from bostruct.surrogates import TrainingData

FORCE_PREFIX = "force_consistency_"
"""Prefix of the values that a step logs of the check."""


def force_metrics(
    step: StepContext, data: TrainingData, trials: Sequence[Trial]
) -> dict[str, float]:
    """Return the values that a step logs of the check; none where it is not due.

    Args:
        step: Step that is planned.
        data: Training data of the step.
        trials: All trials so far.
    """
    surrogate, space = step.components.surrogate, step.components.space
    # Between members with other elements on the same sites no force acts.
    if isinstance(space, DiscreteSpace) or not isinstance(surrogate, surrogates.LocalGP):
        return {}
    if data.structures is None:
        return {}
    n = sum(trial.is_known and trial.forces is not None for trial in trials)
    is_first = all(trial.mean is None for trial in trials)
    has_doubled = (n - step.q).bit_length() < n.bit_length()
    if not (is_first or has_doubled):
        return {}
    consistency = surrogate.force_consistency(data.structures, space)
    if consistency is None:
        return {}
    # Forces say nothing of the work of a strain, so that a wrong factor only can be told.
    if has_variable_cell(space) and not consistency.is_reconcilable:
        return {}
    return {f"{FORCE_PREFIX}{name}": value for name, value in asdict(consistency).items()}


def contradiction_at_step(metrics: Mapping[str, float]) -> str | None:
    """Return the sentence on a contradiction from the metrics of a step; None without a check."""
    values = {
        name.removeprefix(FORCE_PREFIX): value
        for name, value in metrics.items()
        if name.startswith(FORCE_PREFIX)
    }
    return ForceConsistency(**values).sentence() if values else None


def last_contradiction(steps: Sequence[Step]) -> str:
    """Return the sentence on the contradiction that the last check found, "" without one."""
    for step in reversed(steps):
        sentence = contradiction_at_step(step.hyperparameters)
        if sentence is not None:
            return sentence
    return ""
