"""Likelihoods that a variance is learnt by (rows U11-U13).

Notation, with equation numbers of [G25]
    e    [...]     eV    truth minus mean
    t2   [...]     eV²   predicted variance
    M              1     members

    nll   = (e² / t2 + ln t2 + ln 2π) / 2                                  (19)
    total = Σ (y - ȳ)² / (M - ddof) + Σ t2 / M                             (20)

Means that are trained by (19) from the start may stay wrong where a large variance
excuses them. Trained by the square alone for a while first, or with each term weighed
by t2^beta, they do not: Seitzer et al., ICLR 2022, eq. 5.

[G25]: Grasselli et al., Digital Discovery 2025, 4, 2654.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from bostruct.errors import InputError, ShapeError, error_message


def gaussian_nll(error: Tensor, variance: Tensor) -> Tensor:
    """Return (19), `[...]`, the constant included; not summed.

    Args:
        error: `[...]` eV.
        variance: `[...]` eV², positive.

    Raises:
        InputError: a variance is not positive.
    """
    _check_positive(variance)
    squared = error.square() / variance
    return (squared + variance.log() + math.log(2 * math.pi)) / 2


def beta_nll(error: Tensor, variance: Tensor, beta: float = 0.5) -> Tensor:
    """Return (19) weighed by variance^beta, which counts as a constant, `[...]`.

    The slope with the mean is -e t2^(beta - 1): at 0 that of (19), at 1 that of the
    square, whatever the variance. The best variance at a given mean stays e².

    Args:
        error: `[...]` eV.
        variance: `[...]` eV², positive.
        beta: from 0 to 1.

    Raises:
        InputError: a variance is not positive, or beta is out of range.
    """
    if not 0 <= beta <= 1:
        raise InputError(error_message("beta", "be from 0 to 1", beta, "Try 0.5."))
    return variance.detach() ** beta * gaussian_nll(error, variance)


class VarianceDecomposition(NamedTuple):
    """Variances `[...]` eV²: between the members, and what they predict themselves."""

    between: Tensor
    within: Tensor

    @property
    def total(self) -> Tensor:
        """Their sum, `[...]` eV²."""
        return self.between + self.within


def decompose_variance(means: Tensor, variances: Tensor, ddof: int = 1) -> VarianceDecomposition:
    """Return the two terms of (20) for members that predict variances, `[...]`.

    With the divisor M it is the variance of the mixture of their Gaussians with equal
    weights, whether members are correlated or not.

    Args:
        means: `[M, ...]` eV.
        variances: `[M, ...]` eV², not negative.
        ddof: 1 for the divisor M - 1 of (20), 0 for M.

    Raises:
        ShapeError: they do not have the same shape.
        InputError: there are not more members than `ddof`, or a variance is negative.
    """
    if means.shape != variances.shape:
        condition = f"have the shape {list(means.shape)} of the means"
        raise ShapeError(error_message("variances", condition, list(variances.shape)))
    if ddof not in (0, 1):
        condition = "be 1 for the divisor M - 1 or 0 for M"
        raise InputError(error_message("ddof", condition, ddof))
    if len(means) <= ddof:
        condition = f"hold more than {ddof} members"
        raise InputError(error_message("means", condition, len(means), "Try `ddof=0`."))
    if bool((variances < 0).any()):
        condition = "be not negative"
        raise InputError(error_message("variances", condition, float(variances.min())))
    gap = means - means.mean(0)
    between = gap.square().sum(0) / (len(means) - ddof)
    return VarianceDecomposition(between, variances.mean(0))


def _check_positive(variance: Tensor) -> None:
    if not bool((variance.detach() > 0).all()):
        least = float(torch.min(variance.detach()))
        way_out = "Add the square of the smallest deviation that matters."
        raise InputError(error_message("variance", "be positive", least, way_out))
