"""Hyperparameters, calibration and front metrics that a step logs."""

from __future__ import annotations

from collections.abc import Sequence

from bostruct.acquisition import AcquisitionContext
from bostruct.campaign.analysis.hypervolume_history import REFERENCE_PREFIX, front_metrics
from bostruct.campaign.analysis.outcome_table import ENERGY
from bostruct.campaign.analysis.recalibration import NO_RECALIBRATION
from bostruct.campaign.planning.adaptive_kappa import SupportsKappaScaling
from bostruct.campaign.planning.radius_correction import FACTOR_PREFIX
from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.records import Trial
from bostruct.surrogates import FittedModel


def step_metrics(
    step: StepContext, model: FittedModel, context: AcquisitionContext, known: Sequence[Trial]
) -> dict[str, float]:
    """Return named numbers for people, sorted by name.

    Args:
        step: The step.
        model: The fitted model.
        context: The acquisition context without pending candidates.
        known: The trials that the model was fitted to.
    """
    metrics, config = dict(model.hyperparameters()), context.optimization_config
    metrics |= {f"{FACTOR_PREFIX}{name}": value for name, value in step.radius_factors.items()}
    if isinstance(step.components.acquisition, SupportsKappaScaling):
        metrics["kappa_factor"] = step.kappa_factor
    if config is None:
        metrics |= step.recalibrations.get(ENERGY, NO_RECALIBRATION).logged_values()
        metrics |= step.columns.calibration(known).logged_values()
        return dict(sorted(metrics.items()))
    assert context.Y is not None
    assert context.reference_point is not None
    rows = step.columns.front(known, config)
    metrics |= front_metrics(context.Y, config, context.reference_point, rows)
    for objective, utility in zip(config.objectives, context.reference_point.tolist(), strict=True):
        metrics[f"{REFERENCE_PREFIX}{objective.name}"] = objective.sign * utility
    for name in context.modeled_outcomes:
        values = step.columns.calibration(known, config, name).logged_values()
        metrics |= {f"{key}_of_{name}": value for key, value in values.items()}
        metrics |= step.recalibrations.get(name, NO_RECALIBRATION).logged_values(name)
    return dict(sorted(metrics.items()))
