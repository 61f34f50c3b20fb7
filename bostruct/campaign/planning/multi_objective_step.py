"""A step of a campaign with goals: a function of the log, the seed and the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, final

import torch
from torch import Tensor

from bostruct.acquisition import Case
from bostruct.acquisition.multi_objective.deterministic_outcomes import Joined
from bostruct.campaign.analysis.calibration import calibrated
from bostruct.campaign.analysis.hypervolume_history import REFERENCE, good, logged
from bostruct.campaign.analysis.outcome_table import alone, learnable, table
from bostruct.campaign.learned_objectives import Aims
from bostruct.campaign.log.posterior_file import offload
from bostruct.campaign.planning.batch_acquisition import Task, choice, each
from bostruct.campaign.planning.retries import anew
from bostruct.campaign.records import OPEN, Outcome, Trial
from bostruct.candidates import Candidates
from bostruct.runtime.device import now
from bostruct.runtime.rng import PROBES, number, stream
from bostruct.surrogates import Believing, PropertyModel


@dataclass(frozen=True, eq=False)
class Found:
    """What a step with goals asks for, and what it rests on.

    Args:
        known: The trials that the choice was made from.
        candidates: What was considered.
        chosen: Which of them are asked for.
        values: The acquisition of these, when they were chosen.
        tensors: Of the posterior file, on the CPU.
        said: What is said of the outcomes of the chosen ones.
        shown: Hyperparameters, and where the front stands.
        seconds: Wall time of the fit.
    """

    known: list[int]
    candidates: Candidates
    chosen: list[int]
    values: list[float]
    tensors: dict[str, Tensor]
    said: list[tuple[Outcome, ...]]
    shown: dict[str, float]
    seconds: float


MANY = 2048
"""Members whose properties are predicted together: some MB for each hundred values."""

LEAST = 2
"""Values of each learnt outcome without which there is nothing to fit."""


@final
class Worth:
    """The acquisition of a campaign with goals: `X [b, d] -> [b]`, larger is better.

    Args:
        task: The step.
        case: What is believed and wanted, with what is pending.
        model: Of the learnt outcomes.
    """

    def __init__(self, task: Task, case: Case, model: PropertyModel) -> None:
        self._task, self._case, self._model = task, case, model
        acquisition = task.parts.acquisition
        if not acquisition.joint and case.pending is not None:
            case = case.believed(Believing(model, case.pending))
        self._function = acquisition.build(case)

    def __call__(self, X: Tensor) -> Tensor:
        """Return the acquisition of each structure."""
        values: Tensor = self._function(X.unsqueeze(-2))
        return values

    def after(self, X: Tensor) -> Self:
        """Return the acquisition once `X [k, d]` are being evaluated, too."""
        before = self._case.pending
        pending = X if before is None else torch.cat([before, X])
        case = replace(self._case, pending=pending)
        return type(self)(self._task, case, self._model)


def ready(trials: Sequence[Trial], aims: Aims) -> bool:
    """Return whether there are values enough of every learnt outcome.

    Raises:
        InputError: the evaluator returns nothing of that name.
    """
    learnable(trials, aims.goals, aims.learnt)
    Y = table(trials, aims.goals)[:, aims.columns]
    return bool((Y.isfinite().sum(0) >= LEAST).all())


def screen(task: Task, aims: Aims, trials: Sequence[Trial]) -> Found:
    """Return what a step with goals asks for, and why.

    Args:
        task: The step.
        aims: What is wanted.
        trials: All so far in the order asked, enough of them done.
    """
    space = task.parts.space
    start = now(task.device)
    known = [trial for trial in trials if trial.state == "done"]
    X = torch.stack([trial.X for trial in known]).to(task.device)
    Y = table(known, aims.goals).to(X)
    model = task.parts.surrogate.fit(X, Y[:, aims.columns], aims.learnt, space)
    fitted = now(task.device)
    joined = Joined(model, aims.known, aims.learnt, aims.goals.names)

    def mean(X: Tensor) -> Tensor:
        found: Tensor = joined.posterior(X.unsqueeze(-2)).mean.squeeze(-2)
        return found

    reference = aims.reference(Y, each(mean, aims.members().to(X), MANY))
    pending = [trial.X for trial in trials if trial.state in OPEN]
    case = Case(
        model=model,
        goals=aims.goals,
        learnt=aims.learnt,
        known=aims.known,
        X=X,
        Y=Y,
        reference=reference,
        pending=torch.stack(pending).to(X) if pending else None,
        seed=number(task.seed, task.step, "acquisition", bits=31),
    )
    worth = Worth(task, case, model)
    candidates = task.finder(worth, space, X, merit(case), task.stream("search"))
    again = {trial.number for trial in anew(trials, space)}
    seen = torch.stack([t.X for t in trials if t.number not in again]).to(X)
    candidates, chosen, values = choice(task, candidates, worth, seen)
    tensors = offload(_tensors(task, model, candidates, chosen, known))
    said = _said(aims, tensors, chosen)
    shown = {**model.hyperparameters(), **logged(Y, aims.goals, reference)}
    for part, utility in zip(aims.goals.objectives, reference.tolist(), strict=True):
        shown[f"{REFERENCE}{part.name}"] = part.sign * utility
    for name in aims.learnt:
        numbers = calibrated(alone(known, aims.goals, name)).numbers()
        shown |= {f"{key}_of_{name}": value for key, value in numbers.items()}
    return Found(
        known=[trial.number for trial in known],
        candidates=candidates,
        chosen=chosen,
        values=values,
        tensors=tensors,
        said=said,
        shown=shown,
        seconds=fitted - start,
    )


def merit(case: Case) -> Tensor:
    """Return how many structures better each of the case, `[t]`; the front has 0.

    What is infeasible or not wholly known comes after all that is not.
    """
    goals, t = case.goals, len(case.Y)
    utilities = goals.utilities(case.Y)
    sound = good(case.Y, goals)
    better = (utilities.unsqueeze(0) >= utilities.unsqueeze(1)).all(-1)
    better &= (utilities.unsqueeze(0) > utilities.unsqueeze(1)).any(-1)
    found: Tensor = (better & sound).sum(-1).to(case.Y) + t * ~sound
    return found


def _tensors(
    task: Task,
    model: PropertyModel,
    candidates: Candidates,
    chosen: list[int],
    known: list[Trial],
) -> dict[str, Tensor]:
    """Return what is kept of the posterior; names as in `arrays.py`."""
    tensors = {f"model.{name}": value for name, value in model.state().items()}
    probe = task.parts.space.sample(PROBES, stream(task.seed, "probe"))
    X_probe = probe.to(task.device)
    with torch.no_grad():
        at_probe = model.posterior(X_probe.unsqueeze(-2))
        if chosen:
            joint = model.posterior(candidates.X[chosen])
            tensors["chosen.covariance"] = joint.distribution.covariance_matrix
    marginals = each(lambda X: torch.stack(model.marginals(X), 1), candidates.X, MANY)
    return {
        **tensors,
        "candidates.X": candidates.X,
        "candidates.mean": marginals[:, 0],
        "candidates.variance": marginals[:, 1],
        "candidates.observed": marginals[:, 2],
        "candidates.acquisition": candidates.value,
        "candidates.steps": candidates.steps,
        "candidates.converged": candidates.converged,
        "chosen.index": torch.tensor(chosen, dtype=torch.int64),
        "probe.X": X_probe,
        "probe.mean": at_probe.mean.squeeze(-2),
        "probe.variance": at_probe.variance.squeeze(-2),
        "known": torch.tensor([trial.number for trial in known], dtype=torch.int64),
    }


def _said(
    aims: Aims, tensors: dict[str, Tensor], chosen: list[int]
) -> list[tuple[Outcome, ...]]:
    """Return what is said of the chosen candidates, in the order of the goals."""
    exact = aims.said(tensors["candidates.X"][chosen])
    found = []
    for i, sure in zip(chosen, exact, strict=True):
        numbers = (
            tensors[f"candidates.{name}"][i].tolist()
            for name in ("mean", "variance", "observed")
        )
        rows = zip(aims.learnt, *numbers, strict=True)
        by_name = {each.name: each for each in sure}
        by_name |= {name: Outcome(name, *row) for name, *row in rows}
        found.append(tuple(by_name[name] for name in aims.goals.names))
    return found
