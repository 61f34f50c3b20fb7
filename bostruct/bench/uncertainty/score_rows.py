"""One line of the tables: a method, a set, a quantity."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, final

from bostruct.bench.uncertainty.method_predictions import FORCES, MILLI, UNITS, Outcome
from bostruct.bench.uncertainty.scores import Scores, score
from bostruct.bench.uncertainty.split import CALIBRATE, TEST

HONEST = {True: (0.8, 1.25), False: (0.5, 2.0)}
"""Mean zeta² after calibration that passes, in domain and on a shifted set: there, a σ
that is right to a factor √2 is worth having."""

HONESTY = "honest"


@final
@dataclass(frozen=True)
class Row:
    """One method on one set.

    Attributes:
        method: Its name.
        place: The set: "test" is in domain, all others are shifted.
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
    place: str
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
    def shifted(self) -> bool:
        """Whether the set is not one of the data that were dealt out."""
        return self.place != TEST

    @property
    def scored(self) -> bool:
        """Whether there are variances to be judged."""
        return self.scores is not None

    def flat(self) -> dict[str, Any]:
        """Return every number by name, None where there is none."""
        own = asdict(self)
        found = own.pop("scores") or {field.name: None for field in fields(Scores)}
        return own | found | {"rmse": self.rmse}


def row(
    outcome: Outcome, place: str, quantity: str, cheapest: float, seed: int = 0
) -> Row | None:
    """Return the line of one method, or None where it has nothing to say.

    Args:
        outcome: What the method said.
        place: The set.
        quantity: "energy" or "forces".
        cheapest: CPU seconds that the fastest method takes for one structure.
        seed: Of the split.
    """
    part = outcome.parts.get((place, quantity))
    scores = None
    rmse = outcome.force_rmse.get(place) if quantity == FORCES else None
    if part is not None:
        scores = score(outcome.parts[CALIBRATE, quantity], part)
        rmse = scores.rmse
    if rmse is None or not outcome.parts:
        return None
    seconds, unit = outcome.predict, cheapest
    if quantity == FORCES and outcome.force_predict is not None:
        seconds, unit = outcome.force_predict, outcome.predict
    return Row(
        method=outcome.method,
        place=place,
        quantity=quantity,
        unit=UNITS[quantity],
        seed=seed,
        rmse=rmse,
        verdict="" if scores is None else verdict(scores.z2, place),
        fit_seconds=outcome.fit,
        predict_ms=MILLI * seconds,
        cost=seconds / unit if unit > 0 else 1.0,
        scores=scores,
    )


def verdict(z2: float, place: str) -> str:
    """Return in a word what mean zeta² after calibration says.

    Args:
        z2: 1.
        place: The set.
    """
    low, high = HONEST[place == TEST]
    if z2 > high:
        return "overconfident"
    return "cautious" if z2 < low else HONESTY
