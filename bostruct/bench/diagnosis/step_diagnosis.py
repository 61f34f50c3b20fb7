"""Surrogate and acquisition of one step at the reference minimum that it did not propose."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from bostruct.bench.diagnosis.reference_minimum import ReferenceMinimum
from bostruct.campaign import Campaign, Log
from bostruct.campaign.analysis.outcome_table import ENERGY
from bostruct.campaign.analysis.recalibration import Recalibration
from bostruct.campaign.enthalpy import pressure_energy
from bostruct.campaign.planning.acquisition_context import acquisition_context
from bostruct.campaign.planning.batch_acquisition import BatchAcquisition
from bostruct.campaign.planning.resampling import is_lower, is_promising, resampling_scale
from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.planning.training_data import training_data
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
    X = reference.X.unsqueeze(0)
    with torch.no_grad():
        posterior = model.posterior(X, observation_noise=True)
    mean = posterior.mean.reshape(1) + float(pressure_energy(space, reference.X))
    error = reference.energy - float(mean)
    z = error / math.sqrt(max(float(posterior.variance), 1e-300))
    value = _acquisition_value(acquisition, campaign, reference.X)
    shortfall = (selected.acquisition or 0.0) - value
    candidates = Candidates.unrelaxed(X, X.new_zeros(1), ["reference minimum"])
    known = {trial.number: trial.enthalpy for trial in training}
    energies = torch.tensor([known.get(trial.number, math.nan) for trial in before])
    enthalpies = energies[energies.isfinite()]
    scale = resampling_scale(training_structures(training, space), space, enthalpies)
    proposed = select_top(
        candidates,
        1,
        space=space,
        X_evaluated=torch.stack([trial.X for trial in before]),
        is_lower=is_lower(mean, energies, scale),
        allow_resample=is_promising(mean, enthalpies, scale),
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
) -> BatchAcquisition:
    """Return the acquisition as it was when a step asked for its first structure."""
    trials = {trial.number: trial for trial in log.trial_records()}
    known = [trials[number] for number in step.training_trials]
    stored = step.hyperparameters  # κ had another name in older logs
    factor = stored.get("kappa_factor", stored.get("boldness", 1.0))
    objectives = campaign.components.learned_objectives
    names = {ENERGY: ""} if objectives is None else {n: n for n in objectives.learned_names}
    context = StepContext(
        campaign.components,
        log.seed,
        known[0].X.device,
        step.number,
        1,
        kappa_factor=factor,
        recalibrations={
            name: Recalibration.from_logged(stored, suffix) for name, suffix in names.items()
        },
    )
    data = training_data(context, known)
    return BatchAcquisition(context.acquisition, acquisition_context(context, model, data, known))


def _acquisition_value(acquisition: BatchAcquisition, campaign: Campaign, X: Tensor) -> float:
    """Return the acquisition at the answer `[d]`, where the model would have put it.

    The value at the nearest maximum counts if that is still the same structure.
    """
    space = campaign.components.space
    with torch.no_grad():
        value = float(acquisition(X.unsqueeze(0)))
    end = relax(acquisition, X.unsqueeze(0), project=space.project)
    maximum = float(end.acq_value)
    same = bool(space.is_duplicate(end.X[0], X)) and bool(space.contains(end.X[0]))
    return max(value, maximum) if same and math.isfinite(maximum) else value
