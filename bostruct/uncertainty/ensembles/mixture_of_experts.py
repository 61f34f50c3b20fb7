"""Several experts, each of which is asked where it is at home (row U14).

Notation, with equation numbers of Grasselli et al., Digital Discovery 2025, 4, 2654
    d   [..., K]     any  distance to what each expert was trained on
    p   [..., K]     1    gates: how much each expert counts; they add up to 1
    y   [..., K]     eV   what each expert says
    s2  [..., K]     eV²  variance of each expert, (24)
    C   [..., K, K]  eV²  covariance between the experts' errors

    y* = Σ p y                                                                   (21)

and a variance in one of three modes:

    independent   Σ p² s2                                                        (25)
    correlated    pᵀ C p, or its largest value (Σ p s)² where C is not known
    mixture       Σ p (s2 + y²) - y*²

(25) takes experts for independent: K equal ones shrink it by K, which shared data or a
shared form do not warrant. "mixture" is the variance of the weighted density of all of
them; it contains their disagreement.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from bostruct.errors import InputError, ShapeError, check_positive, error_message
from bostruct.uncertainty.ensembles.committee import EnsembleMoments
from bostruct.uncertainty.linear_model.sufficient_statistics import check_choice, check_finite_rows

MixtureMode = Literal["independent", "correlated", "mixture"]

GATE_SUM_TOLERANCE = 1e-6  # by how much the sum of gates may miss 1


def distance_gates(distance: Tensor, *, sharpness: float = 1.0) -> Tensor:
    """Softmax of `sharpness` over distance, (22), `[..., K]`.

    An expert at no distance at all takes everything; several share it.

    Args:
        distance: `[..., K]`, not negative.
        sharpness: unit of a distance; where 1 / d is large against 1 / sharpness for
            the nearest expert it is the only one.

    Raises:
        ShapeError: there are no distances.
        InputError: one is negative or not finite, or sharpness is not positive.
    """
    check_positive("sharpness", sharpness)
    check_finite_rows("distance", distance)
    if float(distance.detach().min()) < 0:
        least = float(distance.detach().min())
        raise InputError(error_message("distance", "not be negative", least))
    # `where` still differentiates the branch it drops: no zero may enter 1 / d.
    touches = distance <= sharpness / torch.finfo(distance.dtype).max
    far = torch.where(touches, torch.ones_like(distance), distance)
    found = torch.log_softmax(sharpness / far, -1).exp()
    home = touches.to(distance)
    some = touches.any(-1, keepdim=True)
    return torch.where(some, home / home.sum(-1, keepdim=True).clamp(min=1), found)


def density_gates(log_density: Tensor) -> Tensor:
    """Densities over their sum, (23), from their logarithms, `[..., K]`.

    Args:
        log_density: `[..., K]`, of what each expert was trained on, its weight
            included: log π N(x; μ, Σ). Far from all of them none underflows.

    Raises:
        ShapeError: there are no densities.
        InputError: one is not finite.
    """
    check_finite_rows("log_density", log_density)
    return torch.log_softmax(log_density, -1).exp()


def mix_experts(
    mean: Tensor,
    variance: Tensor,
    gates: Tensor,
    mode: MixtureMode = "mixture",
    *,
    covariance: Tensor | None = None,
) -> EnsembleMoments:
    """Return the mean (21) and a variance of several experts, `[...]`, differentiable.

    Args:
        mean: y `[..., K]` eV.
        variance: s2 `[..., K]` eV².
        gates: p `[..., K]`.
        mode: which variance, see the module.
        covariance: C `[..., K, K]`, for "correlated" alone.

    Raises:
        ShapeError: the shapes do not fit.
        InputError: a number is not finite, a variance or gate negative, gates do not
            add up to 1, the mode is unknown, or a covariance is given to another mode.
    """
    check_choice("mode", mode, get_args(MixtureMode))
    check_finite_rows("mean", mean)
    for name, value in (("variance", variance), ("gates", gates)):
        if value.shape != mean.shape:
            wanted = f"have the shape {list(mean.shape)} of the mean"
            raise ShapeError(error_message(name, wanted, f"shape {list(value.shape)}"))
        check_finite_rows(name, value)
        if float(value.detach().min()) < 0:
            least = float(value.detach().min())
            raise InputError(error_message(name, "not be negative", least))
    gap = float((gates.detach().sum(-1) - 1).abs().max())
    if gap > GATE_SUM_TOLERANCE:
        raise InputError(error_message("gates", "add up to 1", f"a sum off by {gap:.3g}"))
    if covariance is not None and mode != "correlated":
        wanted = "be given for the mode correlated and for no other"
        raise InputError(error_message("covariance", wanted, mode))
    total = (gates * mean).sum(-1)
    if mode == "independent":
        return EnsembleMoments(total, (gates.square() * variance).sum(-1))
    if mode == "mixture":
        # Around the mean, as energies may be 1e5 eV and their differences 1e-3 eV.
        apart = (mean - total.unsqueeze(-1)).square()
        return EnsembleMoments(total, (gates * (variance + apart)).sum(-1))
    if covariance is None:
        # A root has no slope at zero; an expert without variance adds none.
        safe = torch.where(variance > 0, variance, torch.ones_like(variance)).sqrt()
        deviation = torch.where(variance > 0, safe, torch.zeros_like(safe))
        return EnsembleMoments(total, (gates * deviation).sum(-1).square())
    if covariance.shape != (*mean.shape, mean.shape[-1]):
        wanted = f"have the shape {[*mean.shape, mean.shape[-1]]}"
        raise ShapeError(error_message("covariance", wanted, f"shape {list(covariance.shape)}"))
    check_finite_rows("covariance", covariance)
    found = torch.einsum("...k,...kl,...l->...", gates, covariance, gates)
    return EnsembleMoments(total, found.clamp(min=0))
