"""Recalibration of variances by one factor.

Equations (26) and (27) of Grasselli et al., Digital Discovery 4, 2654 (2025); (27) is from
Imbalzano et al., J. Chem. Phys. 154, 074102 (2021).

One factor widens or narrows every prediction alike. It cannot repair a model of the wrong form,
and it does not tell epistemic from aleatoric variance. Factors of strata are in `stratified`, a
factor for each size of the variance in `isotonic`.

Notation
    e       [..., n]  target unit   truth minus mean, on data left out of the fit
    s2      [..., n]  its square    predicted variance
    alpha2  [...]     1             factor; alpha is its root
    M                 1             members of a committee
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Literal, final, get_args

import torch
from torch import Tensor

from bostruct.errors import InputError, check_choice, check_count, check_fraction, error_message
from bostruct.uncertainty.calibration.residuals import ArrayLike, Residuals, as_finite_tensor
from bostruct.uncertainty.calibration.serialization import JsonSerializable
from bostruct.uncertainty.ensembles.likelihood import check_ddof
from bostruct.uncertainty.prediction import Prediction

CalibrationMethod = Literal["likelihood", "committee", "absolute", "median", "crps"]

MIN_POINTS = 8  # points: alpha2 of Gaussian errors is then known to sqrt(2/n) = 50 %
MIN_MEMBERS = 4  # the mean of 1/s2 over committees exists from here on
RECOMMENDED_MEMBERS = 6  # and its variance from here on
CHI2_MEDIAN = 0.45493642311957283  # median of chi-squared with one degree of freedom


@final
@dataclass(frozen=True, eq=False)
class Calibration(JsonSerializable):
    """Calibration factor for variances, with its origin.

    Attributes:
        alpha2: `[...]` 1, one factor for each batch. The squared distance from a member to the
            truth is on average alpha2 times the variance.
        method: estimator of alpha2, see `calibrate`.
        n_points: number of calibration points of each batch.
        n_members: number of members of the committee, for "committee".
        lower: `[...]` lower end of the confidence interval; optional.
        upper: `[...]` upper end of the confidence interval; optional.
        residuals_hash: hash of the residuals of the fit.
        n_floored: number of variances that had been raised to the floor.
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
            variance: `[..., n]` target unit squared, predicted variances.

        Raises:
            InputError: an entry is not finite.
        """
        return self._multiply(self.alpha2, variance)

    def expected_squared_error(self, variance: ArrayLike) -> Tensor:
        """Return the expected squared error of the mean, `[..., n]` target unit squared.

        The mean of M members has a sampling variance s2 / M of its own: (alpha2 + 1/M) s2. For the
        other methods this is `calibrated_variance`.

        Args:
            variance: `[..., n]` target unit squared, predicted variances.

        Raises:
            InputError: an entry is not finite.
        """
        of_mean = 0.0 if self.n_members is None else 1.0 / self.n_members
        return self._multiply(self.alpha2 + of_mean, variance)

    def rescale_members(self, members: ArrayLike) -> Tensor:
        """Return members moved to the calibrated distance from their mean.

        ȳ + alpha (y - ȳ), to be propagated through any later computation; Imbalzano et al.

        Args:
            members: `[M, ...]` target unit, predictions of each member.

        Raises:
            InputError: an entry is not finite.
        """
        y = as_finite_tensor("members", members)
        mean = y.mean(0)
        return mean + self.alpha.to(y.device) * (y - mean)

    def calibrated_prediction(self, prediction: Prediction) -> Prediction:
        """Return a prediction whose energy variances are all calibrated.

        Latent variance, noise and covariance are scaled alike, as scaling one of them would be
        another model; members are moved as in `rescale_members`. Forces have a factor of their
        own, so their variances and `member_forces` stay; see `calibrated_forces`.

        Args:
            prediction: predicted energies of b structures.
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

    def calibrated_forces(self, prediction: Prediction) -> Prediction:
        """Return a prediction whose force variances are all calibrated, latent and noise alike.

        Args:
            prediction: predicted forces; those without variances are left as they are.
        """
        members, latent = prediction.member_forces, prediction.force_variance
        noise = prediction.force_noise_variance
        return replace(
            prediction,
            force_variance=None if latent is None else latent * self.alpha2.to(latent),
            force_noise_variance=None if noise is None else noise * self.alpha2.to(noise),
            member_forces=None if members is None else self.rescale_members(members),
        )

    @staticmethod
    def _multiply(factor: Tensor, variance: ArrayLike) -> Tensor:
        s2 = as_finite_tensor("variance", variance)
        factor = factor.to(s2.device)
        return s2 * (factor.unsqueeze(-1) if factor.dim() else factor)


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

    * "likelihood": (26), mean e²/s2, the maximum of the Gaussian likelihood. Sensitive to outliers.
    * "committee": (27), -1/M + (M-3)/(M-1) mean e²/s2 for the sample variance of M exchangeable
      Gaussian members. Unbiased from M = 4, of finite variance from M = 6. Where it is negative it
      is raised to zero, with a warning.
    * "absolute": (π/2) (mean |e|/s)², robust.
    * "median": median e²/s2 over 0.45494, the most robust.
    * "crps": the scale that minimises the Gaussian continuous ranked probability score.

    All agree on Gaussian errors. Energies and forces need a factor each, from residuals on
    held-out data.

    Args:
        residuals: `[..., n]` residuals of one kind of target.
        method: one of the five estimators.
        n_members: number M of members, for "committee" alone.
        ddof: 1 if the variances have the divisor M - 1, 0 if M; for "committee" alone.
        generator: random generator of bootstrap resamples, which give `lower` and `upper`.
        confidence: confidence level of the bootstrap interval.
        n_bootstrap: number of bootstrap resamples.

    Raises:
        InputError: fewer than 8 points, fewer than 4 members, members missing or not needed, an
            unknown method, or errors that are all zero.
        ShapeError: an interval for residuals with batches.
    """
    if residuals.n_points < MIN_POINTS:
        condition = f"hold at least {MIN_POINTS} points"
        hint = "With fewer, alpha2 is known to worse than 50 %: evaluate more."
        raise InputError(error_message("residuals", condition, residuals.n_points, hint))
    check_choice("method", method, get_args(CalibrationMethod))
    _check_members(method, n_members, ddof)
    alpha2 = _estimate_alpha2(residuals, method, n_members, ddof)
    if method == "committee":
        if bool((alpha2 < 0).any()):
            warnings.warn(
                f"alpha2 came out negative ({float(alpha2.min()):.3g}) and is lifted to "
                "zero: the errors are no larger than the mean of the members scatters.",
                stacklevel=2,
            )
        alpha2 = alpha2.clamp(min=0)
    elif bool((alpha2 <= 0).any()):
        hint = "Errors of zero carry no scale: are these held-out data?"
        raise InputError(error_message("alpha2", "be positive", 0.0, hint))
    lower = upper = None
    if generator is not None:
        residuals.check_unbatched("Ask for the interval of one batch at a time.")
        check_fraction("confidence", confidence)
        check_count("n_bootstrap", n_bootstrap, 2)
        n = residuals.n_points
        index = torch.randint(n, (n_bootstrap, n), generator=generator).to(residuals.error.device)
        samples = _estimate_alpha2(residuals.subset(index), method, n_members, ddof).clamp(min=0)
        tails = samples.new_tensor([(1 - confidence) / 2, (1 + confidence) / 2])
        lower, upper = torch.quantile(samples, tails)
    return Calibration(
        *(alpha2, method, residuals.n_points, n_members, lower, upper),
        *(residuals.hash, residuals.n_floored),
    )


def _check_members(method: str, n_members: int | None, ddof: int) -> None:
    if (method == "committee") != (n_members is not None):
        condition = "be given for the method committee and for no other"
        hint = "Variances that are computed, not sampled, take likelihood."
        raise InputError(error_message("n_members", condition, n_members, hint))
    if n_members is None:
        return
    hint = "With fewer the mean of e²/s2 does not exist; try likelihood."
    check_count("n_members", n_members, MIN_MEMBERS, hint)
    check_ddof(ddof)
    if n_members < RECOMMENDED_MEMBERS:
        warnings.warn(
            f"alpha2 from {n_members} members is right on average, but scatters without "
            f"bound. Take {RECOMMENDED_MEMBERS} members or more.",
            stacklevel=3,
        )


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
    """Return the factor a of the standard deviations that minimises the CRPS, `[...]`.

    d CRPS / d a = sum s [2 φ(z / a) - 1/√π], which grows with a. A term is zero where
    (z / a)² = ln 2, so the root is below max |z| / √ln 2.
    """
    z, s = residuals.z, residuals.std
    upper = z.abs().amax(-1) / math.sqrt(math.log(2))
    lower = torch.zeros_like(upper)
    for _ in range(80):
        middle = (lower + upper) / 2
        scaled = z / middle.clamp(min=1e-300).unsqueeze(-1)
        density = math.sqrt(2) * torch.exp(-0.5 * scaled.square())  # 2 φ √π
        rising = (s * (density - 1)).sum(-1) > 0
        lower, upper = torch.where(rising, lower, middle), torch.where(rising, middle, upper)
    return (lower + upper) / 2
