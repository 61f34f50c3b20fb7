"""Scores of probabilistic predictions, each a single number.

Section 2.4.3 of Grasselli et al., Digital Discovery 4, 2654 (2025), with definitions of
Tran et al., Mach. Learn.: Sci. Technol. 1, 025006 (2020); the probability score is
from Gneiting and Raftery, J. Am. Stat. Assoc. 102, 359 (2007).

Scores take `Residuals` and reduce their last dimension.

Notation
    e     [..., n]  target unit   truth minus mean
    s     [..., n]  target unit   predicted standard deviation
    zeta  [..., n]  1             e / s
    p     [k]       1             nominal probability of an interval
"""

from __future__ import annotations

from bostruct.runtime import botorch_import as botorch_import

# isort: split

import math
from dataclasses import dataclass
from typing import Literal, final, get_args

import scipy
import torch
from torch import Tensor

from bostruct.errors import InputError, check_choice, check_count, error_message
from bostruct.uncertainty.calibration.residuals import ArrayLike, Residuals, as_finite_tensor

CurveDefinition = Literal["interval", "quantile"]


def sharpness(residuals: Residuals) -> Tensor:
    """Return √mean s², `[...]` target unit: smaller is sharper, whatever the errors.

    Args:
        residuals: `[..., n]` residuals.
    """
    return residuals.variance.mean(-1).sqrt()


