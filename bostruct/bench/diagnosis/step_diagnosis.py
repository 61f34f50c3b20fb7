"""What a step of a campaign thought of the answer that it did not ask for."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from bostruct.bench.diagnosis.reference_minimum import Answer
from bostruct.campaign import Campaign, Log
from bostruct.campaign.planning.batch_acquisition import Task, Value
from bostruct.campaign.planning.step import calm, paying
from bostruct.campaign.records import Step, labelled
from bostruct.candidates import Candidates, choose
from bostruct.candidates.batched_lbfgs import relax
from bostruct.surrogates import FittedModel

WRONG = 2.0
"""σ. A model that is off by more believes something wrong."""

SLACK = 1e-6
"""Values that differ by less are the same."""


class Look(NamedTuple):
    """What one step thought of the answer.

    Args:
        step: Its number.
        cause: Why it asked for something else: `excluded`, `search`, `model` or
            `isomer`; see `failures`.
        short: By how much the answer was worth less than what was chosen, in units of
            the acquisition: eV for the lower confidence bound.
        z: (E - mean) / σ of the answer, with the observed σ.
    """

    step: int
    cause: str
    short: float
    z: float


def look(campaign: Campaign, log: Log, step: Step, answer: Answer) -> Look:
    """Return what a step with a surrogate thought of the answer.

    Raises:
        LogError: its posterior cannot be read.
    """
    space = campaign.parts.space
    trials = log.undecoded()
    before = [trial for trial in trials if trial.step < step.number]
    known = [trial for trial in before if trial.number in set(step.known)]
    chosen = next(trial for trial in trials if trial.step == step.number)
    model = log.posterior(step.number)
    worth = _worth(asked(campaign, log, step, model), campaign, answer.X)
    with torch.no_grad():
        there = model.posterior(answer.X.unsqueeze(0), observation_noise=True)
    error = answer.energy - float(there.mean)
    z = error / math.sqrt(max(float(there.variance), 1e-300))
    short = (chosen.acquisition or 0.0) - worth
    alone = Candidates(
        X=answer.X.unsqueeze(0),
        value=answer.X.new_zeros(1),
        origin=["answer"],
        steps=torch.zeros(1, dtype=torch.int64),
        converged=torch.ones(1, dtype=torch.bool),
    )
    seen = torch.stack([trial.X for trial in before])
    numbers = [trial.number for trial in known]
    rests = dict(zip(numbers, calm(labelled(known, space)), strict=True))
    resting = torch.tensor([rests.get(trial.number, True) for trial in before])
    pays = paying(model, alone.X, torch.tensor([trial.energy for trial in known]))
    again = choose(alone, 1, space=space, seen=seen, resting=resting, paying=pays)
    if not len(again):
        cause = "excluded"
    elif not math.isfinite(short) or short < -SLACK:
        cause = "search"
    else:
        cause = "isomer" if abs(z) <= WRONG else "model"
    return Look(step.number, cause, short, z)


def asked(campaign: Campaign, log: Log, step: Step, model: FittedModel) -> Value:
    """Return the acquisition as it was when a step asked for its first structure."""
    trials = {trial.number: trial for trial in log.undecoded()}
    X = torch.stack([trials[number].X for number in step.known])
    energies = [trials[number].energy for number in step.known]
    task = Task(
        campaign.parts,
        log.seed,
        X.device,
        step.number,
        1,
        boldness=step.hyperparameters.get("boldness", 1.0),
    )
    return Value(task, model, X, torch.tensor(energies, dtype=X.dtype))


def _worth(value: Value, campaign: Campaign, X: Tensor) -> float:
    """Return the acquisition at the answer `[d]`, where the model would have put it.

    The search climbs to the nearest maximum of the acquisition, which counts if the
    answer is still the same structure there.
    """
    space = campaign.parts.space
    with torch.no_grad():
        here = float(value(X.unsqueeze(0)))
    end = relax(value, X.unsqueeze(0), project=space.project)
    found = float(end.value)
    same = bool(space.same(end.X[0], X)) and bool(space.contains(end.X[0]))
    return max(here, found) if same and math.isfinite(found) else here
