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

from bostruct.errors import InputError, ShapeError, check_count, check_share, must
from bostruct.uncertainty.calibration.residuals import Numbers, Residuals, numbers
from bostruct.uncertainty.prediction import Prediction

Method = Literal["likelihood", "committee", "absolute", "median", "crps"]

LEAST = 8  # points: alpha2 of Gaussian errors is then known to sqrt(2/n) = 50 %
LEAST_MEMBERS = 4  # the mean of 1/s2 over committees exists from here on
STEADY_MEMBERS = 6  # and its variance from here on
HALF = 0.45493642311957283  # median of chi-squared with one degree of freedom


@final
@dataclass(frozen=True, eq=False)
class Calibration:
    """A factor for variances, with what it was found from.

    Attributes:
        alpha2: `[...]` 1, one for each batch. The spread from a member to the truth is
            alpha2 times the variance.
        method: how it was found.
        n: calibration points of each batch.
        members: of the committee, for "committee".
        low: `[...]` lower end of the confidence interval, if one was asked for.
        high: `[...]` its upper end.
        source: hash of the residuals it was found from.
        floored: variances that had been lifted to the floor.
    """

    alpha2: Tensor
    method: Method
    n: int
    members: int | None = None
    low: Tensor | None = None
    high: Tensor | None = None
    source: str = ""
    floored: int = 0

    @property
    def alpha(self) -> Tensor:
        """Factor for standard deviations, `[...]` 1."""
        return self.alpha2.sqrt()

    def variance(self, variance: Numbers) -> Tensor:
        """Return calibrated variances, `[..., n]` target unit squared.

        Args:
            variance: `[..., n]` target unit squared.

        Raises:
            InputError: an entry is not finite.
        """
        return self._times(self.alpha2, numbers("variance", variance))

    def expected(self, variance: Numbers) -> Tensor:
        """Return the expected squared error of the mean, `[..., n]` unit squared.

        The mean of M members is off by s2 / M itself: (alpha2 + 1/M) s2. For the other
        methods this is `variance`.

        Args:
            variance: `[..., n]` target unit squared.

        Raises:
            InputError: an entry is not finite.
        """
        of_mean = 0.0 if self.members is None else 1.0 / self.members
        return self._times(self.alpha2 + of_mean, numbers("variance", variance))

    def spread(self, members: Numbers) -> Tensor:
        """Return members moved to the calibrated distance from their mean.

        ȳ + alpha (y - ȳ), to be propagated through whatever follows; Imbalzano et al.

        Args:
            members: `[M, ...]` target unit.

        Raises:
            InputError: an entry is not finite.
        """
        y = numbers("members", members)
        mean = y.mean(0)
        return mean + self.alpha.to(y.device) * (y - mean)

    def prediction(self, prediction: Prediction) -> Prediction:
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
            noise=prediction.noise * factor,
            covariance=None if covariance is None else covariance * factor,
            members=None if members is None else self.spread(members),
        )

    def to_json(self) -> str:
        """Return all of it as JSON, to be stored beside the model."""
        lists = {name: _listed(getattr(self, name)) for name in _TENSORS}
        plain = {name: getattr(self, name) for name in _PLAIN}
        return json.dumps({"kind": "calibration", **lists, **plain})

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """Return what `to_json` wrote.

        Raises:
            InputError: it is something else.
        """
        found = read(text, "calibration", (*_TENSORS, *_PLAIN))
        for name in _TENSORS:
            if found[name] is not None:
                found[name] = torch.tensor(found[name], dtype=torch.float64)
        return cls(**found)

    @staticmethod
    def _times(factor: Tensor, variance: Tensor) -> Tensor:
        factor = factor.to(variance.device)
        return variance * (factor.unsqueeze(-1) if factor.dim() else factor)


_TENSORS = ("alpha2", "low", "high")
_PLAIN = ("method", "n", "members", "source", "floored")


