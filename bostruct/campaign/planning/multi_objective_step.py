"""A step of a campaign with goals: a function of the log, the seed and the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, final

import torch
from torch import Tensor

from bostruct.acquisition import AcquisitionContext
from bostruct.acquisition.multi_objective.deterministic_outcomes import (
    DeterministicOutcomesModel,
)
from bostruct.campaign.analysis.calibration import online_calibration
from bostruct.campaign.analysis.hypervolume_history import (
    REFERENCE_PREFIX,
    front_metrics,
    is_complete_and_feasible,
)
from bostruct.campaign.analysis.outcome_table import (
    check_learnable,
    outcome_matrix,
    single_outcome,
)
from bostruct.campaign.learned_objectives import LearnedObjectives
from bostruct.campaign.log.posterior_file import to_cpu
from bostruct.campaign.planning.batch_acquisition import (
    StepContext,
    evaluate_in_chunks,
    select_batch,
)
from bostruct.campaign.planning.retries import retry_candidates
from bostruct.campaign.records import OPEN_STATES, OutcomePrediction, Trial
from bostruct.candidates import Candidates
from bostruct.runtime.device import synchronized_time
from bostruct.runtime.rng import N_PROBE_STRUCTURES, derive_seed, generator_for
from bostruct.surrogates import ConditionedModel, PropertyModel


@dataclass(frozen=True, eq=False)
class MultiObjectivePlan:
    """What a step with goals asks for, and what it rests on.

    Args:
        training_trials: The trials that the choice was made from.
        candidates: What was considered.
        selected: Which of them are asked for.
        acquisition_values: The acquisition of these, when they were chosen.
        tensors: Of the posterior file, on the CPU.
        outcome_predictions: What is said of the outcomes of the chosen ones.
        hyperparameters: Hyperparameters, and where the front stands.
        seconds_fit: Wall time of the fit.
    """

    training_trials: list[int]
    candidates: Candidates
    selected: list[int]
    acquisition_values: list[float]
    tensors: dict[str, Tensor]
    outcome_predictions: list[tuple[OutcomePrediction, ...]]
    hyperparameters: dict[str, float]
    seconds_fit: float


PREDICTION_CHUNK_SIZE = 2048
"""Members whose properties are predicted together: some MB for each hundred values."""

MIN_VALUES = 2
"""Values of each learnt outcome without which there is nothing to fit."""


@final
class MultiObjectiveBatchAcquisition:
    """The acquisition of a campaign with goals: `X [b, d] -> [b]`, larger is better.

    Args:
        context: The step.
        acquisition_context: What is believed and wanted, with what is pending.
        model: Of the learnt outcomes.
    """

    def __init__(
        self,
        context: StepContext,
        acquisition_context: AcquisitionContext,
        model: PropertyModel,
    ) -> None:
        self._context, self._acquisition_context, self._model = (
            context,
            acquisition_context,
            model,
        )
        acquisition = context.components.acquisition
        if not acquisition.supports_q_batch and acquisition_context.X_pending is not None:
            acquisition_context = acquisition_context.with_kriging_believer(
                ConditionedModel(model, acquisition_context.X_pending)
            )
        self._function = acquisition.build(acquisition_context)

    def __call__(self, X: Tensor) -> Tensor:
        """Return the acquisition of each structure."""
        values: Tensor = self._function(X.unsqueeze(-2))
        return values

    def with_pending(self, X: Tensor) -> Self:
        """Return the acquisition once `X [k, d]` are being evaluated, too."""
        before = self._acquisition_context.X_pending
        pending = X if before is None else torch.cat([before, X])
        case = replace(self._acquisition_context, X_pending=pending)
        return type(self)(self._context, case, self._model)


def has_enough_values(trials: Sequence[Trial], learned_objectives: LearnedObjectives) -> bool:
    """Return whether there are values enough of every learnt outcome.

    Raises:
        InputError: the evaluator returns nothing of that name.
    """
    check_learnable(
        trials, learned_objectives.optimization_config, learned_objectives.learned_names
    )
    Y = outcome_matrix(trials, learned_objectives.optimization_config)[
        :, learned_objectives.learned_columns
    ]
    return bool((Y.isfinite().sum(0) >= MIN_VALUES).all())


def plan_multi_objective(
    context: StepContext, learned_objectives: LearnedObjectives, trials: Sequence[Trial]
) -> MultiObjectivePlan:
    """Return what a step with goals asks for, and why.

    Args:
        context: The step.
        learned_objectives: What is wanted.
        trials: All so far in the order asked, enough of them done.
    """
    space = context.components.space
    start = synchronized_time(context.device)
    known = [trial for trial in trials if trial.state == "done"]
    X = torch.stack([trial.X for trial in known]).to(context.device)
    Y = outcome_matrix(known, learned_objectives.optimization_config).to(X)
    model = context.components.surrogate.fit(
        X,
        Y[:, learned_objectives.learned_columns],
        learned_objectives.learned_names,
        space,
    )
    fitted = synchronized_time(context.device)
    joined = DeterministicOutcomesModel(
        model,
        learned_objectives.deterministic_outcomes,
        learned_objectives.learned_names,
        learned_objectives.optimization_config.outcome_names,
    )

    def mean(X: Tensor) -> Tensor:
        found: Tensor = joined.posterior(X.unsqueeze(-2)).mean.squeeze(-2)
        return found

    reference = learned_objectives.reference_point(
        Y,
        evaluate_in_chunks(
            mean,
            learned_objectives.representative_members().to(X),
            PREDICTION_CHUNK_SIZE,
        ),
    )
    pending = [trial.X for trial in trials if trial.state in OPEN_STATES]
    case = AcquisitionContext(
        model=model,
        optimization_config=learned_objectives.optimization_config,
        modeled_outcomes=learned_objectives.learned_names,
        deterministic_outcomes=learned_objectives.deterministic_outcomes,
        X=X,
        Y=Y,
        reference_point=reference,
        X_pending=torch.stack(pending).to(X) if pending else None,
        seed=derive_seed(context.seed, context.step, "acquisition", bits=31),
    )
    worth = MultiObjectiveBatchAcquisition(context, case, model)
    candidates = context.search(
        worth, space, X, dominance_rank(case), context.generator_for("search")
    )
    again = {trial.number for trial in retry_candidates(trials, space)}
    seen = torch.stack([t.X for t in trials if t.number not in again]).to(X)
    candidates, chosen, values = select_batch(context, candidates, worth, seen)
    tensors = to_cpu(_posterior_tensors(context, model, candidates, chosen, known))
    said = _outcome_predictions(learned_objectives, tensors, chosen)
    shown = {
        **model.hyperparameters(),
        **front_metrics(Y, learned_objectives.optimization_config, reference),
    }
    for part, utility in zip(
        learned_objectives.optimization_config.objectives,
        reference.tolist(),
        strict=True,
    ):
        shown[f"{REFERENCE_PREFIX}{part.name}"] = part.sign * utility
    for name in learned_objectives.learned_names:
        numbers = online_calibration(
            single_outcome(known, learned_objectives.optimization_config, name)
        ).logged_values()
        shown |= {f"{key}_of_{name}": value for key, value in numbers.items()}
    return MultiObjectivePlan(
        training_trials=[trial.number for trial in known],
        candidates=candidates,
        selected=chosen,
        acquisition_values=values,
        tensors=tensors,
        outcome_predictions=said,
        hyperparameters=shown,
        seconds_fit=fitted - start,
    )


def dominance_rank(acquisition_context: AcquisitionContext) -> Tensor:
    """Return how many structures better each of the case, `[t]`; the front has 0.

    What is infeasible or not wholly known comes after all that is not.
    """
    goals, t = acquisition_context.optimization_config, len(acquisition_context.Y)
    utilities = goals.utilities(acquisition_context.Y)
    sound = is_complete_and_feasible(acquisition_context.Y, goals)
    better = (utilities.unsqueeze(0) >= utilities.unsqueeze(1)).all(-1)
    better &= (utilities.unsqueeze(0) > utilities.unsqueeze(1)).any(-1)
    found: Tensor = (better & sound).sum(-1).to(acquisition_context.Y) + t * ~sound
    return found


def _posterior_tensors(
    context: StepContext,
    model: PropertyModel,
    candidates: Candidates,
    selected: list[int],
    training_trials: list[Trial],
) -> dict[str, Tensor]:
    """Return what is kept of the posterior; names as in `arrays.py`."""
    tensors = {f"model.{name}": value for name, value in model.state().items()}
    probe = context.components.space.sample(
        N_PROBE_STRUCTURES, generator_for(context.seed, "probe")
    )
    X_probe = probe.to(context.device)
    with torch.no_grad():
        at_probe = model.posterior(X_probe.unsqueeze(-2))
        if selected:
            joint = model.posterior(candidates.X[selected])
            tensors["chosen.covariance"] = joint.distribution.covariance_matrix
    marginals = evaluate_in_chunks(
        lambda X: torch.stack(model.marginals(X), 1),
        candidates.X,
        PREDICTION_CHUNK_SIZE,
    )
    return {
        **tensors,
        "candidates.X": candidates.X,
        "candidates.mean": marginals[:, 0],
        "candidates.latent_variance": marginals[:, 1],
        "candidates.predictive_variance": marginals[:, 2],
        "candidates.acquisition": candidates.acq_value,
        "candidates.steps": candidates.n_steps,
        "candidates.converged": candidates.converged,
        "chosen.index": torch.tensor(selected, dtype=torch.int64),
        "probe.X": X_probe,
        "probe.mean": at_probe.mean.squeeze(-2),
        "probe.latent_variance": at_probe.variance.squeeze(-2),
        "training_trials": torch.tensor(
            [trial.number for trial in training_trials], dtype=torch.int64
        ),
    }


def _outcome_predictions(
    learned_objectives: LearnedObjectives,
    tensors: dict[str, Tensor],
    selected: list[int],
) -> list[tuple[OutcomePrediction, ...]]:
    """Return what is said of the chosen candidates, in the order of the goals."""
    exact = learned_objectives.exact_predictions(tensors["candidates.X"][selected])
    found = []
    for i, sure in zip(selected, exact, strict=True):
        numbers = (
            tensors[f"candidates.{name}"][i].tolist()
            for name in ("mean", "latent_variance", "predictive_variance")
        )
        rows = zip(learned_objectives.learned_names, *numbers, strict=True)
        by_name = {each.name: each for each in sure}
        by_name |= {name: OutcomePrediction(name, *row) for name, *row in rows}
        found.append(
            tuple(by_name[name] for name in learned_objectives.optimization_config.outcome_names)
        )
    return found
