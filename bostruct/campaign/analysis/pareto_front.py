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

from bostruct.campaign.analysis.calibration import EPS, Expected, scores
from bostruct.campaign.analysis.hypervolume_history import REFERENCE, Series, good
from bostruct.campaign.analysis.outcome_table import Doubted, alone, doubted, table
from bostruct.campaign.analysis.predictions import foretold
from bostruct.campaign.records import Step, Trial
from bostruct.errors import InputError, must
from bostruct.objectives import Goals, front, reference_point


@final
@dataclass(frozen=True)
class Point:
    """One structure that was evaluated, as the goals see it.

    Attributes:
        trial: Its number.
        evaluation: Counted from 1; None if it came with its outcomes.
        step: That asked for it.
        origin: The generator that proposed it.
        state: done, failed or retracted.
        raw: What is known and believed of its outcomes, in their units, in the order
            of the goals; None where nothing is.
        exact: The outcomes that the space knew beforehand.
        foretold: What was predicted of the others before, in outcome space.
        feasible: Whether all is known and every bound is kept.
        best: Whether it is on the front.
    """

    trial: int
    evaluation: int | None
    step: int
    origin: str
    state: str
    raw: Mapping[str, float | None]
    exact: frozenset[str]
    foretold: Mapping[str, Expected]
    feasible: bool
    best: bool


@final
@dataclass(frozen=True)
class Front:
    """The front of a campaign, and how it came about.

    Attributes:
        goals: What is wanted.
        evaluated: All that was evaluated, in the order asked for.
        reference: Raw values of the objectives behind which nothing counts; empty
            while nothing is known.
        source: Where the reference is from: "given", "a step" or "the data".
        series: Hypervolume, size and feasible structures after each evaluation, all
            under this reference.
        doubted: What is kept and not believed, with the reasons.
    """

    goals: Goals
    evaluated: tuple[Point, ...]
    reference: Mapping[str, float]
    source: str
    series: Series
    doubted: tuple[Doubted, ...]

    @property
    def points(self) -> tuple[Point, ...]:
        """Those on the front, the best of the first objective first."""
        first = self.goals.objectives[0]
        found = [point for point in self.evaluated if point.best]

        def place(point: Point) -> tuple[float, int]:
            value = point.raw[first.name]
            assert value is not None
            return -first.sign * value, point.trial

        return tuple(sorted(found, key=place))

    @property
    def hypervolume(self) -> float:
        """Now, in the product of the units of outcome space; 0.0 without a front."""
        return self.series.hypervolume[-1] if len(self.series) else 0.0

    @property
    def learnt(self) -> tuple[str, ...]:
        """The outcomes that only an evaluation tells."""
        sure = {name for point in self.evaluated for name in point.exact}
        return tuple(name for name in self.goals.names if name not in sure)

    @classmethod
    def of(
        cls,
        trials: Sequence[Trial],
        told: Sequence[Trial],
        steps: Sequence[Step],
        goals: Goals,
        reference: Mapping[str, float] | None = None,
    ) -> Front:
        """Return the front of a log.

        Args:
            trials: All, in the order asked for.
            told: The same, as they were before any was retracted.
            steps: All.
            goals: Of the campaign.
            reference: Raw values of all objectives; None takes those of the last step.

        Raises:
            InputError: the reference does not name the objectives, or has no logarithm.
        """
        finished = [trial for trial in trials if trial.finished]
        Y = table(finished, goals)
        point, source = bound(Y, steps, goals, reference)
        best = set(front(Y, goals).tolist())
        sound = good(Y, goals).tolist()
        raw = goals.raw(Y).tolist()
        known = {name: _foretold(told, steps, goals, name) for name in goals.names}
        points = []
        count = 0
        for i, trial in enumerate(finished):
            count += not trial.given
            values = zip(goals.names, raw[i], strict=True)
            points.append(
                Point(
                    trial=trial.number,
                    evaluation=None if trial.given else count,
                    step=trial.step,
                    origin=trial.origin,
                    state=trial.state,
                    raw={n: None if v != v else v for n, v in values},
                    exact=frozenset(each.name for each in trial.said if each.exact),
                    foretold={
                        name: found[trial.number]
                        for name, found in known.items()
                        if trial.number in found
                    },
                    feasible=sound[i],
                    best=i in best,
                )
            )
        return cls(
            goals=goals,
            evaluated=tuple(points),
            reference=_raw(point, goals),
            source=source,
            series=Series.of(finished, goals, point),
            doubted=tuple(doubted(trials, goals)),
        )

    def description(self) -> dict[str, Any]:
        """Return the front and how it grew, ready for JSON."""
        return {
            "hypervolume": self.hypervolume,
            "reference": dict(self.reference),
            "reference_from": self.source,
            "points": [
                {
                    "trial": point.trial,
                    "evaluation": point.evaluation,
                    "step": point.step,
                    "origin": point.origin,
                    "outcomes": dict(point.raw),
                    "exact": sorted(point.exact),
                    "foretold": {
                        name: {
                            "mean": each.mean,
                            "sigma": each.sigma,
                            "calibrated": each.calibrated,
                            "low": each.low,
                            "high": each.high,
                        }
                        for name, each in point.foretold.items()
                    },
                }
                for point in self.points
            ],
            "series": {
                "hypervolume": list(self.series.hypervolume),
                "front": list(self.series.front),
                "feasible": list(self.series.feasible),
            },
        }


