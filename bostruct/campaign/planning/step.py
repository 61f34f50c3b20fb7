"""What a step asks for, and why: a pure function of the log, the seed and the step."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bostruct.campaign.analysis.calibration import calibrated
from bostruct.campaign.initial_structures import LEAST, Start
from bostruct.campaign.learned_objectives import Aims
from bostruct.campaign.log.posterior_file import offload
from bostruct.campaign.log.schema import FORMAT
from bostruct.campaign.planning.adaptive_kappa import Tempers
from bostruct.campaign.planning.batch_acquisition import (
    Task,
    Value,
    choice,
    each,
    fresh,
)
from bostruct.campaign.planning.multi_objective_step import ready, screen
from bostruct.campaign.planning.retries import anew
from bostruct.campaign.records import OPEN, Planned, Trial, labelled
from bostruct.candidates import Candidates
from bostruct.runtime.device import now
from bostruct.runtime.rng import PROBES, isolated, stream
from bostruct.spaces import Discrete
from bostruct.structures import Structures
from bostruct.surrogates import FittedModel

REST = 0.1
"""eV/Å. Forces below it leave some meV to be gained at the bottom of a minimum."""

PAYS = 0.02
"""eV. So much below the lowest energy known is worth another, wherever promised."""


def plan(task: Task, trials: Sequence[Trial]) -> Planned:
    """Return what a step asks for.

    Args:
        task: The step. The first one asks for what the user gave without energies and
            `initial` random structures, if any are to be asked for.
        trials: All trials so far in the order asked.
    """
    known = [trial for trial in trials if trial.state == "done"]
    first = all(trial.given for trial in trials)
    mine = torch.zeros(0, task.parts.space.dimension, dtype=torch.float64)
    if first and task.parts.start is not None:
        mine = task.parts.start.X
    count = task.parts.initial if first else task.q
    aims = task.parts.aims
    enough = len(known) >= LEAST if aims is None else ready(trials, aims)
    if not enough or (first and len(mine) + count):
        return _without_model(task, trials, mine, count)
    with isolated(task.device, task.seed, task.step, "global"):
        if aims is not None:
            return _with_goals(task, aims, trials)
        return _with_model(task, trials, known)


def given(start: Start) -> Planned:
    """Return the step of the structures that came with their energies."""
    origins = ["start"] * len(start.data)
    return Planned(0, "given", start.data, origins, outcomes=start.outcomes)


def _without_model(
    task: Task, trials: Sequence[Trial], mine: Tensor, count: int
) -> Planned:
    """Return a step of structures of the user and random ones."""
    start = time.perf_counter()
    seen = [trial.X for trial in trials]
    X = fresh(task.parts.space, count, task.stream("initial"), [*seen, *mine])
    X, aims = torch.cat([mine, X]), task.parts.aims
    return Planned(
        step=task.step,
        kind="start" if len(mine) else "random",
        X=X,
        origins=["start"] * len(mine) + ["random"] * (len(X) - len(mine)),
        said=[] if aims is None else aims.said(X),
        seconds_search=time.perf_counter() - start,
    )


def _with_goals(task: Task, aims: Aims, trials: Sequence[Trial]) -> Planned:
    start = now(task.device)
    found = screen(task, aims, trials)
    candidates = found.candidates
    return Planned(
        step=task.step,
        kind="model",
        X=found.tensors["candidates.X"][found.chosen].double(),
        origins=[candidates.origin[i] for i in found.chosen],
        known=found.known,
        hyperparameters=dict(sorted(found.shown.items())),
        predictions=[
            {"candidate": i, "acquisition": worth}
            for i, worth in zip(found.chosen, found.values, strict=True)
        ],
        tensors=found.tensors,
        header=_header(task, candidates),
        level=task.level,
        said=found.said,
        seconds_fit=found.seconds,
        seconds_search=now(task.device) - start - found.seconds,
    )


def _with_model(task: Task, trials: Sequence[Trial], known: list[Trial]) -> Planned:
    start = now(task.device)
    space = task.parts.space
    structures = labelled(known, space).to(device=task.device)
    model = task.parts.surrogate.fit(structures, space)
    fitted = now(task.device)
    numbers = [trial.number for trial in known]
    X = torch.stack([trial.X for trial in known]).to(task.device)
    energies = X.new_tensor([trial.energy for trial in known])
    value = Value(task, model, X, energies)
    pending = [trial.X for trial in trials if trial.state in OPEN]
    if pending:
        value = value.after(torch.stack(pending).to(task.device))
    candidates = task.finder(value, space, X, energies, task.stream("search"))
    rests = dict(zip(numbers, calm(structures), strict=True))
    again, pays = set(), None
    if isinstance(space, Discrete):  # of a member there is one energy, but of failures
        again = {trial.number for trial in anew(trials, space)}
    else:
        pays = paying(model, candidates.X, energies)
    old = [trial for trial in trials if trial.number not in again]
    seen = torch.stack([trial.X for trial in old]).to(task.device)
    resting = torch.tensor([rests.get(trial.number, True) for trial in old])
    candidates, chosen, values = choice(task, candidates, value, seen, resting, pays)
    tensors = offload(_tensors(task, model, candidates, chosen, known))
    shown = dict(model.hyperparameters()) | calibrated(known).numbers()
    if isinstance(task.parts.acquisition, Tempers):
        shown["boldness"] = task.boldness
    planned = Planned(
        step=task.step,
        kind="model",
        X=tensors["candidates.X"][chosen].double(),
        origins=[candidates.origin[i] for i in chosen],
        known=numbers,
        hyperparameters=dict(sorted(shown.items())),
        predictions=[
            {"candidate": i, "acquisition": worth, **_prediction(tensors, i)}
            for i, worth in zip(chosen, values, strict=True)
        ],
        tensors=tensors,
        header=_header(task, candidates),
        level=task.level,
    )
    end = now(task.device)
    return replace(planned, seconds_fit=fitted - start, seconds_search=end - fitted)


def _header(task: Task, candidates: Candidates) -> dict[str, object]:
    """Return the header of the posterior file."""
    return {"format": FORMAT, "step": task.step, "origins": list(candidates.origin)}


def calm(structures: Structures) -> list[bool]:
    """Return of which structures little is to be gained by another look close by."""
    if structures.forces is None:
        return [False] * len(structures)
    size = structures.forces.abs().amax(-1).masked_fill(structures.fixed, 0)
    largest = size.new_zeros(len(structures))
    largest = largest.scatter_reduce(0, structures.index, size, "amax")
    return (largest < REST).tolist()


def paying(model: FittedModel, X: Tensor, energies: Tensor) -> Tensor:
    """Return which of X `[c, d]` are worth an energy even next to one evaluated.

    In a stiff potential a structure within the tolerance of a minimum may still be far
    above it: one that the model puts well below all of `energies` `[t]` is looked at.
    """
    mean, _ = _posterior(model, X)
    return mean < energies.min() - PAYS


def _tensors(
    task: Task,
    model: FittedModel,
    candidates: Candidates,
    chosen: list[int],
    known: list[Trial],
) -> dict[str, Tensor]:
    """Return what is kept of the posterior, on its device; names as in `arrays.py`."""
    tensors = {f"model.{name}": value for name, value in model.state().items()}
    probe = task.parts.space.sample(PROBES, stream(task.seed, "probe"))
    X_probe = probe.to(task.device)
    mean, variance = _posterior(model, candidates.X)
    _, observed = _posterior(model, candidates.X, noise=True)
    probe_mean, probe_variance = _posterior(model, X_probe)
    if chosen:
        with torch.no_grad():
            joint = model.posterior(candidates.X[chosen])
        tensors["chosen.covariance"] = joint.distribution.covariance_matrix
    return {
        **tensors,
        "candidates.X": candidates.X,
        "candidates.mean": mean,
        "candidates.variance": variance,
        "candidates.observed": observed,
        "candidates.acquisition": candidates.value,
        "candidates.steps": candidates.steps,
        "candidates.converged": candidates.converged,
        "chosen.index": torch.tensor(chosen, dtype=torch.int64),
        "probe.X": X_probe,
        "probe.mean": probe_mean,
        "probe.variance": probe_variance,
        "known": torch.tensor([trial.number for trial in known], dtype=torch.int64),
    }


def _posterior(
    model: FittedModel, X: Tensor, noise: bool = False
) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each of X `[c, d]`, `[c]` eV and eV²."""

    def of(part: Tensor) -> Tensor:
        found = model.posterior(part.unsqueeze(-2), observation_noise=noise)
        return torch.stack((found.mean.flatten(), found.variance.flatten()), -1)

    mean, variance = each(of, X).T.contiguous()
    return mean, variance


def _prediction(tensors: Mapping[str, Tensor], i: int) -> dict[str, float]:
    names = ("mean", "variance", "observed")
    return {name: float(tensors[f"candidates.{name}"][i]) for name in names}
