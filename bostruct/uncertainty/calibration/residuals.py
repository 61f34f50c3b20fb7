"""Errors on held-out data with the variances predicted for them: the input of every score.

Notation
    e     [..., n]  target unit   truth minus mean, held-out data
    s2    [..., n]  its square    predicted variance
    zeta  [..., n]  1             e / s
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from bostruct.errors import InputError, ShapeError, check_shape, error_message
from bostruct.uncertainty.prediction import Prediction, VarianceKind

ArrayLike = Tensor | np.ndarray | Sequence[float]

RELATIVE_STD_FLOOR = 1e-6  # of the median standard deviation


def as_finite_tensor(name: str, value: ArrayLike) -> Tensor:
    """Return an array, a list or a tensor as a finite float64 tensor.

    Args:
        name: argument name in error messages.
        value: numbers of any shape and unit.

    Raises:
        InputError: an entry is not finite.
    """
    tensor = torch.as_tensor(value, dtype=torch.float64)
    if n_bad := int((~tensor.isfinite()).sum()):
        hint = "Leave failed evaluations out."
        raise InputError(error_message(name, "be finite", f"{n_bad} other entries", hint))
    return tensor


def as_positive_tensor(name: str, value: ArrayLike) -> Tensor:
    """Return finite variances above zero as a float64 tensor.

    Args:
        name: argument name in error messages.
        value: variances of any shape, a unit squared.

    Raises:
        InputError: an entry is zero, negative or not finite.
    """
    tensor = as_finite_tensor(name, value)
    if bool((tensor <= 0).any()):
        hint = "Add the noise, or leave out points that the model is certain of."
        raise InputError(error_message(name, "be positive", float(tensor.min()), hint))
    return tensor


@final
@dataclass(frozen=True, eq=False)
class Residuals:
    """Errors on held-out data and the variances that were predicted for them.

    Every score and every calibration takes this one object. Build it with `from_arrays` or
    `from_prediction`. Leading dimensions are independent batches; scores reduce the last one.

    Attributes:
        error: `[..., n]` target unit, truth minus mean.
        variance: `[..., n]` target unit squared, predicted variance.
        n_floored: number of variances that were raised to the floor.

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
        check_shape("variance", self.variance, self.error.shape, "It is that of the errors.")
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

        One vanishing variance would dominate every mean of e² / s2, so variances below (`floor`
        times the median standard deviation)² are raised to it, and counted. `floor=0` leaves them
        unchanged.

        Args:
            truth: `[..., n]` target unit, reference values.
            mean: `[..., n]` target unit, predicted means.
            variance: `[..., n]` target unit squared. Labels scatter by noise too: give latent plus
                noise variance unless the truth is noise-free.
            floor: smallest standard deviation in units of the median one.

        Raises:
            InputError: an entry is not finite, or a variance is not positive.
            ShapeError: the shapes differ, or there is no point.
        """
        y, m = as_finite_tensor("truth", truth), as_finite_tensor("mean", mean)
        check_shape("mean", m, y.shape, "It is that of the truth.")
        unfloored = cls(y - m, as_positive_tensor("variance", variance))
        s2 = unfloored.variance
        minimum = floor**2 * s2.median(-1, keepdim=True).values
        return cls(unfloored.error, s2.maximum(minimum), int((s2 < minimum).sum()))

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
            truth: `[b]` eV, reference energies.
            prediction: predicted energies of the b structures.
            variance_kind: "observed" if the truth carries noise, else "latent".
            floor: smallest standard deviation in units of the median one.

        Raises:
            InputError: an entry is not finite, or a variance is not positive.
            ShapeError: the shapes differ, or there is no point.
        """
        latent = variance_kind == "latent"
        variance = prediction.variance if latent else prediction.predictive_variance
        return cls.from_arrays(truth, prediction.mean, variance, floor=floor)

    @classmethod
    def from_force_prediction(
        cls,
        truth: Tensor,
        prediction: Prediction,
        *,
        variance_kind: VarianceKind = "observed",
        floor: float = RELATIVE_STD_FLOOR,
    ) -> Residuals:
        """Return the residuals of predicted force components, those that are known, `[k]`.

        Args:
            truth: `[n, 3]` eV/Å, reference forces; unknown ones are NaN.
            prediction: prediction of the n atoms, with forces and their variances.
            variance_kind: "observed" if the truth carries noise, or if the model cannot represent
                all of it; else "latent".
            floor: smallest standard deviation in units of the median one.

        Raises:
            InputError: the prediction has no variances of forces, or a variance is not positive.
            ShapeError: the shapes differ, or no force is known.
        """
        latent = variance_kind == "latent"
        variance = prediction.force_variance if latent else prediction.predictive_force_variance
        forces = prediction.forces
        if forces is None or variance is None:
            condition, hint = "have variances of forces", "Predict with `force_variance=True`."
            raise InputError(error_message("prediction", condition, "none", hint))
        check_shape("truth", truth, forces.shape, "It is that of the forces.")
        known = truth.isfinite()
        return cls.from_arrays(truth[known], forces[known], variance[known], floor=floor)

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
        """Number of points of one batch."""
        return self.error.shape[-1]

    @property
    def hash(self) -> str:
        """Identifier of these residuals: 16 digits of a SHA-256."""
        both = torch.stack([self.error, self.variance]).detach().cpu().double()
        return hashlib.sha256(both.numpy().tobytes()).hexdigest()[:16]

    def subset(self, index: Tensor) -> Residuals:
        """Return some points, or resamples of them, as new residuals.

        Args:
            index: `[..., k]` into the last dimension; only without batches if more than
                one-dimensional.
        """
        return Residuals(self.error[..., index], self.variance[..., index])

    def scaled(self, alpha2: ArrayLike) -> Residuals:
        """Return the same errors beside variances times `alpha2`.

        Args:
            alpha2: one number, or `[...]` one for each batch.

        Raises:
            InputError: a factor is not finite or not positive.
        """
        factor = as_positive_tensor("alpha2", alpha2).unsqueeze(-1).to(self.variance.device)
        return Residuals(self.error, self.variance * factor, self.n_floored)

    def check_unbatched(self, hint: str = "") -> None:
        """Refuse residuals with batch dimensions.

        Raises:
            ShapeError: the errors are not `[n]`.
        """
        shape = list(self.error.shape)
        if len(shape) != 1:
            raise ShapeError(error_message("residuals", "have shape [n]", shape, hint))
