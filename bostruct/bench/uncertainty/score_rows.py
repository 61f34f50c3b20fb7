"""One line of the tables: a method, a set, a quantity."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, final

from bostruct.bench.uncertainty.method_predictions import (
    FORCES,
    MILLI,
    UNITS,
    MethodPredictions,
)
from bostruct.bench.uncertainty.scores import Scores, compute_scores
from bostruct.bench.uncertainty.split import CALIBRATE, TEST

CALIBRATED_RANGE = {True: (0.8, 1.25), False: (0.5, 2.0)}
"""Mean zeta² after calibration that passes, in domain and on a shifted set: there, a σ
that is right to a factor √2 is worth having."""

CALIBRATED = "honest"


@final
@dataclass(frozen=True)
class ScoreRow:
    """One method on one set.

    Attributes:
        method: Its name.
        dataset: The set: "test" is in domain, all others are shifted.
        quantity: "energy" or "forces".
        unit: Of the errors and deviations.
        seed: Of the split.
        rmse: Root mean squared error.
        verdict: "honest" where mean zeta² after calibration lies in `HONEST`,
            "overconfident" above, "cautious" below, "" without variances.
        fit_seconds: CPU time of the fit.
        predict_ms: CPU time of one structure of the test set, with the variances of
            this quantity, ms.
        cost: The same in units of the cheapest method; of forces, in units of what the
            method takes without their variances.
        scores: None where the method has no variances of this quantity.
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
        """Whether the set is not one of the data that were dealt out."""
        return self.dataset != TEST

    @property
    def has_scores(self) -> bool:
        """Whether there are variances to be judged."""
        return self.scores is not None

    def to_dict(self) -> dict[str, Any]:
        """Return every number by name, None where there is none."""
        own = asdict(self)
        found = own.pop("scores") or {field.name: None for field in fields(Scores)}
        return own | found | {"rmse": self.rmse}


def score_row(
    predictions: MethodPredictions,
    dataset: str,
    quantity: str,
    min_predict_seconds: float,
    seed: int = 0,
) -> ScoreRow | None:
    """Return the line of one method, or None where it has nothing to say.

    Args:
        predictions: What the method said.
        dataset: The set.
        quantity: "energy" or "forces".
        min_predict_seconds: CPU seconds that the fastest method takes for one structure.
        seed: Of the split.
    """
    part = predictions.set_residuals.get((dataset, quantity))
    scores = None
    rmse = predictions.force_rmse.get(dataset) if quantity == FORCES else None
    if part is not None:
        scores = compute_scores(predictions.set_residuals[CALIBRATE, quantity], part)
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
    """Return in a word what mean zeta² after calibration says.

    Args:
        z2: 1.
        dataset: The set.
    """
    low, high = CALIBRATED_RANGE[dataset == TEST]
    if z2 > high:
        return "overconfident"
    return "cautious" if z2 < low else CALIBRATED
