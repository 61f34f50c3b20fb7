"""What was predicted, set against what came true: the input of every score.

Notation
    e     [..., n]  target unit   truth minus mean, held-out data
    s2    [..., n]  its square    predicted variance
    zeta  [..., n]  1             e / s
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor

from bostruct.errors import InputError, ShapeError, error_message
from bostruct.uncertainty.prediction import Prediction

ArrayLike = Tensor | np.ndarray | Sequence[float]
VarianceKind = Literal["observed", "latent"]

RELATIVE_STD_FLOOR = 1e-6  # of the median standard deviation


def as_finite_tensor(name: str, value: ArrayLike) -> Tensor:
    """Return an array, a list or a tensor as a finite float64 tensor.

    Args:
        name: what an error calls it.
        value: any shape, any unit.

    Raises:
        InputError: an entry is not finite.
    """
    found = torch.as_tensor(value, dtype=torch.float64)
    if not bool(found.isfinite().all()):
        bad = int((~found.isfinite()).sum())
        way_out = "Leave failed evaluations out."
        raise InputError(error_message(name, "be finite", f"{bad} other entries", way_out))
    return found


def as_positive_tensor(name: str, value: ArrayLike) -> Tensor:
    """Return finite variances above zero as a float64 tensor.

    Args:
        name: what an error calls it.
        value: any shape, a unit squared.

    Raises:
        InputError: an entry is zero, negative or not finite.
    """
    found = as_finite_tensor(name, value)
    if bool((found <= 0).any()):
        way_out = "Add the noise, or leave out what the model takes for certain."
        raise InputError(error_message(name, "be positive", float(found.min()), way_out))
    return found


@final
@dataclass(frozen=True, eq=False)
class Residuals:
    """Errors on held-out data and the variances that were predicted for them.

    Every score and every calibration takes this one object. Make it from arrays with
    `of` or from a `Prediction` with `judge`. Leading dimensions are independent
    batches; scores reduce the last one.

    Attributes:
        error: `[..., n]` target unit, truth minus mean.
        variance: `[..., n]` target unit squared.
        n_floored: how many variances were lifted to the floor.

    Raises:
        InputError: an entry is not finite, or a variance is not positive.
        ShapeError: the shapes differ, or there is no point.
    """

    error: Tensor
    variance: Tensor
    n_floored: int = 0

    def __post_init__(self) -> None:
        as_finite_tensor("error", self.error)
        as_positive_tensor("variance", self.variance)
        if self.error.shape != self.variance.shape:
            condition = f"have the shape of the errors, {list(self.error.shape)}"
            raise ShapeError(error_message("variance", condition, list(self.variance.shape)))
        if self.error.dim() < 1 or self.error.shape[-1] < 1:
            condition = "hold at least one point in its last dimension"
            raise ShapeError(error_message("error", condition, list(self.error.shape)))

    @classmethod
    def from_arrays(
        cls,
        truth: ArrayLike,
        mean: ArrayLike,
        variance: ArrayLike,
        *,
        floor: float = RELATIVE_STD_FLOOR,
    ) -> Residuals:
        """Return the residuals of three arrays of the same shape.

        One vanishing variance would decide every mean of e² / s2 alone, so variances
        below (`floor` times the median standard deviation)² are lifted to it, and
        counted. `floor=0` takes them as they are.

        Args:
            truth: `[..., n]` target unit.
            mean: `[..., n]` target unit.
            variance: `[..., n]` target unit squared. Labels scatter by noise too: give
                latent plus noise unless the truth is free of it.
            floor: 1.

        Raises:
            InputError: an entry is not finite, or a variance is not positive.
            ShapeError: the shapes differ, or there is no point.
        """
        y, m, s2 = (as_finite_tensor("truth", truth), as_finite_tensor("mean", mean), variance)
        if y.shape != m.shape:
            condition = f"have the shape of the truth, {list(y.shape)}"
            raise ShapeError(error_message("mean", condition, list(m.shape)))
        found = cls(y - m, as_positive_tensor("variance", s2))
        middle = found.variance.median(-1, keepdim=True).values
        least = floor**2 * middle
        low = found.variance < least
        return cls(found.error, found.variance.maximum(least), int(low.sum()))

    @classmethod
    def from_prediction(
        cls,
        truth: ArrayLike,
        prediction: Prediction,
        *,
        variance_kind: VarianceKind = "observed",
        floor: float = RELATIVE_STD_FLOOR,
    ) -> Residuals:
        """Return the residuals of predicted energies.

        Args:
            truth: `[b]` eV.
            prediction: of the same structures.
            variance_kind: "observed" if the truth carries noise, else "latent".
            floor: as in `of`.

        Raises:
            InputError: an entry is not finite, or a variance is not positive.
            ShapeError: the shapes differ, or there is no point.
        """
        latent = variance_kind == "latent"
        variance = prediction.variance if latent else prediction.predictive_variance
        return cls.from_arrays(truth, prediction.mean, variance, floor=floor)

    @property
    def std(self) -> Tensor:
        """Predicted standard deviations, `[..., n]` target unit."""
        return self.variance.sqrt()

    @property
    def z(self) -> Tensor:
        """Errors in units of their predicted standard deviations, `[..., n]`."""
        return self.error / self.std

    @property
    def n_points(self) -> int:
        """Points of one batch."""
        return self.error.shape[-1]

    @property
    def hash(self) -> str:
        """What these residuals are known by: 16 digits of a SHA-256."""
        both = torch.stack([self.error, self.variance]).detach().cpu().double()
        return hashlib.sha256(both.numpy().tobytes()).hexdigest()[:16]

    def subset(self, index: Tensor) -> Residuals:
        """Return some points, or resamples of them, as new residuals.

        Args:
            index: `[..., k]` into the last dimension; only without batches if more
                than one-dimensional.
        """
        return Residuals(self.error[..., index], self.variance[..., index])

    def scaled(self, alpha2: ArrayLike) -> Residuals:
        """Return the same errors beside variances times `alpha2`.

        Args:
            alpha2: one number, or `[...]` one for each batch.

        Raises:
            InputError: a factor is not finite or not positive.
        """
        factor = as_positive_tensor("alpha2", alpha2).unsqueeze(-1)
        factor = factor.to(self.variance.device)
        return Residuals(self.error, self.variance * factor, self.n_floored)
