"""Reliability diagram and expected normalised calibration error (ENCE).

Section 2.4.2 and equation (28) of Grasselli et al., Digital Discovery 4, 2654 (2025). The binned
error is from Levi et al., Sensors 22, 5540 (2022); its growth with the root of the number of bins
is from Pernot, arXiv 2305.11905 (2023).

Notation
    RMV   [..., k]  target unit  root of the mean predicted variance of a bin
    RMSE  [..., k]  target unit  root of the mean squared error of a bin
    n     1         points, N in the article
    k     1         bins, B in the article
"""

from __future__ import annotations

from bostruct.runtime import botorch_import as botorch_import

# isort: split

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import scipy
import torch
from torch import Tensor

from bostruct.errors import InputError, check_count, check_fraction, error_message
from bostruct.uncertainty.calibration.residuals import Residuals

ONE_SIGMA_PROBABILITY = 0.6826894921370859


@final
@dataclass(frozen=True, eq=False)
class ReliabilityDiagram:
    """Points of a reliability diagram, by rising predicted variance.

    Attributes:
        rmv: `[..., k]` target unit, root mean predicted variance.
        rmse: `[..., k]` target unit, root mean squared error.
        n_points: `[k]` number of points of each bin.
        band_lower: `[..., k]` target unit, lower end of the confidence band of `rmse` for errors
            that are Gaussian and calibrated.
        band_upper: `[..., k]` target unit, upper end of the confidence band of `rmse`.
        n_effective: `[..., k]` effective number of points of each bin, for the slope.
    """

    rmv: Tensor
    rmse: Tensor
    n_points: Tensor
    band_lower: Tensor
    band_upper: Tensor
    n_effective: Tensor

    @property
    def fraction_in_band(self) -> Tensor:
        """Fraction of the bins within the band, `[...]` 1."""
        inside = (self.band_lower <= self.rmse) & (self.rmse <= self.band_upper)
        return inside.double().mean(-1)

    @property
    def slope(self) -> Tensor:
        """Slope of ln RMSE over ln RMV, `[...]` 1.

        One where variances rank errors perfectly, zero where they are uninformative; a factor on
        all variances does not change it. NaN for equal variances.
        """
        x, y = self.rmv.log(), self.rmse.log()
        w = self.n_effective / self.n_effective.sum(-1, keepdim=True)
        dx = x - (w * x).sum(-1, keepdim=True)
        dy = y - (w * y).sum(-1, keepdim=True)
        return (w * dx * dy).sum(-1) / (w * dx * dx).sum(-1)


def reliability_diagram(
    residuals: Residuals, n_bins: int = 10, *, confidence: float = ONE_SIGMA_PROBABILITY
) -> ReliabilityDiagram:
    """Return predicted and actual errors in bins of equal count.

    Points are sorted by predicted variance (ties keep their order) and cut into bins
    whose counts differ by one at most. In calibrated Gaussian data the sum of squared
    errors of a bin follows a scaled chi-squared law with (Σ s2)² / Σ s2² degrees of
    freedom, n / k where the variances of the bin agree; the band is from that.

    Args:
        residuals: `[..., n]` residuals.
        n_bins: number of bins k.
        confidence: probability of the band.

    Raises:
        InputError: more bins than points, or a confidence outside 0 to 1.
    """
    check_fraction("confidence", confidence)
    check_count("n_bins", n_bins)
    if n_bins > residuals.n_points:
        condition = f"be at most the number of points, {residuals.n_points}"
        raise InputError(error_message("n_bins", condition, n_bins))
    bins = residuals.variance.argsort(dim=-1, stable=True).tensor_split(n_bins, -1)
    squared = [residuals.error.square().gather(-1, index) for index in bins]
    s2 = [residuals.variance.gather(-1, index) for index in bins]
    n_points = torch.tensor([values.shape[-1] for values in s2])
    mean_s2 = torch.stack([values.mean(-1) for values in s2], -1)
    mse = torch.stack([values.mean(-1) for values in squared], -1)
    dof = torch.stack([values.sum(-1) ** 2 / values.square().sum(-1) for values in s2], -1)
    degrees = dof.detach().cpu().numpy()
    lower, upper = (
        (mean_s2 * torch.as_tensor(quantile / degrees).to(mse)).sqrt()
        for quantile in scipy.stats.chi2(degrees).interval(confidence)
    )
    return ReliabilityDiagram(mean_s2.sqrt(), mse.sqrt(), n_points, lower, upper, dof)


@final
@dataclass(frozen=True, eq=False)
class BinnedCalibrationError:
    """Expected normalised calibration error with its value for calibrated data.

    Attributes:
        value: `[...]` 1, the ENCE.
        floor: 1, expected ENCE of perfectly calibrated Gaussian data.
        n_bins: number of bins k.
        n_points: number of points.
    """

    value: Tensor
    floor: float
    n_bins: int
    n_points: int


def ence(residuals: Residuals, n_bins: int = 10) -> BinnedCalibrationError:
    """Return the expected normalised calibration error (28).

    ENCE = 1/k Σ |RMV - RMSE| / RMV over bins of equal count. It is never zero: for calibrated
    Gaussian data it is about √(k / (π n)), returned as `floor` for comparison.

    Args:
        residuals: `[..., n]` residuals.
        n_bins: number of bins k.

    Raises:
        InputError: more bins than points.
    """
    diagram = reliability_diagram(residuals, n_bins)
    floor = math.sqrt(n_bins / (math.pi * residuals.n_points))
    value = ((diagram.rmv - diagram.rmse).abs() / diagram.rmv).mean(-1)
    return BinnedCalibrationError(value, floor, n_bins, residuals.n_points)


def ence_intercept(
    residuals: Residuals, bin_counts: Sequence[int] = (4, 6, 9, 12, 16, 20, 25)
) -> Tensor:
    """Return the ENCE extrapolated to zero bins, `[...]`, which removes its growth with √k.

    The intercept of a straight line through ENCE over √k: near zero for calibrated data of any
    size, slightly negative by chance.

    Args:
        residuals: `[..., n]` residuals.
        bin_counts: at least two different numbers of bins.

    Raises:
        InputError: fewer than two numbers of bins, or more bins than points.
    """
    if len(set(bin_counts)) < 2:
        raise InputError(
            error_message("bin_counts", "hold two different numbers", list(bin_counts))
        )
    values = torch.stack([ence(residuals, count).value for count in bin_counts], -1)
    x = values.new_tensor(bin_counts).sqrt()
    dx = x - x.mean()
    slope = (values * dx).sum(-1) / dx.square().sum()
    return values.mean(-1) - slope * x.mean()
