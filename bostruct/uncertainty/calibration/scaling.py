"""Variances brought to the size of the errors by one factor.

Equations (26) and (27) of Grasselli et al., Digital Discovery 4, 2654 (2025); (27) is
from Imbalzano et al., J. Chem. Phys. 154, 074102 (2021).

One factor widens or narrows every prediction alike. It cannot repair a model that is
wrong in kind, and it mixes what the model does not know with what scatters. Factors of
strata are in `stratified`, a factor for each size of variance in `monotone`.

Notation
    e       [..., n]  target unit   truth minus mean, on data left out of the fit
    s2      [..., n]  its square    predicted variance
    alpha2  [...]     1             factor; alpha is its root
    M                 1             members of a committee
"""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import dataclass, replace
from typing import Any, Literal, final, get_args

import torch
from torch import Tensor

from bostruct.errors import InputError, ShapeError, check_count, check_fraction, error_message
from bostruct.uncertainty.calibration.residuals import ArrayLike, Residuals, as_finite_tensor
from bostruct.uncertainty.prediction import Prediction

CalibrationMethod = Literal["likelihood", "committee", "absolute", "median", "crps"]

MIN_POINTS = 8  # points: alpha2 of Gaussian errors is then known to sqrt(2/n) = 50 %
MIN_MEMBERS = 4  # the mean of 1/s2 over committees exists from here on
RECOMMENDED_MEMBERS = 6  # and its variance from here on
CHI2_MEDIAN = 0.45493642311957283  # median of chi-squared with one degree of freedom


@final
@dataclass(frozen=True, eq=False)
class Calibration:
    """A factor for variances, with what it was found from.

    Attributes:
        alpha2: `[...]` 1, one for each batch. The spread from a member to the truth is
            alpha2 times the variance.
        method: how it was found.
        n_points: calibration points of each batch.
        n_members: of the committee, for "committee".
        lower: `[...]` lower end of the confidence interval, if one was asked for.
        upper: `[...]` its upper end.
        residuals_hash: hash of the residuals it was found from.
        n_floored: variances that had been lifted to the floor.
    """

    alpha2: Tensor
    method: CalibrationMethod
    n_points: int
    n_members: int | None = None
    lower: Tensor | None = None
    upper: Tensor | None = None
    residuals_hash: str = ""
    n_floored: int = 0

    @property
    def alpha(self) -> Tensor:
        """Factor for standard deviations, `[...]` 1."""
        return self.alpha2.sqrt()

    def calibrated_variance(self, variance: ArrayLike) -> Tensor:
        """Return calibrated variances, `[..., n]` target unit squared.

        Args:
            variance: `[..., n]` target unit squared.

        Raises:
            InputError: an entry is not finite.
        """
        return self._multiply(self.alpha2, as_finite_tensor("calibrated_variance", variance))

    def expected_squared_error(self, variance: ArrayLike) -> Tensor:
        """Return the expected squared error of the mean, `[..., n]` unit squared.

        The mean of M members is off by s2 / M itself: (alpha2 + 1/M) s2. For the other
        methods this is `variance`.

        Args:
            variance: `[..., n]` target unit squared.

        Raises:
            InputError: an entry is not finite.
        """
        of_mean = 0.0 if self.n_members is None else 1.0 / self.n_members
        return self._multiply(
            self.alpha2 + of_mean, as_finite_tensor("calibrated_variance", variance)
        )

    def rescale_members(self, members: ArrayLike) -> Tensor:
        """Return members moved to the calibrated distance from their mean.

        ȳ + alpha (y - ȳ), to be propagated through whatever follows; Imbalzano et al.

        Args:
            members: `[M, ...]` target unit.

        Raises:
            InputError: an entry is not finite.
        """
        y = as_finite_tensor("n_members", members)
        mean = y.mean(0)
        return mean + self.alpha.to(y.device) * (y - mean)

    def calibrated_prediction(self, prediction: Prediction) -> Prediction:
        """Return a prediction whose whole energy variance is calibrated.

        Latent variance, noise and covariance are scaled alike: scaling one of them
        would be another model; members are moved as in `spread`. Forces have a factor
        of their own, so `force_variance` and `member_forces` stay.

        Args:
            prediction: b structures.
        """
        factor, covariance = self.alpha2.to(prediction.variance), prediction.covariance
        members = prediction.members
        return replace(
            prediction,
            variance=prediction.variance * factor,
            noise_variance=prediction.noise_variance * factor,
            covariance=None if covariance is None else covariance * factor,
            members=None if members is None else self.rescale_members(members),
        )

    def to_json(self) -> str:
        """Return all of it as JSON, to be stored beside the model."""
        lists = {name: _to_list(getattr(self, name)) for name in _TENSOR_FIELDS}
        plain = {name: getattr(self, name) for name in _PLAIN_FIELDS}
        return json.dumps({"kind": "calibration", **lists, **plain})

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """Return what `to_json` wrote.

        Raises:
            InputError: it is something else.
        """
        found = read_json_fields(text, "calibration", (*_TENSOR_FIELDS, *_PLAIN_FIELDS))
        for name in _TENSOR_FIELDS:
            if found[name] is not None:
                found[name] = torch.tensor(found[name], dtype=torch.float64)
        return cls(**found)

    @staticmethod
    def _multiply(factor: Tensor, variance: Tensor) -> Tensor:
        factor = factor.to(variance.device)
        return variance * (factor.unsqueeze(-1) if factor.dim() else factor)


