"""Surrogate and acquisition of one step at the reference minimum that it did not propose."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from bostruct.bench.diagnosis.reference_minimum import ReferenceMinimum
from bostruct.campaign import Campaign, Log
from bostruct.campaign.planning.batch_acquisition import (
    SingleObjectiveBatchAcquisition,
    StepContext,
)
from bostruct.campaign.planning.step import is_promising, is_relaxed
from bostruct.campaign.records import Step, training_structures
from bostruct.candidates import Candidates, select_top
from bostruct.candidates.batched_lbfgs import relax
from bostruct.surrogates import FittedModel

MAX_ABS_Z = 2.0
"""Largest |z| of a correct prediction, in σ."""

ACQUISITION_TOLERANCE = 1e-6
"""Difference of acquisition values that counts as none."""


class StepDiagnosis(NamedTuple):
    """Reason why one step did not propose the reference minimum.

    Args:
        step: Number of the step.
        cause: `excluded`, `search`, `model` or `isomer`, explained in `diagnosis.failures`.
        shortfall: Acquisition value of the selected structure minus that of the reference
            minimum, in eV for the lower confidence bound.
        z_score: (E - mean) / σ of the reference minimum, with the predictive σ.
    """

    step: int
    cause: str
    shortfall: float
    z_score: float


def diagnose_step(
    campaign: Campaign, log: Log, step: Step, reference: ReferenceMinimum
) -> StepDiagnosis:
    """Return the reason why a model step did not propose the reference minimum.

    Raises:
        LogError: the posterior of the step cannot be read.
    """
    space = campaign.components.space
    trials = log.trial_records()
    before = [trial for trial in trials if trial.step < step.number]
    training = [trial for trial in before if trial.number in set(step.training_trials)]
    selected = next(trial for trial in trials if trial.step == step.number)
    model = log.posterior(step.number)
    acquisition = rebuild_acquisition(campaign, log, step, model)
    with torch.no_grad():
        posterior = model.posterior(reference.X.unsqueeze(0), observation_noise=True)
    error = reference.energy - float(posterior.mean)
    z = error / math.sqrt(max(float(posterior.variance), 1e-300))
    value = _acquisition_value(acquisition, campaign, reference.X)
    shortfall = (selected.acquisition or 0.0) - value
    candidates = Candidates(
        X=reference.X.unsqueeze(0),
        acq_value=reference.X.new_zeros(1),
        generator_names=["reference minimum"],
        n_steps=torch.zeros(1, dtype=torch.int64),
        converged=torch.ones(1, dtype=torch.bool),
    )
    numbers = [trial.number for trial in training]
    relaxed = dict(zip(numbers, is_relaxed(training_structures(training, space)), strict=True))
    energies = torch.tensor([trial.energy for trial in training])
    proposed = select_top(
        candidates,
        1,
        space=space,
        X_evaluated=torch.stack([trial.X for trial in before]),
        is_relaxed=torch.tensor([relaxed.get(trial.number, True) for trial in before]),
        allow_resample=is_promising(model, candidates.X, energies),
    )
    if not len(proposed):
        cause = "excluded"
    elif not math.isfinite(shortfall) or shortfall < -ACQUISITION_TOLERANCE:
        cause = "search"
    else:
        cause = "isomer" if abs(z) <= MAX_ABS_Z else "model"
    return StepDiagnosis(step.number, cause, shortfall, z)


def rebuild_acquisition(
    campaign: Campaign, log: Log, step: Step, model: FittedModel
) -> SingleObjectiveBatchAcquisition:
    """Return the acquisition function of a step at its first structure."""
    trials = {trial.number: trial for trial in log.trial_records()}
    X = torch.stack([trials[number].X for number in step.training_trials])
    energies = [trials[number].energy for number in step.training_trials]
    context = StepContext(
        campaign.components, log.seed, X.device, step.number, 1, kappa_factor=_kappa_factor(step)
    )
    return SingleObjectiveBatchAcquisition(context, model, X, torch.tensor(energies, dtype=X.dtype))


def _acquisition_value(
    acquisition: SingleObjectiveBatchAcquisition, campaign: Campaign, X: Tensor
) -> float:
    """Return the acquisition value of a structure `[d]` after a local search.

    The value at the nearest maximum counts if that is still the same structure.
    """
    space = campaign.components.space
    with torch.no_grad():
        value = float(acquisition(X.unsqueeze(0)))
    end = relax(acquisition, X.unsqueeze(0), project=space.project)
    maximum = float(end.acq_value)
    same = bool(space.is_duplicate(end.X[0], X)) and bool(space.contains(end.X[0]))
    return max(value, maximum) if same and math.isfinite(maximum) else value


def _kappa_factor(step: Step) -> float:
    """Return the stored factor of κ, under its name of today or of older logs."""
    stored = step.hyperparameters
    return stored.get("kappa_factor", stored.get("boldness", 1.0))
