"""Gaussian negative log-likelihoods that train a predicted variance (rows U11-U13).

Notation, with equation numbers of [G25]
    e    [...]     eV    truth minus mean
    t2   [...]     eV²   predicted variance
    M              1     members

    nll   = (e² / t2 + ln t2 + ln 2π) / 2                                  (19)
    total = Σ (y - ȳ)² / (M - ddof) + Σ t2 / M                             (20)

Means that are trained by (19) from the start may stay wrong where a large variance outweighs their
errors. Training on squared errors first, or weighting each term by t2^beta, avoids that: Seitzer
et al., ICLR 2022, eq. 5.

[G25]: Grasselli et al., Digital Discovery 2025, 4, 2654.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from bostruct.errors import InputError, check_shape, error_message


def gaussian_nll(error: Tensor, variance: Tensor) -> Tensor:
    """Return (19) of each error, `[...]`, constant included.

    Args:
        error: `[...]` eV, truth minus mean.
        variance: `[...]` eV², predicted and positive.

    Raises:
        InputError: a variance is not positive.
    """
    if not bool((variance.detach() > 0).all()):
        hint = "Add the square of the smallest deviation that matters."
        minimum = float(variance.detach().min())
        raise InputError(error_message("variance", "be positive", minimum, hint))
    squared = error.square() / variance
    return (squared + variance.log() + math.log(2 * math.pi)) / 2


def beta_nll(error: Tensor, variance: Tensor, beta: float = 0.5) -> Tensor:
    """Return (19) weighted by variance^beta, which is treated as a constant, `[...]`.

    The derivative with respect to the mean is -e t2^(beta - 1): for beta = 0 that of (19), for
    beta = 1 that of the squared error. The optimal variance at a given mean stays e².

    Args:
        error: `[...]` eV, truth minus mean.
        variance: `[...]` eV², predicted and positive.
        beta: exponent of the weight, from 0 to 1.

    Raises:
        InputError: a variance is not positive, or beta is out of range.
    """
    check_beta(beta)
    return variance.detach() ** beta * gaussian_nll(error, variance)


class VarianceDecomposition(NamedTuple):
    """Variances `[...]` eV²: between the members, and mean of those that they predict."""

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
        means: `[M, ...]` eV, mean of each member.
        variances: `[M, ...]` eV², variance of each member, not negative.
        ddof: 1 for the divisor M - 1 of (20), 0 for M.

    Raises:
        ShapeError: means and variances have different shapes.
        InputError: there are not more members than `ddof`, or a variance is negative.
    """
    check_shape("variances", variances, means.shape, "It is that of the means.")
    check_ddof(ddof)
    if len(means) <= ddof:
        condition = f"hold more than {ddof} members"
        raise InputError(error_message("means", condition, len(means), "Try `ddof=0`."))
    if bool((variances < 0).any()):
        condition = "be not negative"
        raise InputError(error_message("variances", condition, float(variances.min())))
    between = (means - means.mean(0)).square().sum(0) / (len(means) - ddof)
    return VarianceDecomposition(between, variances.mean(0))


def check_beta(beta: float) -> None:
    """Refuse an exponent of the variance that is not from 0 to 1.

    Raises:
        InputError: it is not.
    """
    if not 0 <= beta <= 1:
        raise InputError(error_message("beta", "be from 0 to 1", beta, "Try 0.5."))


def check_ddof(ddof: int) -> None:
    """Refuse delta degrees of freedom other than 0 and 1.

    Raises:
        InputError: they are others.
    """
    if ddof not in (0, 1):
        raise InputError(error_message("ddof", "be 1 for the divisor M - 1 or 0 for M", ddof))