_TENSOR_FIELDS = ("alpha2", "lower", "upper")
_PLAIN_FIELDS = ("method", "n_points", "n_members", "residuals_hash", "n_floored")


def calibrate(
    residuals: Residuals,
    method: CalibrationMethod = "likelihood",
    *,
    n_members: int | None = None,
    ddof: int = 1,
    generator: torch.Generator | None = None,
    confidence: float = 0.9,
    n_bootstrap: int = 500,
) -> Calibration:
    """Return the factor that brings predicted variances to the size of the errors.

    * "likelihood": (26), mean e²/s2, the maximum of the Gaussian likelihood. Few
      outliers decide it.
    * "committee": (27), -1/M + (M-3)/(M-1) mean e²/s2 for the sample variance of M
      exchangeable Gaussian members. Unbiased from M = 4, steady from M = 6. Where it
      is negative it is lifted to zero, with a warning.
    * "absolute": (π/2) (mean |e|/s)², robust.
    * "median": median e²/s2 over 0.45494, the most robust.
    * "crps": the scale that minimises the Gaussian continuous ranked probability score.

    All agree on Gaussian errors. Energies and forces need a factor each, from
    residuals that were not fitted to.

    Args:
        residuals: `[..., n]` residuals of one kind of target.
        method: one of the five.
        n_members: M, for "committee" alone.
        ddof: 1 if the variances have the divisor M - 1, 0 if M; for "committee" alone.
        generator: if given, resamples of the points give `low` and `high`.
        confidence: of that interval.
        n_bootstrap: resamples.

    Raises:
        InputError: fewer than 8 points, fewer than 4 members, members missing or not
            needed, an unknown method, or errors that are all zero.
        ShapeError: an interval was asked for batches.
    """
    if residuals.n_points < MIN_POINTS:
        way_out = "With fewer, alpha2 is known to worse than 50 %: evaluate more."
        raise InputError(
            error_message(
                "residuals", f"hold at least {MIN_POINTS} points", residuals.n_points, way_out
            )
        )
    if method not in get_args(CalibrationMethod):
        condition = "be one of " + ", ".join(get_args(CalibrationMethod))
        raise InputError(error_message("method", condition, repr(method)))
    _check_members(method, n_members, ddof)
    alpha2 = _estimate_alpha2(residuals, method, n_members, ddof)
    if method == "committee":
        alpha2 = _clamp_negative(alpha2)
    elif bool((alpha2 <= 0).any()):
        way_out = "Errors of zero carry no scale: are these held-out data?"
        raise InputError(error_message("alpha2", "be positive", 0.0, way_out))
    low = high = None
    if generator is not None:
        low, high = _bootstrap_interval(
            residuals, method, n_members, ddof, generator, confidence, n_bootstrap
        )
    return Calibration(
        alpha2,
        method,
        residuals.n_points,
        n_members,
        low,
        high,
        residuals.hash,
        residuals.n_floored,
    )


