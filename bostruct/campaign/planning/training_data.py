"""Training data of a step: the evaluated structures, as its surrogate is fitted to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bostruct.campaign.analysis.outcome_table import ENERGY, check_learnable
from bostruct.campaign.enthalpy import pressure_energy, pressure_of
from bostruct.campaign.initial_structures import MIN_ENERGIES
from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.records import Trial
from bostruct.surrogates import TrainingData

DONE = "coordinates of those done"
"""Name of the column of the coordinates of the trials with a result."""


def training_data(step: StepContext, known: Sequence[Trial]) -> TrainingData:
    """Return coordinates and outcomes of the trials with a result, on the device of the step.

    For the energy alone they come with structures and forces.

    Args:
        step: The step.
        known: The trials with a result, at least one, in the order asked.

    Raises:
        InputError: The evaluator returns nothing of the name of an outcome.
    """
    X = step.columns.coordinates(known, DONE).to(step.device)
    objectives = step.components.learned_objectives
    if objectives is None:
        structures = step.columns.structures(known, step.components.space).to(device=step.device)
        assert structures.energy is not None
        energies = structures.energy.to(X).unsqueeze(-1)
        return TrainingData(X, energies, (ENERGY,), structures)
    config, names = objectives.optimization_config, objectives.learned_names
    check_learnable(known, config, names)
    Y = step.columns.outcomes(known, config).to(X)
    return TrainingData(X, Y[:, objectives.learned_columns], names)


def with_enthalpies(step: StepContext, data: TrainingData) -> TrainingData:
    """Return training data of an energy with the enthalpies as Y; unchanged without a pressure."""
    space = step.components.space
    if not pressure_of(space):
        return data
    return replace(data, Y=data.Y + pressure_energy(space, data.X).unsqueeze(-1))


def has_enough_values(data: TrainingData) -> bool:
    """Return whether every outcome is known of enough structures to fit a model."""
    return bool((data.Y.isfinite().sum(0) >= MIN_ENERGIES).all())
