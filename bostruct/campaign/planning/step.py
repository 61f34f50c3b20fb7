"""What a step asks for, and why: a pure function of the log, the seed and the step."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bostruct.campaign.analysis.calibration import online_calibration
from bostruct.campaign.initial_structures import MIN_ENERGIES, InitialData
from bostruct.campaign.learned_objectives import LearnedObjectives
from bostruct.campaign.log.posterior_file import to_cpu
from bostruct.campaign.log.schema import LOG_FORMAT
from bostruct.campaign.planning.adaptive_kappa import SupportsKappaScaling
from bostruct.campaign.planning.batch_acquisition import (
    SingleObjectiveBatchAcquisition,
    StepContext,
    evaluate_in_chunks,
    sample_new,
    select_batch,
)
from bostruct.campaign.planning.multi_objective_step import (
    has_enough_values,
    plan_multi_objective,
)
from bostruct.campaign.planning.retries import retry_candidates
from bostruct.campaign.records import (
    OPEN_STATES,
    PlannedStep,
    Trial,
    training_structures,
)
from bostruct.candidates import Candidates
from bostruct.runtime.device import synchronized_time
from bostruct.runtime.rng import N_PROBE_STRUCTURES, generator_for, seeded_global_rng
from bostruct.spaces import DiscreteSpace
from bostruct.structures import Structures
from bostruct.surrogates import FittedModel

RELAXED_MAX_FORCE = 0.1
"""eV/Å. Forces below it leave some meV to be gained at the bottom of a minimum."""

PROMISING_ENERGY_GAIN = 0.02
"""eV. So much below the lowest energy known is worth another, wherever promised."""


def plan_step(context: StepContext, trials: Sequence[Trial]) -> PlannedStep:
    """Return what a step asks for.

    Args:
        context: The step. The first one asks for what the user gave without energies and
            `initial` random structures, if any are to be asked for.
        trials: All trials so far in the order asked.
    """
    known = [trial for trial in trials if trial.state == "done"]
    first = all(trial.is_initial_data for trial in trials)
    mine = torch.zeros(0, context.components.space.dimension, dtype=torch.float64)
    if first and context.components.initial_data is not None:
        mine = context.components.initial_data.X_unevaluated
    count = context.components.n_initial if first else context.q
    aims = context.components.learned_objectives
    enough = len(known) >= MIN_ENERGIES if aims is None else has_enough_values(trials, aims)
    if not enough or (first and len(mine) + count):
        return _random_step(context, trials, mine, count)
    with seeded_global_rng(context.device, context.seed, context.step, "global"):
        if aims is not None:
            return _multi_objective_step(context, aims, trials)
        return _single_objective_step(context, trials, known)


def initial_data_step(initial_data: InitialData) -> PlannedStep:
    """Return the step of the structures that came with their energies."""
    origins = ["initial_structures"] * len(initial_data.X_evaluated)
    return PlannedStep(
        0,
        "initial_data",
        initial_data.X_evaluated,
        origins,
        results=initial_data.results,
    )


def _random_step(
    context: StepContext, trials: Sequence[Trial], X_initial: Tensor, n_random: int
) -> PlannedStep:
    """Return a step of structures of the user and random ones."""
    start = time.perf_counter()
    seen = [trial.X for trial in trials]
    X = sample_new(
        context.components.space,
        n_random,
        context.generator_for("initial"),
        [*seen, *X_initial],
    )
    X, aims = torch.cat([X_initial, X]), context.components.learned_objectives
    return PlannedStep(
        step=context.step,
        kind="initial_structures" if len(X_initial) else "random",
        X=X,
        generators=["initial_structures"] * len(X_initial) + ["random"] * (len(X) - len(X_initial)),
        outcome_predictions=[] if aims is None else aims.exact_predictions(X),
        seconds_search=time.perf_counter() - start,
    )


def _multi_objective_step(
    context: StepContext, learned_objectives: LearnedObjectives, trials: Sequence[Trial]
) -> PlannedStep:
    start = synchronized_time(context.device)
    found = plan_multi_objective(context, learned_objectives, trials)
    candidates = found.candidates
    return PlannedStep(
        step=context.step,
        kind="model",
        X=found.tensors["candidates.X"][found.selected].double(),
        generators=[candidates.generator_names[i] for i in found.selected],
        training_trials=found.training_trials,
        hyperparameters=dict(sorted(found.hyperparameters.items())),
        predictions=[
            {"candidate_index": i, "acquisition": worth}
            for i, worth in zip(found.selected, found.acquisition_values, strict=True)
        ],
        tensors=found.tensors,
        header=_posterior_header(context, candidates),
        effort=context.effort,
        outcome_predictions=found.outcome_predictions,
        seconds_fit=found.seconds_fit,
        seconds_search=synchronized_time(context.device) - start - found.seconds_fit,
    )


def _single_objective_step(
    context: StepContext, trials: Sequence[Trial], training_trials: list[Trial]
) -> PlannedStep:
    start = synchronized_time(context.device)
    space = context.components.space
    structures = training_structures(training_trials, space).to(device=context.device)
    model = context.components.surrogate.fit(structures, space)
    fitted = synchronized_time(context.device)
    numbers = [trial.number for trial in training_trials]
    X = torch.stack([trial.X for trial in training_trials]).to(context.device)
    energies = X.new_tensor([trial.energy for trial in training_trials])
    value = SingleObjectiveBatchAcquisition(context, model, X, energies)
    pending = [trial.X for trial in trials if trial.state in OPEN_STATES]
    if pending:
        value = value.with_pending(torch.stack(pending).to(context.device))
    candidates = context.search(value, space, X, energies, context.generator_for("search"))
    rests = dict(zip(numbers, is_relaxed(structures), strict=True))
    again, pays = set(), None
    if isinstance(space, DiscreteSpace):  # of a member there is one energy, but of failures
        again = {trial.number for trial in retry_candidates(trials, space)}
    else:
        pays = is_promising(model, candidates.X, energies)
    old = [trial for trial in trials if trial.number not in again]
    seen = torch.stack([trial.X for trial in old]).to(context.device)
    resting = torch.tensor([rests.get(trial.number, True) for trial in old])
    candidates, chosen, values = select_batch(context, candidates, value, seen, resting, pays)
    tensors = to_cpu(_posterior_tensors(context, model, candidates, chosen, training_trials))
    shown = dict(model.hyperparameters()) | online_calibration(training_trials).logged_values()
    if isinstance(context.components.acquisition, SupportsKappaScaling):
        shown["boldness"] = context.kappa_factor
    planned = PlannedStep(
        step=context.step,
        kind="model",
        X=tensors["candidates.X"][chosen].double(),
        generators=[candidates.generator_names[i] for i in chosen],
        training_trials=numbers,
        hyperparameters=dict(sorted(shown.items())),
        predictions=[
            {
                "candidate_index": i,
                "acquisition": worth,
                **_prediction_columns(tensors, i),
            }
            for i, worth in zip(chosen, values, strict=True)
        ],
        tensors=tensors,
        header=_posterior_header(context, candidates),
        effort=context.effort,
    )
    end = synchronized_time(context.device)
    return replace(planned, seconds_fit=fitted - start, seconds_search=end - fitted)


def _posterior_header(context: StepContext, candidates: Candidates) -> dict[str, object]:
    """Return the header of the posterior file."""
    return {
        "format": LOG_FORMAT,
        "step": context.step,
        "generators": list(candidates.generator_names),
    }


def is_relaxed(structures: Structures) -> list[bool]:
    """Return of which structures little is to be gained by another look close by."""
    if structures.forces is None:
        return [False] * len(structures)
    size = structures.forces.abs().amax(-1).masked_fill(structures.fixed, 0)
    largest = size.new_zeros(len(structures))
    largest = largest.scatter_reduce(0, structures.index, size, "amax")
    return (largest < RELAXED_MAX_FORCE).tolist()


def is_promising(model: FittedModel, X: Tensor, energies: Tensor) -> Tensor:
    """Return which of X `[c, d]` are worth an energy even next to one evaluated.

    In a stiff potential a structure within the tolerance of a minimum may still be far
    above it: one that the model puts well below all of `energies` `[t]` is looked at.
    """
    mean, _ = _posterior_mean_variance(model, X)
    return mean < energies.min() - PROMISING_ENERGY_GAIN


def _posterior_tensors(
    context: StepContext,
    model: FittedModel,
    candidates: Candidates,
    selected: list[int],
    training_trials: list[Trial],
) -> dict[str, Tensor]:
    """Return what is kept of the posterior, on its device; names as in `arrays.py`."""
    tensors = {f"model.{name}": value for name, value in model.state().items()}
    probe = context.components.space.sample(
        N_PROBE_STRUCTURES, generator_for(context.seed, "probe")
    )
    X_probe = probe.to(context.device)
    mean, variance = _posterior_mean_variance(model, candidates.X)
    _, observed = _posterior_mean_variance(model, candidates.X, observation_noise=True)
    probe_mean, probe_variance = _posterior_mean_variance(model, X_probe)
    if selected:
        with torch.no_grad():
            joint = model.posterior(candidates.X[selected])
        tensors["chosen.covariance"] = joint.distribution.covariance_matrix
    return {
        **tensors,
        "candidates.X": candidates.X,
        "candidates.mean": mean,
        "candidates.latent_variance": variance,
        "candidates.predictive_variance": observed,
        "candidates.acquisition": candidates.acq_value,
        "candidates.steps": candidates.n_steps,
        "candidates.converged": candidates.converged,
        "chosen.index": torch.tensor(selected, dtype=torch.int64),
        "probe.X": X_probe,
        "probe.mean": probe_mean,
        "probe.latent_variance": probe_variance,
        "training_trials": torch.tensor(
            [trial.number for trial in training_trials], dtype=torch.int64
        ),
    }


def _posterior_mean_variance(
    model: FittedModel, X: Tensor, observation_noise: bool = False
) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each of X `[c, d]`, `[c]` eV and eV²."""

    def of(part: Tensor) -> Tensor:
        found = model.posterior(part.unsqueeze(-2), observation_noise=observation_noise)
        return torch.stack((found.mean.flatten(), found.variance.flatten()), -1)

    mean, variance = evaluate_in_chunks(of, X).T.contiguous()
    return mean, variance


def _prediction_columns(tensors: Mapping[str, Tensor], i: int) -> dict[str, float]:
    names = ("mean", "latent_variance", "predictive_variance")
    return {name: float(tensors[f"candidates.{name}"][i]) for name in names}
