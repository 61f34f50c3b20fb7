"""Do predicted variances tell small errors from large ones, and by how much?

Section 2.4.2 and equation (28) of Grasselli et al., Digital Discovery 4, 2654 (2025).
The binned error is from Levi et al., Sensors 22, 5540 (2022); that it grows with the
root of the number of bins, from Pernot, arXiv 2305.11905 (2023).

Notation
    RMV   [..., k]  target unit  root of the mean predicted variance of a bin
    RMSE  [..., k]  target unit  root of the mean squared error of a bin
    n     1         points, N in the article
    k     1         bins, B in the article
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from scipy.special import gammaincinv
from torch import Tensor

from bostruct.errors import InputError, check_count, check_share, must
from bostruct.uncertainty.calibration.residuals import Residuals

ONE_SIGMA = 0.6826894921370859


@final
@dataclass(frozen=True, eq=False)
class Reliability:
    """Points of a reliability diagram, by rising predicted variance.

    Attributes:
        rmv: `[..., k]` target unit, predicted.
        rmse: `[..., k]` target unit, found.
        count: `[k]` points of each bin.
        low: `[..., k]` target unit, lower end of the band that holds `rmse` with the
            probability asked for if the errors are Gaussian and calibrated.
        high: `[..., k]` target unit, its upper end.
        weight: `[..., k]` independent points that each bin is worth, for the slope.
    """

    rmv: Tensor
    rmse: Tensor
    count: Tensor
    low: Tensor
    high: Tensor
    weight: Tensor

    @property
    def inside(self) -> Tensor:
        """Share of the bins within the band, `[...]` 1."""
        held = (self.low <= self.rmse) & (self.rmse <= self.high)
        return held.double().mean(-1)

    @property
    def slope(self) -> Tensor:
        """Slope of ln RMSE over ln RMV, `[...]` 1.

        One where variances rank errors as they should, zero where they say nothing;
        a factor on all variances leaves it. Not a number for equal variances.
        """
        x, y = self.rmv.log(), self.rmse.log()
        w = self.weight / self.weight.sum(-1, keepdim=True)
        dx = x - (w * x).sum(-1, keepdim=True)
        dy = y - (w * y).sum(-1, keepdim=True)
        return (w * dx * dy).sum(-1) / (w * dx * dx).sum(-1)


def reliability(
    held: Residuals, bins: int = 10, *, level: float = ONE_SIGMA
) -> Reliability:
    """Return predicted and found errors in bins of equal count.

    Points are sorted by predicted variance (ties keep their order) and cut into bins
    whose counts differ by one at most. In calibrated Gaussian data the sum of squared
    errors of a bin follows a scaled chi-squared law with (Σ s2)² / Σ s2² degrees of
    freedom, n / k where the variances of the bin agree; the band is from that.

    Args:
        held: `[..., n]` residuals.
        bins: k.
        level: probability of the band.

    Raises:
        InputError: more bins than points, or a level outside 0 to 1.
    """
    check_share("level", level)
    squared, s2 = _binned(held, bins)
    count = torch.tensor([part.shape[-1] for part in s2])
    mean_s2 = torch.stack([part.mean(-1) for part in s2], -1)
    mse = torch.stack([part.mean(-1) for part in squared], -1)
    weight = torch.stack([part.sum(-1) ** 2 / part.square().sum(-1) for part in s2], -1)
    half = weight.detach().cpu().numpy() / 2
    tails = ((1 - level) / 2, (1 + level) / 2)
    low, high = (
        mean_s2 * torch.as_tensor(np.asarray(gammaincinv(half, tail) / half)).to(mse)
        for tail in tails
    )
    return Reliability(
        mean_s2.sqrt(), mse.sqrt(), count, low.sqrt(), high.sqrt(), weight
    )


@final
@dataclass(frozen=True, eq=False)
class BinnedError:
    """An expected normalised calibration error with what it is worth.

    Attributes:
        value: `[...]` 1.
        floor: 1, what perfectly calibrated Gaussian data give on average.
        bins: k.
        n: points.
    """

    value: Tensor
    floor: float
    bins: int
    n: int


def ence(held: Residuals, bins: int = 10) -> BinnedError:
    """Return the expected normalised calibration error (28).

    ENCE = 1/k Σ |RMV - RMSE| / RMV over bins of equal count. It is never zero: for
    calibrated Gaussian data it is about √(k / (π n)), returned as `floor`, and says
    nothing without it.

    Args:
        held: `[..., n]` residuals.
        bins: k.

    Raises:
        InputError: more bins than points.
    """
    squared, s2 = _binned(held, bins)
    rmv = torch.stack([part.mean(-1).sqrt() for part in s2], -1)
    rmse = torch.stack([part.mean(-1).sqrt() for part in squared], -1)
    value = ((rmv - rmse).abs() / rmv).mean(-1)
    return BinnedError(value, math.sqrt(bins / (math.pi * held.n)), bins, held.n)


def ence_intercept(
    held: Residuals, bins: Sequence[int] = (4, 6, 9, 12, 16, 20, 25)
) -> Tensor:
    """Return the ENCE that is left when its growth with √k is taken away, `[...]`.

    The intercept of a straight line through ENCE over √k: near zero for calibrated
    data of any size, slightly negative by chance.

    Args:
        held: `[..., n]` residuals.
        bins: at least two different numbers of bins.

    Raises:
        InputError: fewer than two numbers of bins, or more bins than points.
    """
    if len(set(bins)) < 2:
        raise InputError(must("bins", "hold two different numbers", list(bins)))
    values = torch.stack([ence(held, count).value for count in bins], -1)
    x = values.new_tensor(bins).sqrt()
    dx = x - x.mean()
    slope = (values * dx).sum(-1) / dx.square().sum()
    return values.mean(-1) - slope * x.mean()


def _cut(held: Residuals, bins: int) -> list[Tensor]:
    check_count("bins", bins)
    if bins > held.n:
        condition = f"be at most the number of points, {held.n}"
        raise InputError(must("bins", condition, bins))
    order = held.variance.argsort(dim=-1, stable=True)
    return list(order.tensor_split(bins, -1))


def _binned(held: Residuals, bins: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return squared errors and variances of each bin, `[..., n / k]` each."""
    parts = _cut(held, bins)
    squared = held.error.square()
    return (
        [squared.gather(-1, part) for part in parts],
        [held.variance.gather(-1, part) for part in parts],
    )
