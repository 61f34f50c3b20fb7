"""Trials of a campaign as the rows that the figures, tables and tooltips of a report share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from bostruct.campaign.analysis.predictions import LoggedPrediction
from bostruct.campaign.energy_above_hull import SystemHull, believed_enthalpy, trial_ranks
from bostruct.campaign.enthalpy import PRESSURE_ENERGY
from bostruct.campaign.log.malformed_log import reads_log
from bostruct.campaign.log.reader import Log
from bostruct.campaign.records import Trial
from bostruct.campaign.report.hull_summary import trial_formulas_of_space
from bostruct.campaign.report.labels import axis_label


@final
@dataclass(frozen=True)
class ReportTrial:
    """One trial of a report.

    Attributes:
        number: Number of the trial.
        evaluation: Number of the evaluation, from 1; None of initial data and without a result.
        step: Number of the step.
        state: State of the trial, as in `Trial`; "doubted" of a result that is doubted.
        generator: Name of the generator that proposed the structure.
        name: Name or formula of the structure where they differ, else "".
        rank: Number that is lower where the trial is better; infinite without a result.
        value: Quantity that the report shows and colors; None where it is unknown.
        energy: Energy, eV; None where it is unknown or doubted.
        mean: Predicted energy before the evaluation, eV; None without one.
        sigma: Standard deviation of the prediction, calibrated by the results before, eV.
        acquisition: Acquisition value at the selection; None without one.
        seconds: Wall time of the evaluation.
        reason: Cause of a failure, a retraction or a doubt; "" without one.
        outcomes: Trusted outcomes by label; empty without objectives.
        is_on_front: True for a structure on the Pareto front.
    """

    number: int
    evaluation: int | None
    step: int
    state: str
    generator: str
    name: str = ""
    rank: float = math.inf
    value: float | None = None
    energy: float | None = None
    mean: float | None = None
    sigma: float | None = None
    acquisition: float | None = None
    seconds: float = 0.0
    reason: str = ""
    outcomes: Mapping[str, float] = field(default_factory=dict)
    is_on_front: bool = False


@final
@dataclass(frozen=True)
class ReportTrials:
    """All trials of a report.

    Attributes:
        trials: Trials in the order of their numbers.
        quantity: Label of the quantity of `ReportTrial.value`, with its unit.
        larger_is_better: True if the largest value is the best one.
        has_zero: True if the zero of the value means something: energies have none.
    """

    trials: tuple[ReportTrial, ...]
    quantity: str = "energy (eV)"
    larger_is_better: bool = False
    has_zero: bool = False

    @property
    def origin(self) -> float:
        """Value that figures and lists subtract: the lowest of energies, 0.0 of what has a zero."""
        values = [trial.value for trial in self.trials if trial.value is not None]
        return 0.0 if self.has_zero or not values else min(values)

    @property
    def relative_quantity(self) -> str:
        """Label of a value less the `origin`, with its unit."""
        if self.has_zero:
            return self.quantity
        return self.quantity.replace(" (", " above the lowest (", 1)

    @property
    def ranked(self) -> list[ReportTrial]:
        """Trials with a value, the best first; those on the front before the others."""
        known = [trial for trial in self.trials if trial.value is not None]
        return sorted(known, key=lambda t: (not t.is_on_front, t.rank, t.number))


@reads_log
def read_report_trials(log: Log) -> ReportTrials:
    """Return the trials of a log.

    Args:
        log: Log, opened with its space for names and energies above a hull.
    """
    if log.optimization_config is None:
        return _energy_trials(log)
    return _outcome_trials(log)


def _energy_trials(log: Log) -> ReportTrials:
    trials = log.trial_records()
    hull = SystemHull.from_log(log)
    ranks = trial_ranks(trials, hull)
    logged = {prediction.trial: prediction for prediction in log.predictions()}
    names = {trial.number: trial.member for trial in trials if trial.member}
    names |= trial_formulas_of_space(log.space, trials)
    quantity = "energy (eV)"
    if hull is not None:
        quantity = "energy above the hull (eV/atom)"
    elif any(PRESSURE_ENERGY in trial.properties for trial in trials):
        quantity = "enthalpy (eV)"
    rows, count = [], 0
    for trial, rank in zip(trials, ranks, strict=True):
        is_evaluated = trial.is_finished and not trial.is_initial_data
        count += is_evaluated
        mean, sigma = _prediction_values(logged.get(trial.number))
        rows.append(
            ReportTrial(
                number=trial.number,
                evaluation=count if is_evaluated else None,
                step=trial.step,
                state="doubted" if trial.doubt else trial.state,
                generator=trial.generator,
                name=names.get(trial.number, ""),
                rank=rank,
                value=_value(trial, hull),
                energy=None if trial.doubt else trial.energy,
                mean=mean,
                sigma=sigma,
                acquisition=trial.acquisition,
                seconds=trial.seconds,
                reason=trial.reason or trial.doubt,
            )
        )
    return ReportTrials(tuple(rows), quantity, has_zero=hull is not None)


def _value(trial: Trial, hull: SystemHull | None) -> float | None:
    """Return the enthalpy of a trial, or its energy above a hull that is complete."""
    if hull is None:
        value = believed_enthalpy(trial)
    else:
        value = hull.energy_above(trial) if hull.is_complete else math.inf
    return value if math.isfinite(value) else None


def _outcome_trials(log: Log) -> ReportTrials:
    config = log.optimization_config
    assert config is not None
    front = log.pareto_front()
    points = {point.trial: point for point in front.evaluated}
    first = config.objectives[0]
    rows = []
    for trial in log.trial_records():
        point = points.get(trial.number)
        raw = {} if point is None else point.raw_outcomes
        value = raw.get(first.name) if trial.is_known else None
        outcomes = {axis_label(n, config): v for n, v in raw.items() if v is not None}
        rows.append(
            ReportTrial(
                number=trial.number,
                evaluation=None if point is None else point.evaluation,
                step=trial.step,
                state="doubted" if trial.doubt else trial.state,
                generator=trial.generator,
                name=trial.member,
                rank=math.inf if value is None else -first.sign * value,
                value=value,
                energy=None if trial.doubt else trial.energy,
                acquisition=trial.acquisition,
                seconds=trial.seconds,
                reason=trial.reason or trial.doubt,
                outcomes=outcomes,
                is_on_front=point is not None and point.is_non_dominated,
            )
        )
    return ReportTrials(tuple(rows), axis_label(first.name, config), first.sign > 0, True)


def _prediction_values(logged: LoggedPrediction | None) -> tuple[float | None, float | None]:
    if logged is None:
        return None, None
    return logged.prediction.mean, logged.prediction.calibrated_sigma
