"""What a set of predicted means and variances is worth, in single numbers.

Section 2.4.3 of Grasselli et al., Digital Discovery 4, 2654 (2025), with definitions of
Tran et al., Mach. Learn.: Sci. Technol. 1, 025006 (2020); the probability score is
from Gneiting and Raftery, J. Am. Stat. Assoc. 102, 359 (2007).

Scores take `Residuals` and reduce their last dimension.

Notation
    e     [..., n]  target unit   truth minus mean
    s     [..., n]  target unit   predicted standard deviation
    zeta  [..., n]  1             e / s
    p     [k]       1             probability that an interval claims
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from bostruct.errors import InputError, check_count, error_message
from bostruct.uncertainty.calibration.residuals import ArrayLike, Residuals, as_finite_tensor

CurveDefinition = Literal["interval", "quantile"]

SQRT_PI = math.sqrt(math.pi)


def sharpness(residuals: Residuals) -> Tensor:
    """Return √mean s², `[...]` target unit: smaller is sharper, right or wrong.

    Args:
        residuals: `[..., n]` residuals.
    """
    return residuals.variance.mean(-1).sqrt()


def dispersion(residuals: Residuals) -> Tensor:
    """Return C_v = sd(s) / mean(s), `[...]` 1; sd with the divisor n - 1.

    Near zero, all predictions carry one error bar.

    Args:
        residuals: `[..., n]` residuals.

    Raises:
        InputError: fewer than two points.
    """
    _check_two_points(residuals)
    return residuals.std.std(-1) / residuals.std.mean(-1)


def nll(residuals: Residuals) -> Tensor:
    """Return the mean Gaussian negative log-likelihood, `[...]` nats; (19).

    ½ [e²/s2 + ln s2 + ln 2π]. Some tables print the sum, n times this.

    Args:
        residuals: `[..., n]` residuals.
    """
    each = residuals.z.square() + residuals.variance.log() + math.log(2 * math.pi)
    return each.mean(-1) / 2


def crps(residuals: Residuals) -> Tensor:
    """Return the mean continuous ranked probability score, `[...]` target unit.

    Of Gaussians: s [ζ (2 Φ(ζ) - 1) + 2 φ(ζ) - 1/√π], Gneiting and Raftery. The mean
    absolute error of a prediction that is certain; smaller is better.

    Args:
        residuals: `[..., n]` residuals.
    """
    z = residuals.z
    twice_density = torch.exp(-0.5 * z.square()) * math.sqrt(2 / math.pi)
    each = z * torch.erf(z / math.sqrt(2)) + twice_density - 1 / SQRT_PI
    return (residuals.std * each).mean(-1)


def coverage(residuals: Residuals, confidence_levels: ArrayLike = (0.5, 0.9, 0.95)) -> Tensor:
    """Return which share of truths lies in the central Gaussian intervals, `[..., k]`.

    Args:
        residuals: `[..., n]` residuals.
        confidence_levels: `[k]` what the intervals claim, 1.

    Raises:
        InputError: a level outside 0 to 1.
    """
    return calibration_curve(residuals, confidence_levels)


def spearman(residuals: Residuals) -> Tensor:
    """Return the rank correlation of |e| and s, `[...]` 1; ties share their ranks.

    Even for perfect variances it stays below one, since single errors scatter. Not a
    number where all variances or all errors are equal.

    Args:
        residuals: `[..., n]` residuals.

    Raises:
        InputError: fewer than two points.
    """
    _check_two_points(residuals)
    x, y = _ranks(residuals.error.abs()), _ranks(residuals.variance)
    dx, dy = x - x.mean(-1, keepdim=True), y - y.mean(-1, keepdim=True)
    scale = dx.square().sum(-1) * dy.square().sum(-1)
    return (dx * dy).sum(-1) / scale.sqrt()


def sparsification_error(residuals: Residuals) -> Tensor:
    """Return the area under the sparsification error (AUSE), `[...]` 1.

    Points leave by falling s, one by one, and the root mean squared error of the rest
    is compared with what leaving by falling |e| would have given; the mean difference
    over the error of all. Zero if s ranks as |e|. Not a number if all errors are zero.

    Args:
        residuals: `[..., n]` residuals.
    """
    squared = residuals.error.square()
    order = residuals.variance.argsort(dim=-1, stable=True)
    kept = torch.arange(1, residuals.n_points + 1).to(squared)

    def rest(ascending: Tensor) -> Tensor:
        return (ascending.cumsum(-1) / kept).sqrt()

    by_s, by_error = rest(squared.gather(-1, order)), rest(squared.sort(-1).values)
    return (by_s - by_error).mean(-1) / by_error[..., -1]


def calibration_curve(
    residuals: Residuals, confidence_levels: ArrayLike, *, definition: CurveDefinition = "interval"
) -> Tensor:
    """Return the share of truths that each claimed probability has caught, `[..., k]`.

    "interval": |ζ| <= Φ⁻¹((1 + p) / 2), the central interval of probability p.
    "quantile": ζ <= Φ⁻¹(p), below the quantile p.

    Args:
        residuals: `[..., n]` residuals.
        confidence_levels: `[k]` p, 1.
        definition: one of the two.

    Raises:
        InputError: a level outside 0 to 1, or an unknown definition.
    """
    p = as_finite_tensor("confidence_levels", confidence_levels).to(residuals.error.device)
    if bool(((p < 0) | (p > 1)).any()):
        way_out = "Levels are probabilities, 0.9 for 90 %."
        raise InputError(
            error_message("confidence_levels", "be between 0 and 1", p.tolist(), way_out)
        )
    if definition == "interval":
        least, edge = residuals.z.abs(), math.sqrt(2) * torch.erfinv(p)
    elif definition == "quantile":
        least, edge = residuals.z, torch.special.ndtri(p)
    else:
        condition = "be interval or quantile"
        raise InputError(error_message("definition", condition, repr(definition)))
    ranked = least.sort(-1).values.contiguous()
    edges = edge.expand(*ranked.shape[:-1], -1).contiguous()
    below = torch.searchsorted(ranked, edges, right=True)
    return below.to(residuals.error.dtype) / residuals.n_points


@final
@dataclass(frozen=True, eq=False)
class MiscalibrationArea:
    """Areas between what was claimed and what was found.

    Attributes:
        area: `[...]` 1, ∫ |found - p| dp.
        signed_area: `[...]` 1, ∫ (found - p) dp. Of intervals: negative is overconfident.
            Of quantiles: negative is means that are too low.
        definition: "interval" or "quantile"; their areas differ by about two.
    """

    area: Tensor
    signed_area: Tensor
    definition: CurveDefinition


def miscalibration_area(
    residuals: Residuals, *, definition: CurveDefinition = "interval", n_levels: int | None = None
) -> MiscalibrationArea:
    """Return the area between claimed and found probabilities.

    Skewed or heavy-tailed errors show in it too, so it ranks below (26) and (28). A variance c²
    times the true one gives Gaussian errors a signed interval area of (2/π) atan(c) - ½.

    Args:
        residuals: `[..., n]` residuals.
        definition: "interval", or "quantile" as in Tran et al.
        n_levels: default the exact integral; else the polygon through so many levels
            from 0 to 1, 100 in common tables.

    Raises:
        InputError: fewer than two points, or an unknown definition.
    """
    if n_levels is None:
        start, end, width = _calibration_steps(residuals, definition)
    else:
        check_count("n_levels", n_levels, 2)
        p = torch.linspace(0, 1, n_levels).to(residuals.error)
        gap = calibration_curve(residuals, p, definition=definition) - p
        start, end, width = gap[..., :-1], gap[..., 1:], p.diff()
    signed = (width * (start + end) / 2).sum(-1)
    # A straight piece that crosses zero is two triangles.
    size = start.abs() + end.abs()
    triangles = (start.square() + end.square()) / (2 * size.clamp(min=1e-300))
    each = torch.where(start * end < 0, triangles, size / 2)
    return MiscalibrationArea((width * each).sum(-1), signed, definition)


def _calibration_steps(
    residuals: Residuals, definition: CurveDefinition
) -> tuple[Tensor, Tensor, Tensor]:
    """Return found minus p on both ends of each step, and their widths, `[..., n+1]`.

    The share found is constant between the probabilities at which points enter.
    """
    if definition == "interval":
        enter = torch.erf(residuals.z.abs() / math.sqrt(2))
    elif definition == "quantile":
        enter = torch.special.ndtr(residuals.z)
    else:
        condition = "be interval or quantile"
        raise InputError(error_message("definition", condition, repr(definition)))
    enter = enter.sort(-1).values
    side = enter[..., :1]
    p = torch.cat([torch.zeros_like(side), enter, torch.ones_like(side)], -1)
    found = torch.arange(residuals.n_points + 1).to(enter) / residuals.n_points
    return found - p[..., :-1], found - p[..., 1:], p.diff(dim=-1)


def _ranks(value: Tensor) -> Tensor:
    """Return ranks from 1, ties shared, `[..., n]`."""
    ranked, wanted = value.sort(-1).values.contiguous(), value.contiguous()
    below = torch.searchsorted(ranked, wanted)
    upto = torch.searchsorted(ranked, wanted, right=True)
    return (below + upto + 1).to(value) / 2


def _check_two_points(residuals: Residuals) -> None:
    if residuals.n_points < 2:
        raise InputError(error_message("residuals", "hold at least 2 points", residuals.n_points))
