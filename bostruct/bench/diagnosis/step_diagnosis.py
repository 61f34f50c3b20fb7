"""What a step of a campaign thought of the answer that it did not ask for."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from bostruct.bench.diagnosis.reference_minimum import ReferenceMinimum
from bostruct.campaign import Campaign, Log
from bostruct.campaign.planning.acquisition_context import acquisition_context
from bostruct.campaign.planning.batch_acquisition import BatchAcquisition
from bostruct.campaign.planning.resampling import is_promising, is_relaxed
from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.planning.training_data import training_data
from bostruct.campaign.records import Step, training_structures
from bostruct.candidates import Candidates, select_top
from bostruct.candidates.batched_lbfgs import relax
from bostruct.surrogates import FittedModel

MAX_ABS_Z = 2.0
"""σ. A model that is off by more believes something wrong."""

ACQUISITION_TOLERANCE = 1e-6
"""Values that differ by less are the same."""


class StepDiagnosis(NamedTuple):
    """What one step thought of the answer.

    Args:
        step: Its number.
        cause: Why it asked for something else: `excluded`, `search`, `model` or
            `isomer`; see `failures`.
        shortfall: By how much the answer was worth less than what was chosen, in units of
            the acquisition: eV for the lower confidence bound.
        z_score: (E - mean) / σ of the answer, with the observed σ.
    """

    step: int
    cause: str
    shortfall: float
    z_score: float


def diagnose_step(
    campaign: Campaign, log: Log, step: Step, reference: ReferenceMinimum
) -> StepDiagnosis:
    """Return what a step with a surrogate thought of the answer.

    Raises:
        LogError: its posterior cannot be read.
    """
    space = campaign.components.space
    trials = log.trial_records()
    before = [trial for trial in trials if trial.step < step.number]
    known = [trial for trial in before if trial.number in set(step.training_trials)]
    chosen = next(trial for trial in trials if trial.step == step.number)
    model = log.posterior(step.number)
    worth = _acquisition_value(
        rebuild_acquisition(campaign, log, step, model), campaign, reference.X
    )
    with torch.no_grad():
        there = model.posterior(reference.X.unsqueeze(0), observation_noise=True)
    error = reference.energy - float(there.mean)
    z = error / math.sqrt(max(float(there.variance), 1e-300))
    short = (chosen.acquisition or 0.0) - worth
    alone = Candidates(
        X=reference.X.unsqueeze(0),
        acq_value=reference.X.new_zeros(1),
        generator_names=["answer"],
        n_steps=torch.zeros(1, dtype=torch.int64),
        converged=torch.ones(1, dtype=torch.bool),
    )
    seen = torch.stack([trial.X for trial in before])
    numbers = [trial.number for trial in known]
    rests = dict(zip(numbers, is_relaxed(training_structures(known, space)), strict=True))
    resting = torch.tensor([rests.get(trial.number, True) for trial in before])
    pays = is_promising(model, alone.X, torch.tensor([trial.energy for trial in known]))
    again = select_top(
        alone, 1, space=space, X_evaluated=seen, is_relaxed=resting, allow_resample=pays
    )
    if not len(again):
        cause = "excluded"
    elif not math.isfinite(short) or short < -ACQUISITION_TOLERANCE:
        cause = "search"
    else:
        cause = "isomer" if abs(z) <= MAX_ABS_Z else "model"
    return StepDiagnosis(step.number, cause, short, z)


def rebuild_acquisition(
    campaign: Campaign, log: Log, step: Step, model: FittedModel
) -> BatchAcquisition:
    """Return the acquisition as it was when a step asked for its first structure."""
    trials = {trial.number: trial for trial in log.trial_records()}
    known = [trials[number] for number in step.training_trials]
    factor = step.hyperparameters.get("kappa_factor", 1.0)
    context = StepContext(
        campaign.components, log.seed, known[0].X.device, step.number, 1, kappa_factor=factor
    )
    data = training_data(context, known)
    return BatchAcquisition(context.acquisition, acquisition_context(context, model, data, known))


def _acquisition_value(acquisition: BatchAcquisition, campaign: Campaign, X: Tensor) -> float:
    """Return the acquisition at the answer `[d]`, where the model would have put it.

    The search climbs to the nearest maximum of the acquisition, which counts if the
    answer is still the same structure there.
    """
    space = campaign.components.space
    with torch.no_grad():
        here = float(acquisition(X.unsqueeze(0)))
    end = relax(acquisition, X.unsqueeze(0), project=space.project)
    found = float(end.acq_value)
    same = bool(space.is_duplicate(end.X[0], X)) and bool(space.contains(end.X[0]))
    return max(here, found) if same and math.isfinite(found) else here
