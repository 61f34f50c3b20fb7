"""The Pareto front that a campaign with goals has found, read from its log.

Notation
    Y          [t, k]   outcome space: as measured, or log10 where the objective is
    reference  [m]      utilities of the point that bounds the hypervolume

On a front stands what is known in full, keeps every bound and is bettered by no other.
What is in quarantine, was retracted or failed is unknown, and so is on no front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from bostruct.campaign.analysis.calibration import (
    MISCOVERAGE,
    CalibratedPrediction,
    trial_z_scores,
)
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
from bostruct.objectives import OptimizationConfig, infer_reference_point, pareto_front


@final
@dataclass(frozen=True)
class EvaluatedPoint:
    """One structure that was evaluated, as the goals see it.

    Attributes:
        trial: Its number.
        evaluation: Counted from 1; None if it came with its outcomes.
        step: That asked for it.
        generator: The generator that proposed it.
        state: done, failed or retracted.
        raw_outcomes: What is known and believed of its outcomes, in their units, in the order
            of the goals; None where nothing is.
        exact_names: The outcomes that the space knew beforehand.
        predictions: What was predicted of the others before, in outcome space.
        is_feasible: Whether all is known and every bound is kept.
        is_non_dominated: Whether it is on the front.
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


@final
@dataclass(frozen=True)
class ParetoFront:
    """The front of a campaign, and how it came about.

    Attributes:
        optimization_config: What is wanted.
        evaluated: All that was evaluated, in the order asked for.
        reference_point: Raw values of the objectives behind which nothing counts; empty
            while nothing is known.
        reference_source: Where the reference is from: "given", "a step" or "the data".
        history: Hypervolume, size and feasible structures after each evaluation, all
            under this reference.
        quarantined: What is kept and not believed, with the reasons.
    """

    optimization_config: OptimizationConfig
    evaluated: tuple[EvaluatedPoint, ...]
    reference_point: Mapping[str, float]
    reference_source: str
    history: HypervolumeHistory
    quarantined: tuple[QuarantinedValue, ...]

    @property
    def points(self) -> tuple[EvaluatedPoint, ...]:
        """Those on the front, the best of the first objective first."""
        first = self.optimization_config.objectives[0]
        found = [point for point in self.evaluated if point.is_non_dominated]

        def place(point: EvaluatedPoint) -> tuple[float, int]:
            value = point.raw_outcomes[first.name]
            assert value is not None
            return -first.sign * value, point.trial

        return tuple(sorted(found, key=place))

    @property
    def hypervolume(self) -> float:
        """Now, in the product of the units of outcome space; 0.0 without a front."""
        return self.history.hypervolume[-1] if len(self.history) else 0.0

    @property
    def learned_names(self) -> tuple[str, ...]:
        """The outcomes that only an evaluation tells."""
        sure = {name for point in self.evaluated for name in point.exact_names}
        return tuple(name for name in self.optimization_config.outcome_names if name not in sure)

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
            trials: All, in the order asked for.
            trials_before_retraction: The same, as they were before any was retracted.
            steps: All.
            optimization_config: Of the campaign.
            reference: Raw values of all objectives; None takes those of the last step.

        Raises:
            InputError: the reference does not name the objectives, or has no logarithm.
        """
        finished = [trial for trial in trials if trial.is_finished]
        Y = outcome_matrix(finished, optimization_config)
        point, source = resolve_reference_point(Y, steps, optimization_config, reference)
        best = set(pareto_front(Y, optimization_config).tolist())
        sound = is_complete_and_feasible(Y, optimization_config).tolist()
        raw = optimization_config.untransform(Y).tolist()
        known = {
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
                        each.name for each in trial.outcome_predictions if each.is_exact
                    ),
                    predictions={
                        name: found[trial.number]
                        for name, found in known.items()
                        if trial.number in found
                    },
                    is_feasible=sound[i],
                    is_non_dominated=i in best,
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

    def description(self) -> dict[str, Any]:
        """Return the front and how it grew, ready for JSON."""
        return {
            "hypervolume": self.hypervolume,
            "reference": dict(self.reference_point),
            "reference_from": self.reference_source,
            "points": [
                {
                    "trial": point.trial,
                    "evaluation": point.evaluation,
                    "step": point.step,
                    "generator": point.generator,
                    "outcomes": dict(point.raw_outcomes),
                    "exact": sorted(point.exact_names),
                    "foretold": {
                        name: {
                            "mean": each.mean,
                            "sigma": each.sigma,
                            "calibrated": each.calibrated_sigma,
                            "low": each.low,
                            "high": each.high,
                        }
                        for name, each in point.predictions.items()
                    },
                }
                for point in self.points
            ],
            "series": {
                "hypervolume": list(self.history.hypervolume),
                "front": list(self.history.n_front),
                "feasible": list(self.history.n_feasible),
            },
        }


def _predictions_of_outcome(
    trials_before_retraction: Sequence[Trial],
    steps: Sequence[Step],
    optimization_config: OptimizationConfig,
    name: str,
) -> dict[int, CalibratedPrediction]:
    trials = single_outcome(trials_before_retraction, optimization_config, name)
    found = logged_predictions(trials, steps, trial_z_scores(trials), MISCOVERAGE)
    return {each.trial: each.prediction for each in found}


def resolve_reference_point(
    Y: Tensor,
    steps: Sequence[Step],
    optimization_config: OptimizationConfig,
    reference: Mapping[str, float] | None = None,
) -> tuple[Tensor | None, str]:
    """Return utilities `[m]` behind which nothing counts, and where they are from.

    Args:
        Y: `[t, k]` outcomes so far; asked where no step has logged a reference.
        steps: All, of which the last one with a reference counts.
        optimization_config: Of the campaign.
        reference: Raw values of all objectives, instead.

    Returns:
        None while nothing is known of an objective.

    Raises:
        InputError: what is wanted does not name the objectives, or has no logarithm.
    """
    names = [part.name for part in optimization_config.objectives]
    if reference is not None:
        if set(reference) != set(names):
            condition = "name every objective"
            found = ", ".join(sorted(reference)) or "none"
            way_out = f"They are {', '.join(names)}."
            raise InputError(error_message("reference", condition, found, way_out))
        there = [optimization_config.transform(name, reference[name]) for name in names]
        for name, value in zip(names, there, strict=True):
            if value != value:
                condition = f"have a place on the scale of {name!r}"
                raise InputError(error_message("reference", condition, reference[name]))
        return _to_utilities(there, optimization_config), "given"
    for step in reversed(steps):
        logged = [step.hyperparameters.get(f"{REFERENCE_PREFIX}{name}") for name in names]
        if None not in logged:
            return _to_utilities(
                [x for x in logged if x is not None], optimization_config
            ), "a step"
    if not _has_values(Y, optimization_config):
        return None, ""
    return infer_reference_point(Y, optimization_config), "the data"


def _has_values(Y: Tensor, optimization_config: OptimizationConfig) -> bool:
    """Return whether there is a value, or a reference, of every objective."""
    return all(
        part.reference is not None or bool(Y[:, i].isfinite().any())
        for i, part in enumerate(optimization_config.objectives)
    )


def _to_utilities(outcomes: Sequence[float], optimization_config: OptimizationConfig) -> Tensor:
    signs = [part.sign for part in optimization_config.objectives]
    pairs = zip(outcomes, signs, strict=True)
    return torch.tensor([y * sign for y, sign in pairs], dtype=torch.float64)


def _to_raw(point: Tensor | None, optimization_config: OptimizationConfig) -> dict[str, float]:
    if point is None:
        return {}
    found = {}
    for part, utility in zip(optimization_config.objectives, point.tolist(), strict=True):
        value = part.sign * utility
        found[part.name] = 10.0**value if part.log else value
    return found
