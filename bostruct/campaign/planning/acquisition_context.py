"""Acquisition context of a step: its model and data, for one energy or several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from bostruct.acquisition import AcquisitionContext
from bostruct.campaign.analysis.outcome_table import ENERGY
from bostruct.campaign.analysis.recalibration import NO_RECALIBRATION, Recalibration
from bostruct.campaign.components import CampaignComponents
from bostruct.campaign.energy_above_hull import SystemHull, add_to_hull, atoms_of
from bostruct.campaign.enthalpy import pressure_energy, pressure_of
from bostruct.campaign.planning.posterior_tensors import PREDICTION_CHUNK_SIZE, evaluate_in_chunks
from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.planning.trial_columns import TrialColumns
from bostruct.campaign.records import Trial
from bostruct.runtime.rng import derive_seed
from bostruct.spaces import DiscreteSpace
from bostruct.surrogates import CoordinateGP, FittedModel, TrainingData
from bostruct.surrogates.botorch_models.affine_model import AffineModel
from bostruct.surrogates.botorch_models.offset_model import OffsetModel
from bostruct.surrogates.botorch_models.recalibrated_model import RecalibratedModel
from bostruct.surrogates.botorch_models.shrinkage_model import ShrinkageModel
from bostruct.surrogates.coordinate_gp.model import CoordinateGPModel
from bostruct.surrogates.species import problem_scale

PRIOR_STD_FACTOR = 2.0
"""Spread of energies to which the acquisition shrinks, in that of random structures: wide, as low
energies are sought, which are rare."""

PRIOR_MEAN_FACTOR = 3.0
"""Typical energy above the lowest one, in that spread: more than the largest weight of σ, so that
structures of which nothing is known are not proposed before those that may be low."""


def acquisition_context(
    step: StepContext, model: FittedModel, data: TrainingData, known: Sequence[Trial]
) -> AcquisitionContext:
    """Return the context of a step without pending candidates.

    Args:
        step: The step.
        model: The model fitted to the energies.
        data: The training data, with values of `goal_data` as Y.
        known: The trials that they are of.
    """
    seed = derive_seed(step.seed, step.number, "acquisition", bits=31)
    objectives = step.components.learned_objectives
    if objectives is None:
        energies = data.Y.squeeze(-1)
        if isinstance(model, CoordinateGPModel):
            model = model.warped  # of equal low energies and bounds, without steep walls
        corrected = recalibrated_model(step, model, (ENERGY,))
        return AcquisitionContext(
            shrunk_goal_model(step, corrected, data, known),
            X_baseline=data.X,
            Y=energies,
            best_f=float(energies.min()),
            seed=seed,
        )
    joint = objectives.joint_model(model)

    def mean(X: Tensor) -> Tensor:
        values: Tensor = joint.posterior(X.unsqueeze(-2)).mean.squeeze(-2)
        return values

    Y = step.columns.outcomes(known, objectives.optimization_config).to(data.X)
    members = objectives.representative_members().to(data.X)
    predicted = evaluate_in_chunks(mean, members, PREDICTION_CHUNK_SIZE)
    return AcquisitionContext(
        recalibrated_model(step, model, objectives.learned_names),
        X_baseline=data.X,
        Y=Y,
        seed=seed,
        optimization_config=objectives.optimization_config,
        reference_point=objectives.reference_point(Y, predicted),
        modeled_outcomes=objectives.learned_names,
        deterministic_outcomes=objectives.deterministic_outcomes,
    )


def recalibrated_model(step: StepContext, model: FittedModel, names: Sequence[str]) -> FittedModel:
    """Return the model as the acquisition sees it, with the corrections of the step.

    Args:
        step: The step.
        model: The fitted model.
        names: The outcomes of the model, in order.
    """
    found = [step.recalibrations.get(name, NO_RECALIBRATION) for name in names]
    if all(each.limited_shift == 0 and each.widened_scale == 1 for each in found):
        return model
    shift = torch.tensor([each.limited_shift for each in found], dtype=torch.float64)
    scale = torch.tensor([each.widened_scale for each in found], dtype=torch.float64)
    return RecalibratedModel(model, shift, scale)


def shrunk_goal_model(
    step: StepContext, model: FittedModel, data: TrainingData, known: Sequence[Trial]
) -> FittedModel:
    """Return the model of `goal_model`, shrunk where it knows less than the spread of energies.

    Only in a continuous space, where a search climbs to the largest σ that there is, and not of a
    stationary process over few coordinates, whose σ is nowhere larger than that spread. Energies of
    random structures deviate by the root of the number of atoms: where that differs, energies of
    cells over it are shrunk.

    Args:
        step: The step.
        model: The model of the energy.
        data: The training data, with values of `goal_data` as Y.
        known: The trials that they are of.
    """
    space, structures, hull = step.components.space, data.structures, hull_of_known(step, known)
    is_bounded = isinstance(step.components.surrogate, CoordinateGP)
    if structures is None or isinstance(space, DiscreteSpace) or is_bounded:
        return goal_model(step, model, known)
    scale = problem_scale(structures, space)
    cells = goal_model(step, model, known, per_cell=True)
    if hull is None:
        n_moving = float((~structures.fixed).sum()) / len(structures)
        std = PRIOR_STD_FACTOR * scale.energy_std(n_moving)
        return ShrinkageModel(cells, float(data.Y.min()) + PRIOR_MEAN_FACTOR * std, std)
    std, of_members = PRIOR_STD_FACTOR * scale.energy_std(1), hull.space

    def inverse_root(X: Tensor) -> tuple[Tensor, Tensor]:
        n = atoms_of(of_members, X)
        return n.rsqrt(), torch.zeros_like(n)

    shrunk = ShrinkageModel(AffineModel(cells, inverse_root), PRIOR_MEAN_FACTOR * std, std)
    return AffineModel(shrunk, inverse_root)


def enthalpy_model(step: StepContext, model: FittedModel) -> FittedModel:
    """Return a model of the energy as one of the enthalpy; itself where there is no pressure."""
    space = step.components.space
    return OffsetModel(model, partial(pressure_energy, space)) if pressure_of(space) else model


def hull_of_known(step: StepContext, known: Sequence[Trial]) -> SystemHull | None:
    """Return the convex hull of known trials; None where the energy itself is minimized."""
    first = step.components.initial_hull
    return None if first is None else step.columns.fold("hull", known, add_to_hull, first)


def goal_model(
    step: StepContext, model: FittedModel, known: Sequence[Trial], *, per_cell: bool = False
) -> FittedModel:
    """Return a model of the energy as one of what the campaign minimizes.

    That is the enthalpy, or the energy above the hull of the known trials, eV per atom.

    Args:
        step: The step.
        model: The model of the energy.
        known: The trials with a result.
        per_cell: True for the energy of a whole cell above the hull, eV.
    """
    model, hull = enthalpy_model(step, model), hull_of_known(step, known)
    if hull is None:
        return model
    space, h = hull.space, hull.member_energies

    def scale_and_shift(X: Tensor) -> tuple[Tensor, Tensor]:
        n = atoms_of(space, X)
        above = -h.to(X)[space.member_index(X)]
        return (torch.ones_like(n), n * above) if per_cell else (1 / n, above)

    return AffineModel(model, scale_and_shift)


def goal_data(
    step: StepContext, data: TrainingData, known: Sequence[Trial], *, per_cell: bool = False
) -> TrainingData:
    """Return training data of the enthalpy with what the campaign minimizes as Y.

    Args:
        step: The step.
        data: The data, of the known trials.
        known: The trials with a result.
        per_cell: True for the energy of a whole cell above the hull, eV.
    """
    hull = hull_of_known(step, known)
    if hull is None:
        return data
    n = atoms_of(hull.space, data.X).unsqueeze(-1)
    h = hull.member_energies.to(data.X)[hull.space.member_index(data.X)].unsqueeze(-1)
    above = data.Y / n - h
    return replace(data, Y=n * above if per_cell else above)


def recalibrations(
    components: CampaignComponents, trials: Sequence[Trial], columns: TrialColumns
) -> dict[str, Recalibration]:
    """Return the corrections of predictions that the errors of the earlier ones ask for, by name.

    Args:
        components: The components of the campaign.
        trials: All trials so far, in the order asked.
        columns: The columns of the trials, kept from the step before.
    """
    known = columns.known(trials)
    objectives = components.learned_objectives
    if objectives is None:
        return {ENERGY: columns.calibration(known).recalibration}
    config = objectives.optimization_config
    return {
        name: columns.calibration(known, config, name).recalibration
        for name in objectives.learned_names
    }


def search_ranking(
    step: StepContext, context: AcquisitionContext, known: Sequence[Trial]
) -> Tensor:
    """Return a number per evaluated structure, `[t]`, lower where it is a better parent.

    The energy, or the dominance rank of several objectives.
    """
    assert context.Y is not None
    if context.optimization_config is None:
        return context.Y
    return step.columns.dominance_rank(known, context.optimization_config).to(context.Y)
