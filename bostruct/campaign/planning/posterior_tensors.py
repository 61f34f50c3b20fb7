"""Posterior of a step, as tensors for the log; names as in `log.posterior_file`.

Notation
    c, p   candidates, probe structures
    k      modeled outcomes; of one energy the axis is left out
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bostruct.campaign.analysis.best_trials import best_trials
from bostruct.campaign.analysis.energy_comparison import N_COMPARED, EnergyComparison
from bostruct.campaign.energy_above_hull import SystemHull, believed_enthalpy, trial_ranks
from bostruct.campaign.log.posterior_file import to_cpu
from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.records import Trial
from bostruct.candidates import Candidates
from bostruct.runtime.rng import N_PROBE_STRUCTURES, generator_for
from bostruct.surrogates import FittedModel
from bostruct.surrogates.properties.properties import PropertyModel

CHUNK_SIZE = 256
"""Structures that a model predicts together, of which there may be thousands."""

PREDICTION_CHUNK_SIZE = 2048
"""Members whose marginals are predicted together: some MB for each hundred values."""


def posterior_tensors(
    step: StepContext,
    model: FittedModel,
    candidates: Candidates,
    selected: Sequence[int],
    known: Sequence[Trial],
    training_trials: Sequence[int],
    hull: SystemHull | None = None,
) -> dict[str, Tensor]:
    """Return what is logged of a posterior, on the CPU.

    Args:
        step: The step.
        model: The fitted model.
        candidates: The candidates of the step.
        selected: The rows of those selected.
        known: The trials that the model was fitted to.
        training_trials: The numbers of these trials.
        hull: The hull of these trials, where the energy above it is minimized.
    """
    tensors = {f"model.{name}": value for name, value in model.state().items()}
    probe = step.components.space.sample(N_PROBE_STRUCTURES, generator_for(step.seed, "probe"))
    X_probe = probe.to(step.device)
    predictions = [
        *posterior_marginals(model, candidates.X),
        *posterior_mean_variance(model, X_probe),
    ]
    if step.components.learned_objectives is None:
        predictions = [values.squeeze(-1) for values in predictions]
        ranks = step.columns.each("believed enthalpy", known, believed_enthalpy)
        ranks = ranks if hull is None else trial_ranks(known, hull)
        best = best_trials(known, N_COMPARED, step.components.space, ranks)
        X = torch.stack(
            [*(trial.X.to(candidates.X) for trial in best), *candidates.X[list(selected)]]
        )
        tensors |= EnergyComparison.from_model(model, X).tensors(best)
    mean, latent, predictive, probe_mean, probe_variance = predictions
    if selected:
        with torch.no_grad():
            joint = model.posterior(candidates.X[list(selected)])
        tensors["chosen.covariance"] = joint.distribution.covariance_matrix
    return to_cpu(
        {
            **tensors,
            "candidates.X": candidates.X,
            "candidates.mean": mean,
            "candidates.latent_variance": latent,
            "candidates.predictive_variance": predictive,
            "candidates.acquisition": candidates.acq_value,
            "candidates.steps": candidates.n_steps,
            "candidates.converged": candidates.converged,
            "chosen.index": torch.tensor(selected, dtype=torch.int64),
            "probe.X": X_probe,
            "probe.mean": probe_mean,
            "probe.latent_variance": probe_variance,
            "training_trials": torch.tensor(training_trials, dtype=torch.int64),
        }
    )


def posterior_marginals(model: FittedModel, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean, latent and predictive variance of each of X `[c, d]`, `[c, k]`."""
    if isinstance(model, PropertyModel):
        marginals = model.marginals
        stacked = evaluate_in_chunks(
            lambda X: torch.stack(marginals(X), 1), X, PREDICTION_CHUNK_SIZE
        )
        mean, latent, predictive = stacked.unbind(1)
        return mean, latent, predictive
    mean, latent = posterior_mean_variance(model, X)
    return mean, latent, posterior_mean_variance(model, X, observation_noise=True)[1]


def posterior_mean_variance(
    model: FittedModel, X: Tensor, observation_noise: bool = False
) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each of X `[c, d]`, `[c, k]`."""

    def moments(X: Tensor) -> Tensor:
        posterior = model.posterior(X.unsqueeze(-2), observation_noise=observation_noise)
        return torch.cat((posterior.mean, posterior.variance), -2)  # [c, 2, k]

    mean, variance = evaluate_in_chunks(moments, X).unbind(1)
    return mean, variance


def evaluate_in_chunks(
    function: Callable[[Tensor], Tensor], X: Tensor, chunk_size: int = CHUNK_SIZE
) -> Tensor:
    """Return a function of each of X `[c, d]`, `[c, ...]`, `chunk_size` rows at a time."""
    with torch.no_grad():
        return torch.cat([function(part) for part in X.split(chunk_size)])
