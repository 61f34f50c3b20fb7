"""Adaptive weight of the uncertainty, from the errors of earlier predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, Self, runtime_checkable

from bostruct.campaign.analysis.z_scores import z_score
from bostruct.campaign.energy_above_hull import SystemHull, atoms_of
from bostruct.campaign.planning.trial_columns import TrialColumns
from bostruct.campaign.records import Trial

INITIAL_KAPPA_FACTOR = 0.5
"""Factor on kappa before any prediction: a model of a few structures explores by itself."""

KAPPA_FACTOR_RANGE = (0.25, 2.0)
"""Smallest and largest factor on kappa."""

DECREASE_FACTOR, INCREASE_FACTOR = 0.7, 1.25
"""Changes of the factor without an improvement: after an energy more than one σ above its
prediction, and after another one."""

MIN_IMPROVEMENT = 5e-3
"""Part of the predicted σ by more than which an energy must be lower than the lowest to be an
improvement."""


@runtime_checkable
class SupportsKappaScaling(Protocol):
    """An acquisition whose weight of the uncertainty can be scaled."""

    def scaled(self, kappa_factor: float) -> Self:
        """Return the acquisition with its weight of σ multiplied by `kappa_factor`."""
        ...


def adapt_kappa_factor(
    trials: Sequence[Trial], columns: TrialColumns | None = None, hull: SystemHull | None = None
) -> float:
    """Return the factor on the weight of the uncertainty in the next step.

    An energy more than one σ above its prediction, and no improvement, means that
    exploration failed: the factor falls. One as predicted, and no improvement, means that
    the model has nothing new where it is certain: the factor rises.

    Args:
        trials: All trials so far, in the order asked.
        columns: Columns of the trials, kept from the step before.
        hull: Hull before any trial, where an improvement is an energy below it; None where it is
            one below the lowest.
    """
    columns = columns or TrialColumns()
    if hull is not None:
        return columns.fold("kappa", trials, _adapt_to_hull, (INITIAL_KAPPA_FACTOR, hull))[0]
    return columns.fold("kappa", trials, _adapt, (INITIAL_KAPPA_FACTOR, math.inf))[0]


def _adapt(state: tuple[float, float], trial: Trial) -> tuple[float, float]:
    """Return the factor and the lowest enthalpy after a trial."""
    factor, best = state
    if trial.enthalpy is None or trial.doubt:
        return state
    return _next_factor(factor, trial, trial.enthalpy - best), min(best, trial.enthalpy)


def _adapt_to_hull(state: tuple[float, SystemHull], trial: Trial) -> tuple[float, SystemHull]:
    """Return the factor and the hull after a trial."""
    factor, hull = state
    if trial.enthalpy is None or trial.doubt:
        return state
    above = hull.energy_above(trial) * float(atoms_of(hull.space, trial.X))
    return _next_factor(factor, trial, above), hull.with_trial(trial)


def _next_factor(factor: float, trial: Trial, above: float) -> float:
    """Return the factor after a trial whose enthalpy is by so much above the best one, eV."""
    z, sigma = z_score(trial), math.sqrt(trial.predictive_variance or 0.0)
    if z is None or above < -MIN_IMPROVEMENT * sigma:
        return factor
    factor *= DECREASE_FACTOR if z > 1 else INCREASE_FACTOR
    return min(max(factor, KAPPA_FACTOR_RANGE[0]), KAPPA_FACTOR_RANGE[1])
