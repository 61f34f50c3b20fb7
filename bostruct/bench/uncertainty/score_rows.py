"""Scores of one method on one set and quantity, as a row of a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, final

from bostruct.bench.uncertainty.method_predictions import FORCES, MILLI, UNITS, MethodPredictions
from bostruct.bench.uncertainty.scores import Scores, compute_scores
from bostruct.bench.uncertainty.split import CALIBRATE, TEST

CALIBRATED_RANGE = {True: (0.8, 1.25), False: (0.5, 2.0)}
"""Range of mean z² after calibration of a calibrated method, in domain and on a shifted set, where
σ may be wrong by a factor of √2."""

CALIBRATED = "calibrated"


@final
@dataclass(frozen=True)
class ScoreRow:
    """Scores of one method on one set and quantity.

    Attributes:
        method: Name of the method.
        dataset: Name of the set: "test" is in domain, all others are shifted.
        quantity: "energy" or "forces".
        unit: Unit of errors and standard deviations.
        seed: Random seed of the split.
        rmse: Root mean squared error.
        verdict: "calibrated" where mean z² after calibration lies in `CALIBRATED_RANGE`,
            "overconfident" above, "underconfident" below, "" without variances.
        fit_seconds: CPU time of the fit, s.
        predict_ms: CPU time per test structure with the variances of this quantity, ms.
        cost: CPU time in units of the cheapest method; for forces, in units of the same method
            without their variances.
        scores: Scores of the variances; None where the method has none of this quantity.
    """

    method: str
    dataset: str
    quantity: str
    unit: str
    seed: int
    rmse: float
    verdict: str
    fit_seconds: float
    predict_ms: float
    cost: float
    scores: Scores | None

    @property
    def is_shifted(self) -> bool:
        """True for a set from another distribution than the training set."""
        return self.dataset != TEST

    @property
    def has_scores(self) -> bool:
        """True if the method has variances of this quantity."""
        return self.scores is not None

    def to_dict(self) -> dict[str, Any]:
        """Return all values by name, None where there is none."""
        values = asdict(self)
        scores = values.pop("scores") or {field.name: None for field in fields(Scores)}
        return values | scores | {"rmse": self.rmse}


def score_row(
    predictions: MethodPredictions,
    dataset: str,
    quantity: str,
    min_predict_seconds: float,
    seed: int = 0,
) -> ScoreRow | None:
    """Return the scores of one method, None where it has no prediction.

    Args:
        predictions: Predictions of the method.
        dataset: Name of the set.
        quantity: "energy" or "forces".
        min_predict_seconds: CPU time per structure of the fastest method, s.
        seed: Random seed of the split.
    """
    residuals = predictions.set_residuals.get((dataset, quantity))
    scores = None
    rmse = predictions.force_rmse.get(dataset) if quantity == FORCES else None
    if residuals is not None:
        scores = compute_scores(predictions.set_residuals[CALIBRATE, quantity], residuals)
        rmse = scores.rmse
    if rmse is None or not predictions.set_residuals:
        return None
    seconds, unit = predictions.predict_seconds, min_predict_seconds
    if quantity == FORCES and predictions.force_predict_seconds is not None:
        seconds, unit = predictions.force_predict_seconds, predictions.predict_seconds
    return ScoreRow(
        method=predictions.method,
        dataset=dataset,
        quantity=quantity,
        unit=UNITS[quantity],
        seed=seed,
        rmse=rmse,
        verdict="" if scores is None else calibration_verdict(scores.z2, dataset),
        fit_seconds=predictions.fit_seconds,
        predict_ms=MILLI * seconds,
        cost=seconds / unit if unit > 0 else 1.0,
        scores=scores,
    )


def calibration_verdict(z2: float, dataset: str) -> str:
    """Return "calibrated", "overconfident" or "underconfident".

    Args:
        z2: Mean z² after calibration.
        dataset: Name of the set.
    """
    low, high = CALIBRATED_RANGE[dataset == TEST]
    if z2 > high:
        return "overconfident"
    return "underconfident" if z2 < low else CALIBRATED
