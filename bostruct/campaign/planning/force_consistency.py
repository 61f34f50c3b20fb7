"""Check of forces against energies, and of stresses against both, in the metrics of a step.

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
from bostruct.spaces.space import SupportsCompositions
from bostruct.surrogates.force_consistency import ForceConsistency
from bostruct.surrogates.stress_consistency import StressConsistency

if TYPE_CHECKING:  # a reader of logs needs neither
    from bostruct.campaign.planning.step_context import StepContext
    from bostruct.surrogates import TrainingData

FORCE_PREFIX = "force_consistency_"
"""Prefix of the values that a step logs of the check of forces."""

STRESS_PREFIX = "stress_consistency_"
"""Prefix of those of the check of stresses."""


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
    if isinstance(space, DiscreteSpace | SupportsCompositions) or not isinstance(
        surrogate, surrogates.LocalGP
    ):
        return {}
    if data.structures is None:
        return {}
    n = sum(trial.is_known and trial.forces is not None for trial in trials)
    is_first = all(trial.mean is None for trial in trials)
    has_doubled = (n - step.q).bit_length() < n.bit_length()
    if not (is_first or has_doubled):
        return {}
    forces = surrogate.force_consistency(data.structures, space)
    # Forces say nothing of the work of a strain, so that a wrong factor only can be told.
    if forces is not None and has_variable_cell(space) and not forces.is_reconcilable:
        forces = None
    metrics = {} if forces is None else _prefixed(FORCE_PREFIX, asdict(forces))
    if forces is not None and forces.is_contradiction:
        return metrics  # by wrong forces right stresses would be judged
    stresses = surrogate.stress_consistency(data.structures, space)
    return metrics | ({} if stresses is None else _prefixed(STRESS_PREFIX, asdict(stresses)))


def contradiction_at_step(metrics: Mapping[str, float]) -> str | None:
    """Return the sentence on a contradiction from the metrics of a step; None without a check."""
    forces, stresses = (_without(prefix, metrics) for prefix in (FORCE_PREFIX, STRESS_PREFIX))
    sentences = [ForceConsistency(**forces).sentence()] if forces else []
    sentences += [StressConsistency(**stresses).sentence()] if stresses else []
    return max(sentences, key=len) if sentences else None


def _prefixed(prefix: str, values: Mapping[str, float]) -> dict[str, float]:
    return {f"{prefix}{name}": value for name, value in values.items()}


def _without(prefix: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the values of the names that begin with a prefix, by the rest of their name."""
    return {k.removeprefix(prefix): v for k, v in metrics.items() if k.startswith(prefix)}


def last_contradiction(steps: Sequence[Step]) -> str:
    """Return the sentence on the contradiction that the last check found, "" without one."""
    for step in reversed(steps):
        sentence = contradiction_at_step(step.hyperparameters)
        if sentence is not None:
            return sentence
    return ""