def calibrate(
    held: Residuals,
    method: Method = "likelihood",
    *,
    members: int | None = None,
    ddof: int = 1,
    generator: torch.Generator | None = None,
    level: float = 0.9,
    draws: int = 500,
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
        held: `[..., n]` residuals of one kind of target.
        method: one of the five.
        members: M, for "committee" alone.
        ddof: 1 if the variances have the divisor M - 1, 0 if M; for "committee" alone.
        generator: if given, resamples of the points give `low` and `high`.
        level: of that interval.
        draws: resamples.

    Raises:
        InputError: fewer than 8 points, fewer than 4 members, members missing or not
            needed, an unknown method, or errors that are all zero.
        ShapeError: an interval was asked for batches.
    """
    if held.n < LEAST:
        way_out = "With fewer, alpha2 is known to worse than 50 %: evaluate more."
        raise InputError(must("held", f"hold at least {LEAST} points", held.n, way_out))
    if method not in get_args(Method):
        condition = "be one of " + ", ".join(get_args(Method))
        raise InputError(must("method", condition, repr(method)))
    _check_members(method, members, ddof)
    alpha2 = _alpha2(held, method, members, ddof)
    if method == "committee":
        alpha2 = _clamped(alpha2)
    elif bool((alpha2 <= 0).any()):
        way_out = "Errors of zero carry no scale: are these held-out data?"
        raise InputError(must("alpha2", "be positive", 0.0, way_out))
    low = high = None
    if generator is not None:
        low, high = _interval(held, method, members, ddof, generator, level, draws)
    return Calibration(
        alpha2, method, held.n, members, low, high, held.hash, held.floored
    )


def _check_members(method: str, members: int | None, ddof: int) -> None:
    if (method == "committee") != (members is not None):
        condition = "be given for the method committee and for no other"
        way_out = "Variances that are computed, not sampled, take likelihood."
        raise InputError(must("members", condition, members, way_out))
    if members is None:
        return
    way_out = "With fewer the mean of e²/s2 does not exist; try likelihood."
    check_count("members", members, LEAST_MEMBERS, way_out)
    if ddof not in (0, 1):
        condition = "be 1 for the divisor M - 1 or 0 for M"
        raise InputError(must("ddof", condition, ddof))
    if members < STEADY_MEMBERS:
        warnings.warn(
            f"alpha2 from {members} members is right on average, but scatters without "
            f"bound. Take {STEADY_MEMBERS} members or more.",
            stacklevel=3,
        )


def _clamped(alpha2: Tensor) -> Tensor:
    if bool((alpha2 < 0).any()):
        warnings.warn(
            f"alpha2 came out negative ({float(alpha2.min()):.3g}) and is lifted to "
            "zero: the errors are no larger than the mean of the members scatters.",
            stacklevel=3,
        )
    return alpha2.clamp(min=0)


def _alpha2(held: Residuals, method: Method, members: int | None, ddof: int) -> Tensor:
    """Return the factor of each batch, `[...]`, unchecked."""
    z = held.z
    if method == "absolute":
        return (math.pi / 2) * z.abs().mean(-1) ** 2
    if method == "median":
        z2 = z.square().sort(-1).values
        n = held.n
        return (z2[..., (n - 1) // 2] + z2[..., n // 2]) / (2 * HALF)
    if method == "crps":
        return _crps_scale(held) ** 2
    ratio = z.square().mean(-1)  # (26)
    if members is None:
        return ratio
    if ddof == 0:
        ratio = ratio * (members - 1) / members
    return ratio * (members - 3) / (members - 1) - 1 / members  # (27)


def _crps_scale(held: Residuals) -> Tensor:
    """Return the a at which the CRPS of standard deviations a s is least, `[...]`.

    d CRPS / d a = sum s [2 φ(z / a) - 1/√π], which grows with a. A term is zero where
    (z / a)² = ln 2, so the root is below max |z| / √ln 2.
    """
    z, s = held.z, held.std
    high = z.abs().amax(-1) / math.sqrt(math.log(2))
    low = torch.zeros_like(high)
    for _ in range(80):
        middle = (low + high) / 2
        scaled = z / middle.clamp(min=1e-300).unsqueeze(-1)
        density = math.sqrt(2) * torch.exp(-0.5 * scaled.square())  # 2 φ √π
        rising = (s * (density - 1)).sum(-1) > 0
        low, high = torch.where(rising, low, middle), torch.where(rising, middle, high)
    return (low + high) / 2


def _interval(
    held: Residuals,
    method: Method,
    members: int | None,
    ddof: int,
    generator: torch.Generator,
    level: float,
    draws: int,
) -> tuple[Tensor, Tensor]:
    """Return the interval of `level` from resampled points, two scalars."""
    if held.error.dim() != 1:
        way_out = "Ask for the interval of one batch at a time."
        raise ShapeError(
            must("held", "have shape [n]", list(held.error.shape), way_out)
        )
    check_share("level", level)
    check_count("draws", draws, 2)
    index = torch.randint(held.n, (draws, held.n), generator=generator)
    index = index.to(held.error.device)
    found = _alpha2(held.take(index), method, members, ddof).clamp(min=0)
    tails = found.new_tensor([(1 - level) / 2, (1 + level) / 2])
    low, high = torch.quantile(found, tails)
    return low, high


def read(text: str, kind: str, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields that were stored for one kind of calibration.

    Raises:
        InputError: the text is not JSON, or holds something else.
    """
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(must("text", "be JSON", repr(text[:40]))) from error
    wanted = {"kind", *names}
    if not isinstance(found, dict) or set(found) != wanted or found["kind"] != kind:
        condition = f"be a stored {kind}"
        raise InputError(must("text", condition, repr(text[:40])))
    return {name: found[name] for name in names}


def _listed(value: Tensor | None) -> object:
    return None if value is None else value.tolist()
