"""Recalibration of variances by isotonic regression.

For models whose error bars rank the errors correctly but are wrong by a factor that depends on
their size; section 2.4.2 of Grasselli et al., Digital Discovery 4, 2654 (2025).

Notation
    e   [n]  target unit   truth minus mean, on data left out of the fit
    s2  [n]  its square    predicted variance
"""

from __future__ import annotations

from bostruct.runtime import botorch_import as botorch_import

# isort: split

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from scipy.optimize import isotonic_regression
from torch import Tensor

from bostruct.errors import InputError, check_count, error_message
from bostruct.uncertainty.calibration.residuals import ArrayLike, Residuals, as_positive_tensor
from bostruct.uncertainty.calibration.scaling import MIN_POINTS
from bostruct.uncertainty.calibration.serialization import JsonSerializable


@final
@dataclass(frozen=True, eq=False)
class MonotonicCalibration(JsonSerializable):
    """Non-decreasing map from predicted to expected variance.

    Between knots it is linear in the logarithms; beyond the outermost knots it keeps their ratio,
    so the variance of a structure far from all data keeps growing.

    Attributes:
        predicted_variance: `[k]` target unit squared, mean predicted variances, ascending.
        mean_squared_error: `[k]` target unit squared, mean squared errors, not descending.
        n_points: number of calibration points.
        residuals_hash: hash of the residuals of the fit.
    """

    predicted_variance: Tensor
    mean_squared_error: Tensor
    n_points: int
    residuals_hash: str = ""

    def calibrated_variance(self, variance: ArrayLike) -> Tensor:
        """Return calibrated variances, of the shape given, target unit squared.

        Raises:
            InputError: an entry is zero, negative or not finite.
        """
        s2 = as_positive_tensor("variance", variance)
        x = self.predicted_variance.log().to(s2.device)
        y = self.mean_squared_error.log().to(s2.device)
        log_s2 = s2.log()
        inside = log_s2.clamp(float(x[0]), float(x[-1]))
        right = torch.searchsorted(x, inside).clamp(1, len(x) - 1)
        fraction = (inside - x[right - 1]) / (x[right] - x[right - 1])
        value = y[right - 1] + fraction * (y[right] - y[right - 1])
        return (value + log_s2 - inside).exp()


def fit_isotonic(residuals: Residuals, *, n_bins: int | None = None) -> MonotonicCalibration:
    """Return the non-decreasing map from predicted variance to mean squared error.

    Local calibration after (26): the points are sorted by s2 and cut into bins of equal count, and
    the mean squared errors are fitted by isotonic least squares. Points are binned first, since
    the smallest single errors would otherwise form a step of their own.

    Args:
        residuals: `[n]` residuals.
        n_bins: number of bins; by default n / 20, at least 2 and at most 20.

    Raises:
        InputError: fewer than 16 points, fewer than 8 in a bin, one variance for all, or errors
            that are all zero in a bin.
        ShapeError: residuals with batches.
    """
    residuals.check_unbatched()
    n = residuals.n_points
    if n < 2 * MIN_POINTS:
        hint = "A single factor needs fewer: see `calibrate`."
        raise InputError(
            error_message("residuals", f"hold at least {2 * MIN_POINTS} points", n, hint)
        )
    count = max(2, min(20, n // 20)) if n_bins is None else n_bins
    check_count("n_bins", count, 2)
    if n // count < MIN_POINTS:
        condition = f"leave at least {MIN_POINTS} of {n} points to a bin"
        raise InputError(error_message("n_bins", condition, count))
    order = residuals.variance.argsort(stable=True)
    bins = [residuals.subset(index) for index in order.tensor_split(count)]
    predicted = torch.stack([points.variance.mean() for points in bins])
    squared = torch.stack([points.error.square().mean() for points in bins])
    weights = np.array([points.n_points for points in bins], dtype=float)
    fit = isotonic_regression(squared.detach().cpu().numpy(), weights=weights)
    fitted = torch.as_tensor(fit.x.copy()).to(predicted)
    # Bins of tied variances would be steps without a width.
    knots, knot_index = torch.unique(predicted, return_inverse=True)
    if len(knots) < 2:
        hint = "Variances that are all the same take one factor: see `calibrate`."
        raise InputError(error_message("variance", "differ", float(knots[0]), hint))
    merged = fitted.new_zeros(len(knots)).index_add_(0, knot_index, fitted)
    merged = merged / torch.bincount(knot_index)
    if bool((merged <= 0).any()):
        hint = "Errors of zero carry no scale: are these held-out data?"
        raise InputError(error_message("error", "be non-zero in every bin", 0.0, hint))
    return MonotonicCalibration(knots, merged, n, residuals.hash)
