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

from bostruct.errors import InputError, ShapeError, check_count, must
from bostruct.uncertainty.calibration.residuals import Numbers, Residuals, variances
from bostruct.uncertainty.calibration.scaling import LEAST, read


@final
@dataclass(frozen=True, eq=False)
class MonotoneMap:
    """A map from predicted to expected variance that never falls.

    Between knots it is linear in the logarithms; beyond the outermost it keeps their
    ratio, so a structure far from all data keeps a variance that grows.

    Attributes:
        predicted: `[k]` target unit squared, mean predicted variances, ascending.
        found: `[k]` target unit squared, mean squared errors, not descending.
        n: calibration points.
        source: hash of the residuals it was found from.
    """

    predicted: Tensor
    found: Tensor
    n: int
    source: str = ""

    def variance(self, variance: Numbers) -> Tensor:
        """Return calibrated variances, of the shape given, target unit squared.

        Raises:
            InputError: an entry is zero, negative or not finite.
        """
        s2 = variances("variance", variance)
        x, y = self.predicted.log().to(s2.device), self.found.log().to(s2.device)
        at = s2.log()
        inside = at.clamp(float(x[0]), float(x[-1]))
        right = torch.searchsorted(x, inside).clamp(1, len(x) - 1)
        share = (inside - x[right - 1]) / (x[right] - x[right - 1])
        value = y[right - 1] + share * (y[right] - y[right - 1])
        return (value + at - inside).exp()

    def to_json(self) -> str:
        """Return all of it as JSON, to be stored beside the model."""
        lists = {name: getattr(self, name).tolist() for name in ("predicted", "found")}
        return json.dumps({"kind": "map", **lists, "n": self.n, "source": self.source})

    @classmethod
    def from_json(cls, text: str) -> MonotoneMap:
        """Return what `to_json` wrote.

        Raises:
            InputError: it is something else.
        """
        found = read(text, "map", ("predicted", "found", "n", "source"))
        for name in ("predicted", "found"):
            found[name] = torch.tensor(found[name], dtype=torch.float64)
        return cls(**found)


def isotonic(held: Residuals, *, bins: int | None = None) -> MonotoneMap:
    """Return the map from predicted variance to mean squared error that never falls.

    Local calibration after (26): the points are sorted by s2 and cut into bins of
    equal count, and the mean squared errors are fitted by isotonic least squares. Bins
    first, since the smallest single errors would otherwise form a step of their own.

    Args:
        held: `[n]` residuals.
        bins: default n / 20, at least 2 and at most 20.

    Raises:
        InputError: fewer than 16 points, fewer than 8 in a bin, one variance for all,
            or errors that are all zero in a bin.
        ShapeError: residuals with batches.
    """
    if held.error.dim() != 1:
        raise ShapeError(must("held", "have shape [n]", list(held.error.shape)))
    if held.n < 2 * LEAST:
        way_out = "A single factor needs fewer: see `calibrate`."
        condition = f"hold at least {2 * LEAST} points"
        raise InputError(must("held", condition, held.n, way_out))
    count = max(2, min(20, held.n // 20)) if bins is None else bins
    check_count("bins", count, 2)
    if held.n // count < LEAST:
        condition = f"leave at least {LEAST} of {held.n} points to a bin"
        raise InputError(must("bins", condition, count))
    order = held.variance.argsort(stable=True)
    parts = [held.take(part) for part in order.tensor_split(count)]
    predicted = torch.stack([part.variance.mean() for part in parts])
    squared = torch.stack([part.error.square().mean() for part in parts])
    weights = np.array([part.n for part in parts], dtype=float)
    fit = isotonic_regression(squared.detach().cpu().numpy(), weights=weights)
    found = torch.as_tensor(fit.x.copy()).to(predicted)
    # Bins of tied variances would be steps without a width.
    knots, place = torch.unique(predicted, return_inverse=True)
    if len(knots) < 2:
        way_out = "Variances that are all the same take one factor: see `calibrate`."
        raise InputError(must("variance", "differ", float(knots[0]), way_out))
    merged = found.new_zeros(len(knots)).index_add_(0, place, found)
    merged = merged / torch.bincount(place)
    if bool((merged <= 0).any()):
        way_out = "Errors of zero carry no scale: are these held-out data?"
        raise InputError(must("error", "be non-zero in every bin", 0.0, way_out))
    return MonotoneMap(knots, merged, held.n, held.hash)
