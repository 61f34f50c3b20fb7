"""Variances brought to the size of the errors by a map that never falls.

For models whose error bars rank the errors, but are wrong by a factor that depends on
their size; section 2.4.2 of Grasselli et al., Digital Discovery 4, 2654 (2025).

Notation
    e   [n]  target unit   truth minus mean, on data left out of the fit
    s2  [n]  its square    predicted variance
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from scipy.optimize import isotonic_regression
from torch import Tensor

from bostruct.errors import InputError, ShapeError, check_count, error_message
from bostruct.uncertainty.calibration.residuals import ArrayLike, Residuals, as_positive_tensor
from bostruct.uncertainty.calibration.scaling import MIN_POINTS, read_json_fields


@final
@dataclass(frozen=True, eq=False)
class MonotonicCalibration:
    """A map from predicted to expected variance that never falls.

    Between knots it is linear in the logarithms; beyond the outermost it keeps their
    ratio, so a structure far from all data keeps a variance that grows.

    Attributes:
        predicted_variance: `[k]` target unit squared, mean predicted variances, ascending.
        mean_squared_error: `[k]` target unit squared, mean squared errors, not descending.
        n_points: calibration points.
        residuals_hash: hash of the residuals it was found from.
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
        s2 = as_positive_tensor("calibrated_variance", variance)
        x, y = (
            self.predicted_variance.log().to(s2.device),
            self.mean_squared_error.log().to(s2.device),
        )
        at = s2.log()
        inside = at.clamp(float(x[0]), float(x[-1]))
        right = torch.searchsorted(x, inside).clamp(1, len(x) - 1)
        share = (inside - x[right - 1]) / (x[right] - x[right - 1])
        value = y[right - 1] + share * (y[right] - y[right - 1])
        return (value + at - inside).exp()

    def to_json(self) -> str:
        """Return all of it as JSON, to be stored beside the model."""
        lists = {
            name: getattr(self, name).tolist()
            for name in ("predicted_variance", "mean_squared_error")
        }
        return json.dumps(
            {
                "kind": "map",
                **lists,
                "n_points": self.n_points,
                "residuals_hash": self.residuals_hash,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> MonotonicCalibration:
        """Return what `to_json` wrote.

        Raises:
            InputError: it is something else.
        """
        found = read_json_fields(
            text, "map", ("predicted_variance", "mean_squared_error", "n_points", "residuals_hash")
        )
        for name in ("predicted_variance", "mean_squared_error"):
            found[name] = torch.tensor(found[name], dtype=torch.float64)
        return cls(**found)


def fit_isotonic(residuals: Residuals, *, n_bins: int | None = None) -> MonotonicCalibration:
    """Return the map from predicted variance to mean squared error that never falls.

    Local calibration after (26): the points are sorted by s2 and cut into bins of
    equal count, and the mean squared errors are fitted by isotonic least squares. Bins
    first, since the smallest single errors would otherwise form a step of their own.

    Args:
        residuals: `[n]` residuals.
        n_bins: default n / 20, at least 2 and at most 20.

    Raises:
        InputError: fewer than 16 points, fewer than 8 in a bin, one variance for all,
            or errors that are all zero in a bin.
        ShapeError: residuals with batches.
    """
    if residuals.error.dim() != 1:
        raise ShapeError(error_message("residuals", "have shape [n]", list(residuals.error.shape)))
    if residuals.n_points < 2 * MIN_POINTS:
        way_out = "A single factor needs fewer: see `calibrate`."
        condition = f"hold at least {2 * MIN_POINTS} points"
        raise InputError(error_message("residuals", condition, residuals.n_points, way_out))
    count = max(2, min(20, residuals.n_points // 20)) if n_bins is None else n_bins
    check_count("n_bins", count, 2)
    if residuals.n_points // count < MIN_POINTS:
        condition = f"leave at least {MIN_POINTS} of {residuals.n_points} points to a bin"
        raise InputError(error_message("n_bins", condition, count))
    order = residuals.variance.argsort(stable=True)
    parts = [residuals.subset(part) for part in order.tensor_split(count)]
    predicted = torch.stack([part.variance.mean() for part in parts])
    squared = torch.stack([part.error.square().mean() for part in parts])
    weights = np.array([part.n_points for part in parts], dtype=float)
    fit = isotonic_regression(squared.detach().cpu().numpy(), weights=weights)
    found = torch.as_tensor(fit.x.copy()).to(predicted)
    # Bins of tied variances would be steps without a width.
    knots, place = torch.unique(predicted, return_inverse=True)
    if len(knots) < 2:
        way_out = "Variances that are all the same take one factor: see `calibrate`."
        raise InputError(error_message("calibrated_variance", "differ", float(knots[0]), way_out))
    merged = found.new_zeros(len(knots)).index_add_(0, place, found)
    merged = merged / torch.bincount(place)
    if bool((merged <= 0).any()):
        way_out = "Errors of zero carry no scale: are these held-out data?"
        raise InputError(error_message("error", "be non-zero in every bin", 0.0, way_out))
    return MonotonicCalibration(knots, merged, residuals.n_points, residuals.hash)
