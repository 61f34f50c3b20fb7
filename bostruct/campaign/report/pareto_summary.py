"""Summary of the Pareto front of a campaign with objectives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from bostruct.campaign.analysis.calibration import CalibratedPrediction
from bostruct.campaign.analysis.hypervolume_history import HypervolumeHistory
from bostruct.campaign.analysis.outcome_table import QuarantinedValue
from bostruct.campaign.analysis.pareto_front import EvaluatedPoint, ParetoFront
from bostruct.campaign.records import Trial
from bostruct.campaign.report.calibration_summary import CalibrationSummary
from bostruct.objectives import OptimizationConfig


@final
@dataclass(frozen=True)
class FrontStructure:
    """Structure on the Pareto front.

    Attributes:
        point: Outcomes and predictions of the structure.
        formula: Chemical formula, "" if unknown.
        energy_above_hull: Energy above the convex hull, eV/atom; None if unknown.
    """

    point: EvaluatedPoint
    formula: str
    energy_above_hull: float | None


@final
@dataclass(frozen=True)
class OutcomeSummary:
    """Prediction and result of one outcome of a trial, both in outcome space.

    Attributes:
        prediction: Prediction before the evaluation; None without one.
        is_exact: True if the space knows the outcome exactly.
        value: Result; None where it is unknown or not trusted.
    """

    prediction: CalibratedPrediction | None
    is_exact: bool
    value: float | None


@final
@dataclass(frozen=True)
class ParetoSummary:
    """Pareto front with its history and the calibration of each learned outcome.

    Attributes:
        optimization_config: Objectives and constraints.
        structures: Structures on the front, the best of the first objective first.
        hypervolume: Hypervolume in the product of the units of outcome space.
        reference_point: Raw values of the objectives; empty while no result is known.
        reference_source: Origin of the reference point, as in `ParetoFront`.
        history: Hypervolume, size of the front and feasible structures after each evaluation.
        n_feasible: Number of feasible structures.
        feasible_fraction: Fraction of the evaluations; None before the first.
        quarantined: Values that are kept and not trusted.
        calibration: Calibration by learned outcome.
    """

    optimization_config: OptimizationConfig
    structures: tuple[FrontStructure, ...]
    hypervolume: float
    reference_point: Mapping[str, float]
    reference_source: str
    history: HypervolumeHistory
    n_feasible: int
    feasible_fraction: float | None
    quarantined: tuple[QuarantinedValue, ...]
    calibration: Mapping[str, CalibrationSummary] = field(default_factory=dict)

    @classmethod
    def from_front(
        cls,
        front: ParetoFront,
        formulas: Mapping[int, str],
        e_above_hull: Mapping[int, float],
        calibration: Mapping[str, CalibrationSummary] | None = None,
    ) -> ParetoSummary:
        """Return the summary of a front.

        Args:
            front: Pareto front of a log.
            formulas: Chemical formulas by trial.
            e_above_hull: Energies above the hull by trial, eV/atom; empty where unknown.
            calibration: Calibration by learned outcome.
        """
        history = front.history
        n_feasible = history.n_feasible[-1] if len(history) else 0
        return cls(
            optimization_config=front.optimization_config,
            structures=tuple(
                FrontStructure(p, formulas.get(p.trial, ""), e_above_hull.get(p.trial))
                for p in front.points
            ),
            hypervolume=front.hypervolume,
            reference_point=front.reference_point,
            reference_source=front.reference_source,
            history=history,
            n_feasible=n_feasible,
            feasible_fraction=n_feasible / len(history) if len(history) else None,
            quarantined=front.quarantined,
            calibration=calibration or {},
        )


def summarize_outcomes(
    trial: Trial, optimization_config: OptimizationConfig, point: EvaluatedPoint | None
) -> dict[str, OutcomeSummary]:
    """Return prediction and result of each outcome of a trial by name.

    Args:
        trial: Trial of the log.
        optimization_config: Objectives and constraints of the campaign.
        point: Point of the trial; None while it is not evaluated.
    """
    logged = {outcome.name: outcome for outcome in trial.outcome_predictions}
    summaries = {}
    for name in optimization_config.outcome_names:
        raw = None if point is None else point.raw_outcomes[name]
        value = None if raw is None else optimization_config.transform(name, raw)
        prediction = None if point is None else point.predictions.get(name)
        is_exact = name in logged and logged[name].is_exact
        if prediction is None and name in logged and not is_exact:
            sigma = logged[name].predictive_variance ** 0.5
            prediction = CalibratedPrediction(logged[name].mean, sigma, sigma, None, None)
        summaries[name] = OutcomeSummary(prediction, is_exact, value)
    return summaries
