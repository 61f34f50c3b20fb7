"""Calibration of the predictions of one outcome, with the coverage of their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from bostruct.campaign.analysis.calibration import OnlineCalibration, wilson_interval
from bostruct.campaign.analysis.predictions import LoggedPrediction
from bostruct.campaign.analysis.recalibration import NO_RECALIBRATION, Recalibration

STATED_SHARES = (0.5, 0.9, 0.95)
"""Probabilities of the intervals of what the search states that are counted."""


@final
@dataclass(frozen=True)
class CalibrationSummary:
    """Calibration of the predictions so far.

    Attributes:
        n_predictions: Number of predictions that were tested.
        mean_z2: Mean z², 1 where σ is right; None without predictions.
        bias: Mean z.
        coverage_1sigma: Fraction of the errors within 1 σ, and its 95 % interval.
        coverage_2sigma: Fraction of the errors within 2 σ, and its 95 % interval.
        alpha: Calibrated factor on σ; None before there are enough predictions.
        alpha_interval: 90 % confidence interval of alpha.
        n_recent: Number of the most recent predictions that alpha and the quantile rest on.
        sigma_factor: Factor on σ in use.
        conformal_quantile: Half width of the 90 % intervals in σ; None while it is infinite.
        n_intervals: Number of conformal intervals that were tested.
        n_covered: Number of those that covered the result.
        coverage_interval: 95 % interval of the fraction covered; None without intervals.
        notes: Sentences on what is still missing.
        recalibration: Shift and scale with which the search states its next predictions.
        stated_coverage: Fractions of the energies within the 50, 90 and 95 % of what was stated
            before; None without predictions.
    """

    n_predictions: int
    mean_z2: float | None
    bias: float | None
    coverage_1sigma: tuple[float, float, float] | None
    coverage_2sigma: tuple[float, float, float] | None
    alpha: float | None
    alpha_interval: tuple[float, float] | None
    n_recent: int
    sigma_factor: float
    conformal_quantile: float | None
    n_intervals: int
    n_covered: int
    coverage_interval: tuple[float, float] | None
    notes: tuple[str, ...]
    recalibration: Recalibration = NO_RECALIBRATION
    stated_coverage: tuple[float, float, float] | None = None

    @classmethod
    def from_predictions(
        cls, calibration: OnlineCalibration, predictions: Sequence[LoggedPrediction] = ()
    ) -> CalibrationSummary:
        """Return the summary of a calibration and of the predictions it came from."""
        quantile = calibration.quantile()
        covered = [p.covered for p in predictions if p.covered is not None]
        return cls(
            n_predictions=calibration.n,
            mean_z2=calibration.mean_z2,
            bias=calibration.bias,
            coverage_1sigma=calibration.coverage(1.0),
            coverage_2sigma=calibration.coverage(2.0),
            alpha=calibration.alpha,
            alpha_interval=calibration.alpha_interval,
            n_recent=len(calibration.recent_z),
            sigma_factor=calibration.sigma_factor,
            conformal_quantile=quantile if math.isfinite(quantile) else None,
            n_intervals=len(covered),
            n_covered=sum(covered),
            coverage_interval=wilson_interval(sum(covered), len(covered)) if covered else None,
            notes=calibration.notes,
            recalibration=calibration.recalibration,
            stated_coverage=_stated_coverage(predictions),
        )

    @property
    def factor_text(self) -> str:
        """Factor on σ with its interval and its evidence, as far as they are known."""
        text, n = f"σ × {self.sigma_factor:.2f}", self.n_predictions
        if self.alpha_interval is None:
            return text
        low, high = self.alpha_interval
        which = f"{n}" if self.n_recent == n else f"the last {self.n_recent} of {n}"
        return f"{text} (90 %: {low:.2f} to {high:.2f}) by {which} predictions"

    @property
    def stated_text(self) -> str:
        """Sentence on what the search corrects, and how often it held; "" without predictions."""
        if self.stated_coverage is None:
            return ""
        shares = ", ".join(f"{share:.0%}" for share in self.stated_coverage)
        return (
            f"the search adds {self.recalibration.shift:+.2f} σ to its next means, and takes "
            f"σ × {self.recalibration.scale:.2f}; {shares} of what it stated so before "
            "held within its 50, 90, 95 %"
        )


def _stated_coverage(predictions: Sequence[LoggedPrediction]) -> tuple[float, float, float] | None:
    """Return the fractions of the energies within 50, 90 and 95 % of what was stated."""
    known = [p for p in predictions if p.stated_z is not None]
    if not known:
        return None
    half, most, nearly_all = (
        sum(bool(p.held(share)) for p in known) / len(known) for share in STATED_SHARES
    )
    return half, most, nearly_all
