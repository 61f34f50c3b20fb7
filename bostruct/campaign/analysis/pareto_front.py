"""Pareto front of a campaign with objectives, read from its log.

Notation
    Y          [t, k]   outcome space: as measured, or log10 where the objective is
    reference  [m]      utilities of the reference point of the hypervolume

On the front are the structures whose outcomes are all known, keep every bound and are dominated by
no other structure. Quarantined, retracted and failed results are unknown, and so on no front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct import objectives
from bostruct.campaign.analysis.calibration import MISCOVERAGE, CalibratedPrediction, trial_z_scores
from bostruct.campaign.analysis.hypervolume_history import (
    REFERENCE_PREFIX,
    HypervolumeHistory,
    is_complete_and_feasible,
)
from bostruct.campaign.analysis.outcome_table import (
    QuarantinedValue,
    outcome_matrix,
    quarantined_values,
    single_outcome,
)
from bostruct.campaign.analysis.predictions import logged_predictions
from bostruct.campaign.records import Step, Trial
from bostruct.errors import InputError, error_message
from bostruct.objectives import OptimizationConfig


@final
@dataclass(frozen=True)
class EvaluatedPoint:
    """Evaluated structure in the space of the outcomes.

    Attributes:
        trial: Number of the trial.
        evaluation: Number of the evaluation, from 1; None for initial data.
        step: Number of the step.
        generator: Name of the generator that proposed the structure.
        state: State of the trial: done, failed or retracted.
        raw_outcomes: Trusted outcomes in their units, in the order of the outcome names; None where
            unknown.
        exact_names: Outcomes that the space knows exactly.
        predictions: Predictions of the other outcomes before the evaluation, in outcome space.
        is_feasible: True if all outcomes are known and keep every bound.
        is_non_dominated: True if the structure is on the front.
        name: Name of the structure in a discrete space, "" without one.
    """

    trial: int
    evaluation: int | None
    step: int
    generator: str
    state: str
    raw_outcomes: Mapping[str, float | None]
    exact_names: frozenset[str]
    predictions: Mapping[str, CalibratedPrediction]
    is_feasible: bool
    is_non_dominated: bool
    name: str = ""


@final
@dataclass(frozen=True)
class ParetoFront:
    """Pareto front with its history.

    Attributes:
        optimization_config: Objectives and constraints.
        evaluated: Evaluated structures in order.
        reference_point: Raw values of the objectives; empty while no result is known.
        reference_source: Origin of the reference point: "user", "step" or "data".
        history: Hypervolume, size and feasible structures after each evaluation, all under this
            reference point.
        quarantined: Values that are kept and not trusted, with the reasons.
    """

    optimization_config: OptimizationConfig
    evaluated: tuple[EvaluatedPoint, ...]
    reference_point: Mapping[str, float]
    reference_source: str
    history: HypervolumeHistory
    quarantined: tuple[QuarantinedValue, ...]

    @property
    def points(self) -> tuple[EvaluatedPoint, ...]:
        """Structures on the front, the best of the first objective first."""
        first = self.optimization_config.objectives[0]

        def rank(point: EvaluatedPoint) -> tuple[float, int]:
            value = point.raw_outcomes[first.name]
            assert value is not None
            return -first.sign * value, point.trial

        return tuple(sorted((p for p in self.evaluated if p.is_non_dominated), key=rank))

    @property
    def hypervolume(self) -> float:
        """Hypervolume in the product of the units of outcome space; 0.0 without a front."""
        return self.history.hypervolume[-1] if len(self.history) else 0.0

    @property
    def learned_names(self) -> tuple[str, ...]:
        """Outcomes that are not known exactly to the space."""
        exact = {name for point in self.evaluated for name in point.exact_names}
        return tuple(name for name in self.optimization_config.outcome_names if name not in exact)

    @classmethod
    def from_trials(
        cls,
        trials: Sequence[Trial],
        trials_before_retraction: Sequence[Trial],
        steps: Sequence[Step],
        optimization_config: OptimizationConfig,
        reference: Mapping[str, float] | None = None,
    ) -> ParetoFront:
        """Return the front of a log.

        Args:
            trials: Trials in order.
            trials_before_retraction: Trials as they were before any was retracted.
            steps: Steps in order.
            optimization_config: Objectives and constraints.
            reference: Raw values of all objectives; None takes the point of the last step.

        Raises:
            InputError: the reference does not name the objectives, or has no logarithm.
        """
        finished = [trial for trial in trials if trial.is_finished]
        Y = outcome_matrix(finished, optimization_config)
        point, source = resolve_reference_point(Y, steps, optimization_config, reference)
        front = set(objectives.pareto_front(Y, optimization_config).tolist())
        is_feasible = is_complete_and_feasible(Y, optimization_config).tolist()
        raw = optimization_config.untransform(Y).tolist()
        predictions = {
            name: _predictions_of_outcome(
                trials_before_retraction, steps, optimization_config, name
            )
            for name in optimization_config.outcome_names
        }
        points = []
        count = 0
        for i, trial in enumerate(finished):
            count += not trial.is_initial_data
            values = zip(optimization_config.outcome_names, raw[i], strict=True)
            points.append(
                EvaluatedPoint(
                    trial=trial.number,
                    evaluation=None if trial.is_initial_data else count,
                    step=trial.step,
                    generator=trial.generator,
                    state=trial.state,
                    raw_outcomes={n: None if v != v else v for n, v in values},
                    exact_names=frozenset(
                        outcome.name for outcome in trial.outcome_predictions if outcome.is_exact
                    ),
                    predictions={
                        name: by_trial[trial.number]
                        for name, by_trial in predictions.items()
                        if trial.number in by_trial
                    },
                    is_feasible=is_feasible[i],
                    is_non_dominated=i in front,
                    name=trial.member,
                )
            )
        return cls(
            optimization_config=optimization_config,
            evaluated=tuple(points),
            reference_point=_to_raw(point, optimization_config),
            reference_source=source,
            history=HypervolumeHistory.from_trials(finished, optimization_config, point),
            quarantined=tuple(quarantined_values(trials, optimization_config)),
        )


def _predictions_of_outcome(
    trials_before_retraction: Sequence[Trial],
    steps: Sequence[Step],
    optimization_config: OptimizationConfig,
    name: str,
) -> dict[int, CalibratedPrediction]:
    trials = single_outcome(trials_before_retraction, optimization_config, name)
    predictions = logged_predictions(trials, steps, trial_z_scores(trials), MISCOVERAGE)
    return {prediction.trial: prediction.prediction for prediction in predictions}


def resolve_reference_point(
    Y: Tensor,
    steps: Sequence[Step],
    optimization_config: OptimizationConfig,
    reference: Mapping[str, float] | None = None,
) -> tuple[Tensor | None, str]:
    """Return the reference point as utilities `[m]`, and its source.

    Args:
        Y: `[t, k]` outcomes so far, used where no step has logged a reference point.
        steps: Steps in order; the last one with a reference point counts.
        optimization_config: Objectives and constraints.
        reference: Raw values of all objectives, instead.

    Returns:
        Reference point and "user", "step" or "data"; None and "" while no result of an objective is
        known.

    Raises:
        InputError: the reference does not name the objectives, or has no logarithm.
    """
    names = [part.name for part in optimization_config.objectives]
    if reference is not None:
        if set(reference) != set(names):
            value, hint = ", ".join(sorted(reference)) or "none", f"They are {', '.join(names)}."
            raise InputError(error_message("reference", "name every objective", value, hint))
        outcomes = [optimization_config.transform(name, reference[name]) for name in names]
        for name, outcome in zip(names, outcomes, strict=True):
            if outcome != outcome:
                condition = f"have a place on the scale of {name!r}"
                raise InputError(error_message("reference", condition, reference[name]))
        return _to_utilities(outcomes, optimization_config), "user"
    for step in reversed(steps):
        logged = [step.hyperparameters.get(f"{REFERENCE_PREFIX}{name}") for name in names]
        outcomes = [value for value in logged if value is not None]
        if len(outcomes) == len(names):
            return _to_utilities(outcomes, optimization_config), "step"
    if not _has_values(Y, optimization_config):
        return None, ""
    return objectives.infer_reference_point(Y, optimization_config), "data"


def _has_values(Y: Tensor, optimization_config: OptimizationConfig) -> bool:
    """Return whether every objective has a value or a reference."""
    return all(
        part.reference is not None or bool(Y[:, i].isfinite().any())
        for i, part in enumerate(optimization_config.objectives)
    )


def _to_utilities(outcomes: Sequence[float], optimization_config: OptimizationConfig) -> Tensor:
    pairs = zip(outcomes, optimization_config.objectives, strict=True)
    return torch.tensor([y * objective.sign for y, objective in pairs], dtype=torch.float64)


def _to_raw(point: Tensor | None, optimization_config: OptimizationConfig) -> dict[str, float]:
    if point is None:
        return {}
    raw = {}
    for objective, utility in zip(optimization_config.objectives, point.tolist(), strict=True):
        value = objective.sign * utility
        raw[objective.name] = 10.0**value if objective.log else value
    return raw