def _check_members(method: str, n_members: int | None, ddof: int) -> None:
    if (method == "committee") != (n_members is not None):
        condition = "be given for the method committee and for no other"
        way_out = "Variances that are computed, not sampled, take likelihood."
        raise InputError(error_message("n_members", condition, n_members, way_out))
    if n_members is None:
        return
    way_out = "With fewer the mean of e²/s2 does not exist; try likelihood."
    check_count("n_members", n_members, MIN_MEMBERS, way_out)
    if ddof not in (0, 1):
        condition = "be 1 for the divisor M - 1 or 0 for M"
        raise InputError(error_message("ddof", condition, ddof))
    if n_members < RECOMMENDED_MEMBERS:
        warnings.warn(
            f"alpha2 from {n_members} members is right on average, but scatters without "
            f"bound. Take {RECOMMENDED_MEMBERS} members or more.",
            stacklevel=3,
        )


def _clamp_negative(alpha2: Tensor) -> Tensor:
    if bool((alpha2 < 0).any()):
        warnings.warn(
            f"alpha2 came out negative ({float(alpha2.min()):.3g}) and is lifted to "
            "zero: the errors are no larger than the mean of the members scatters.",
            stacklevel=3,
        )
    return alpha2.clamp(min=0)


def _estimate_alpha2(
    residuals: Residuals, method: CalibrationMethod, n_members: int | None, ddof: int
) -> Tensor:
    """Return the factor of each batch, `[...]`, unchecked."""
    z = residuals.z
    if method == "absolute":
        return (math.pi / 2) * z.abs().mean(-1) ** 2
    if method == "median":
        z2 = z.square().sort(-1).values
        n = residuals.n_points
        return (z2[..., (n - 1) // 2] + z2[..., n // 2]) / (2 * CHI2_MEDIAN)
    if method == "crps":
        return _crps_scale(residuals) ** 2
    ratio = z.square().mean(-1)  # (26)
    if n_members is None:
        return ratio
    if ddof == 0:
        ratio = ratio * (n_members - 1) / n_members
    return ratio * (n_members - 3) / (n_members - 1) - 1 / n_members  # (27)


def _crps_scale(residuals: Residuals) -> Tensor:
    """Return the a at which the CRPS of standard deviations a s is least, `[...]`.

    d CRPS / d a = sum s [2 φ(z / a) - 1/√π], which grows with a. A term is zero where
    (z / a)² = ln 2, so the root is below max |z| / √ln 2.
    """
    z, s = residuals.z, residuals.std
    high = z.abs().amax(-1) / math.sqrt(math.log(2))
    low = torch.zeros_like(high)
    for _ in range(80):
        middle = (low + high) / 2
        scaled = z / middle.clamp(min=1e-300).unsqueeze(-1)
        density = math.sqrt(2) * torch.exp(-0.5 * scaled.square())  # 2 φ √π
        rising = (s * (density - 1)).sum(-1) > 0
        low, high = torch.where(rising, low, middle), torch.where(rising, middle, high)
    return (low + high) / 2


def _bootstrap_interval(
    residuals: Residuals,
    method: CalibrationMethod,
    n_members: int | None,
    ddof: int,
    generator: torch.Generator,
    confidence: float,
    n_bootstrap: int,
) -> tuple[Tensor, Tensor]:
    """Return the interval of `confidence` from resampled points, two scalars."""
    if residuals.error.dim() != 1:
        way_out = "Ask for the interval of one batch at a time."
        raise ShapeError(
            error_message("residuals", "have shape [n]", list(residuals.error.shape), way_out)
        )
    check_fraction("confidence", confidence)
    check_count("n_bootstrap", n_bootstrap, 2)
    index = torch.randint(
        residuals.n_points, (n_bootstrap, residuals.n_points), generator=generator
    )
    index = index.to(residuals.error.device)
    found = _estimate_alpha2(residuals.subset(index), method, n_members, ddof).clamp(min=0)
    tails = found.new_tensor([(1 - confidence) / 2, (1 + confidence) / 2])
    low, high = torch.quantile(found, tails)
    return low, high


def read_json_fields(text: str, kind: str, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields that were stored for one kind of calibration.

    Raises:
        InputError: the text is not JSON, or holds something else.
    """
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(error_message("text", "be JSON", repr(text[:40]))) from error
    wanted = {"kind", *names}
    if not isinstance(found, dict) or set(found) != wanted or found["kind"] != kind:
        condition = f"be a stored {kind}"
        raise InputError(error_message("text", condition, repr(text[:40])))
    return {name: found[name] for name in names}


def _to_list(value: Tensor | None) -> object:
    return None if value is None else value.tolist()