def dispersion(residuals: Residuals) -> Tensor:
    """Return C_v = sd(s) / mean(s), `[...]` 1; sd with the divisor n - 1.

    Near zero, all predictions have the same error bar.

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
    terms = residuals.z.square() + residuals.variance.log() + math.log(2 * math.pi)
    return terms.mean(-1) / 2


def crps(residuals: Residuals) -> Tensor:
    """Return the mean continuous ranked probability score, `[...]` target unit.

    Of Gaussians: s [ζ (2 Φ(ζ) - 1) + 2 φ(ζ) - 1/√π], Gneiting and Raftery. The mean
    absolute error of a prediction that is certain; smaller is better.

    Args:
        residuals: `[..., n]` residuals.
    """
    z = residuals.z
    twice_density = torch.exp(-0.5 * z.square()) * math.sqrt(2 / math.pi)
    scaled = z * torch.erf(z / math.sqrt(2)) + twice_density - 1 / math.sqrt(math.pi)
    return (residuals.std * scaled).mean(-1)


def coverage(residuals: Residuals, confidence_levels: ArrayLike = (0.5, 0.9, 0.95)) -> Tensor:
    """Return the fraction of truths in the central Gaussian intervals, `[..., k]`.

    Args:
        residuals: `[..., n]` residuals.
        confidence_levels: `[k]` nominal probabilities of the intervals.

    Raises:
        InputError: a probability outside 0 to 1.
    """
    return calibration_curve(residuals, confidence_levels)


def spearman(residuals: Residuals) -> Tensor:
    """Return the rank correlation of |e| and s, `[...]` 1; ties share their ranks.

    Even for perfect variances it stays below one, since single errors scatter. NaN
    where all variances or all errors are equal.

    Args:
        residuals: `[..., n]` residuals.

    Raises:
        InputError: fewer than two points.
    """
    _check_two_points(residuals)
    x, y = (
        torch.as_tensor(scipy.stats.rankdata(value.detach().cpu(), axis=-1)).to(value)
        for value in (residuals.error.abs(), residuals.variance)
    )
    dx, dy = x - x.mean(-1, keepdim=True), y - y.mean(-1, keepdim=True)
    scale = dx.square().sum(-1) * dy.square().sum(-1)
    return (dx * dy).sum(-1) / scale.sqrt()


def sparsification_error(residuals: Residuals) -> Tensor:
    """Return the area under the sparsification error (AUSE), `[...]` 1.

    Points are removed by falling s, one by one, and the root mean squared error of the rest is
    compared with that of removal by falling |e|; the mean difference over the error of all points.
    Zero if s ranks as |e|, NaN if all errors are zero.

    Args:
        residuals: `[..., n]` residuals.
    """
    squared = residuals.error.square()
    order = residuals.variance.argsort(dim=-1, stable=True)
    n_kept = torch.arange(1, residuals.n_points + 1).to(squared)
    by_s, by_error = (
        (ascending.cumsum(-1) / n_kept).sqrt()
        for ascending in (squared.gather(-1, order), squared.sort(-1).values)
    )
    return (by_s - by_error).mean(-1) / by_error[..., -1]


def calibration_curve(
    residuals: Residuals, confidence_levels: ArrayLike, *, definition: CurveDefinition = "interval"
) -> Tensor:
    """Return the observed frequency at each nominal probability, `[..., k]`.

    "interval": |ζ| <= Φ⁻¹((1 + p) / 2), the central interval of probability p.
    "quantile": ζ <= Φ⁻¹(p), below the quantile p.

    Args:
        residuals: `[..., n]` residuals.
        confidence_levels: `[k]` nominal probabilities p.
        definition: "interval" or "quantile".

    Raises:
        InputError: a probability outside 0 to 1, or an unknown definition.
    """
    p = as_finite_tensor("confidence_levels", confidence_levels).to(residuals.error.device)
    if bool(((p < 0) | (p > 1)).any()):
        condition, hint = "be between 0 and 1", "Levels are probabilities, 0.9 for 90 %."
        raise InputError(error_message("confidence_levels", condition, p.tolist(), hint))
    check_choice("definition", definition, get_args(CurveDefinition))
    if definition == "interval":
        z, edge = residuals.z.abs(), math.sqrt(2) * torch.erfinv(p)
    else:
        z, edge = residuals.z, torch.special.ndtri(p)
    ranked = z.sort(-1).values.contiguous()
    edges = edge.expand(*ranked.shape[:-1], -1).contiguous()
    below = torch.searchsorted(ranked, edges, right=True)
    return below.to(residuals.error.dtype) / residuals.n_points


@final
@dataclass(frozen=True, eq=False)
class MiscalibrationArea:
    """Areas between the calibration curve and the diagonal.

    Attributes:
        area: `[...]` 1, ∫ |observed - p| dp.
        signed_area: `[...]` 1, ∫ (observed - p) dp. For intervals, negative is overconfident; for
            quantiles, negative means that predicted means are too low.
        definition: "interval" or "quantile"; their areas differ by a factor of about two.
    """

    area: Tensor
    signed_area: Tensor
    definition: CurveDefinition


def miscalibration_area(
    residuals: Residuals, *, definition: CurveDefinition = "interval", n_levels: int | None = None
) -> MiscalibrationArea:
    """Return the area between nominal probabilities and observed frequencies.

    Skewed or heavy-tailed errors show in it too, so it is less specific than (26) and (28). A
    variance c² times the true one gives Gaussian errors the signed interval area (2/π) atan(c) - ½.

    Args:
        residuals: `[..., n]` residuals.
        definition: "interval", or "quantile" as in Tran et al.
        n_levels: number of probabilities from 0 to 1 of a polygon, 100 in common tables; by
            default the integral is exact.

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
    heights = torch.where(start * end < 0, triangles, size / 2)
    return MiscalibrationArea((width * heights).sum(-1), signed, definition)


def _calibration_steps(
    residuals: Residuals, definition: CurveDefinition
) -> tuple[Tensor, Tensor, Tensor]:
    """Return observed minus p at both ends of each step, and the widths, `[..., n+1]`.

    The observed frequency is constant between the probabilities at which points enter.
    """
    check_choice("definition", definition, get_args(CurveDefinition))
    if definition == "interval":
        enter = torch.erf(residuals.z.abs() / math.sqrt(2))
    else:
        enter = torch.special.ndtr(residuals.z)
    p = torch.nn.functional.pad(enter.sort(-1).values, (1, 0))
    p = torch.nn.functional.pad(p, (0, 1), value=1.0)
    observed = torch.arange(residuals.n_points + 1).to(p) / residuals.n_points
    return observed - p[..., :-1], observed - p[..., 1:], p.diff(dim=-1)


def _check_two_points(residuals: Residuals) -> None:
    if residuals.n_points < 2:
        raise InputError(error_message("residuals", "hold at least 2 points", residuals.n_points))
