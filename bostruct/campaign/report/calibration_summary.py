"""Calibration of the predictions of one outcome, with the coverage of their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import scipy

from bostruct.campaign.analysis.calibration import OnlineCalibration
from bostruct.campaign.analysis.predictions import LoggedPrediction


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
            coverage_interval=(
                tuple(
                    scipy.stats.binomtest(sum(covered), len(covered)).proportion_ci(method="wilson")
                )
                if covered
                else None
            ),
            notes=calibration.notes,
        )
