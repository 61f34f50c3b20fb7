"""Acquisition context of a step: its model and data, for one energy or several objectives."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from bostruct.acquisition import AcquisitionContext
from bostruct.campaign.planning.posterior_tensors import PREDICTION_CHUNK_SIZE, evaluate_in_chunks
from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.records import Trial
from bostruct.runtime.rng import derive_seed
from bostruct.surrogates import FittedModel, TrainingData


def acquisition_context(
    step: StepContext, model: FittedModel, data: TrainingData, known: Sequence[Trial]
) -> AcquisitionContext:
    """Return the context of a step without pending candidates.

    Args:
        step: The step.
        model: The model fitted to `data`.
        data: The training data.
        known: The trials that they are of.
    """
    seed = derive_seed(step.seed, step.number, "acquisition", bits=31)
    objectives = step.components.learned_objectives
    if objectives is None:
        energies = data.Y.squeeze(-1)
        return AcquisitionContext(
            model, X_baseline=data.X, Y=energies, best_f=float(energies.min()), seed=seed
        )
    joint = objectives.joint_model(model)

    def mean(X: Tensor) -> Tensor:
        values: Tensor = joint.posterior(X.unsqueeze(-2)).mean.squeeze(-2)
        return values

    Y = step.columns.outcomes(known, objectives.optimization_config).to(data.X)
    members = objectives.representative_members().to(data.X)
    predicted = evaluate_in_chunks(mean, members, PREDICTION_CHUNK_SIZE)
    return AcquisitionContext(
        model,
        X_baseline=data.X,
        Y=Y,
        seed=seed,
        optimization_config=objectives.optimization_config,
        reference_point=objectives.reference_point(Y, predicted),
        modeled_outcomes=objectives.learned_names,
        deterministic_outcomes=objectives.deterministic_outcomes,
    )


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