def _foretold(
    told: Sequence[Trial], steps: Sequence[Step], goals: Goals, name: str
) -> dict[int, Expected]:
    trials = alone(told, goals, name)
    found = foretold(trials, steps, scores(trials), EPS)
    return {each.trial: each.expected for each in found}


def bound(
    Y: Tensor,
    steps: Sequence[Step],
    goals: Goals,
    wanted: Mapping[str, float] | None = None,
) -> tuple[Tensor | None, str]:
    """Return utilities `[m]` behind which nothing counts, and where they are from.

    Args:
        Y: `[t, k]` outcomes so far; asked where no step has logged a reference.
        steps: All, of which the last one with a reference counts.
        goals: Of the campaign.
        wanted: Raw values of all objectives, instead.

    Returns:
        None while nothing is known of an objective.

    Raises:
        InputError: what is wanted does not name the objectives, or has no logarithm.
    """
    names = [part.name for part in goals.objectives]
    if wanted is not None:
        if set(wanted) != set(names):
            condition = "name every objective"
            found = ", ".join(sorted(wanted)) or "none"
            way_out = f"They are {', '.join(names)}."
            raise InputError(must("reference", condition, found, way_out))
        there = [goals.outcome(name, wanted[name]) for name in names]
        for name, value in zip(names, there, strict=True):
            if value != value:
                condition = f"have a place on the scale of {name!r}"
                raise InputError(must("reference", condition, wanted[name]))
        return _utilities(there, goals), "given"
    for step in reversed(steps):
        logged = [step.hyperparameters.get(f"{REFERENCE}{name}") for name in names]
        if None not in logged:
            return _utilities([x for x in logged if x is not None], goals), "a step"
    if not _anything(Y, goals):
        return None, ""
    return reference_point(Y, goals), "the data"


def _anything(Y: Tensor, goals: Goals) -> bool:
    """Return whether there is a value, or a reference, of every objective."""
    return all(
        part.reference is not None or bool(Y[:, i].isfinite().any())
        for i, part in enumerate(goals.objectives)
    )


def _utilities(outcomes: Sequence[float], goals: Goals) -> Tensor:
    signs = [part.sign for part in goals.objectives]
    pairs = zip(outcomes, signs, strict=True)
    return torch.tensor([y * sign for y, sign in pairs], dtype=torch.float64)


def _raw(point: Tensor | None, goals: Goals) -> dict[str, float]:
    if point is None:
        return {}
    found = {}
    for part, utility in zip(goals.objectives, point.tolist(), strict=True):
        value = part.sign * utility
        found[part.name] = 10.0**value if part.log else value
    return found
