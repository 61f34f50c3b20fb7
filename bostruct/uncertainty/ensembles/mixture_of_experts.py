"""Mixture of experts: models combined with input-dependent gates (row U14).

Notation, with equation numbers of Grasselli et al., Digital Discovery 2025, 4, 2654
    d   [..., K]     any  distance to the training data of each expert
    p   [..., K]     1    gates: weights of the experts, which add up to 1
    y   [..., K]     eV   mean of each expert
    s2  [..., K]     eV²  variance of each expert, (24)
    C   [..., K, K]  eV²  covariance between the experts' errors

    y* = Σ p y                                                                   (21)

and a variance in one of three modes:

    independent   Σ p² s2                                                        (25)
    correlated    pᵀ C p, or its largest value (Σ p s)² where C is not known
    mixture       Σ p (s2 + y²) - y*²

(25) assumes independent experts: K equal ones shrink it by K, which is unjustified for experts that
share data or form. "mixture" is the variance of the weighted density of all of them; it contains
their disagreement.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from bostruct.errors import InputError, check_choice, check_positive, check_shape, error_message
from bostruct.uncertainty.ensembles.committee import EnsembleMoments
from bostruct.uncertainty.linear_model.sufficient_statistics import check_finite_rows

MixtureMode = Literal["independent", "correlated", "mixture"]

GATE_SUM_TOLERANCE = 1e-6  # by how much the sum of gates may miss 1


def distance_gates(distance: Tensor, *, sharpness: float = 1.0) -> Tensor:
    """Return the softmax of `sharpness` over distance, (22), `[..., K]`.

    An expert at zero distance has gate 1; several of them share it.

    Args:
        distance: `[..., K]`, distance to the training data of each expert, not negative.
        sharpness: length scale of the distances; an expert much nearer than it dominates.

    Raises:
        ShapeError: there are no distances.
        InputError: a distance is negative or not finite, or sharpness is not positive.
    """
    check_positive("sharpness", sharpness)
    check_finite_rows("distance", distance)
    _check_not_negative("distance", distance)
    # `where` still differentiates the branch it drops: no zero may enter 1 / d.
    is_zero = distance <= sharpness / torch.finfo(distance.dtype).max
    nonzero = torch.where(is_zero, torch.ones_like(distance), distance)
    gates = torch.log_softmax(sharpness / nonzero, -1).exp()
    hard = is_zero.to(distance)
    hard_gates = hard / hard.sum(-1, keepdim=True).clamp(min=1)
    return torch.where(is_zero.any(-1, keepdim=True), hard_gates, gates)


def density_gates(log_density: Tensor) -> Tensor:
    """Return densities over their sum, (23), from their logarithms, `[..., K]`.

    Args:
        log_density: `[..., K]`, log density of the training data of each expert, with its weight:
            log π N(x; μ, Σ). Logarithms do not underflow far from all experts.

    Raises:
        ShapeError: there are no densities.
        InputError: a logarithm is not finite.
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
        mean: y `[..., K]` eV, mean of each expert.
        variance: s2 `[..., K]` eV², variance of each expert.
        gates: p `[..., K]`, weights that add up to 1.
        mode: formula of the variance, see the module.
        covariance: C `[..., K, K]` eV² between the experts' errors, for "correlated" alone.

    Raises:
        ShapeError: the shapes do not fit.
        InputError: a number is not finite, a variance or gate negative, gates do not
            add up to 1, the mode is unknown, or a covariance is given to another mode.
    """
    check_choice("mode", mode, get_args(MixtureMode))
    check_finite_rows("mean", mean)
    for name, value in (("variance", variance), ("gates", gates)):
        check_finite_rows(name, check_shape(name, value, mean.shape, "It is that of the mean."))
        _check_not_negative(name, value)
    gap = float((gates.detach().sum(-1) - 1).abs().max())
    if gap > GATE_SUM_TOLERANCE:
        raise InputError(error_message("gates", "add up to 1", f"a sum off by {gap:.3g}"))
    if covariance is not None and mode != "correlated":
        condition = "be given for the mode correlated and for no other"
        raise InputError(error_message("covariance", condition, mode))
    total = (gates * mean).sum(-1)
    if mode == "independent":
        return EnsembleMoments(total, (gates.square() * variance).sum(-1))
    if mode == "mixture":
        # Around the mean, as energies may be 1e5 eV and their differences 1e-3 eV.
        squared = (mean - total.unsqueeze(-1)).square()
        return EnsembleMoments(total, (gates * (variance + squared)).sum(-1))
    if covariance is None:
        # The square root has no derivative at zero; an expert of zero variance adds none.
        safe = torch.where(variance > 0, variance, torch.ones_like(variance)).sqrt()
        deviation = torch.where(variance > 0, safe, torch.zeros_like(safe))
        return EnsembleMoments(total, (gates * deviation).sum(-1).square())
    check_shape("covariance", covariance, (*mean.shape, mean.shape[-1]))
    check_finite_rows("covariance", covariance)
    combined = torch.einsum("...k,...kl,...l->...", gates, covariance, gates)
    return EnsembleMoments(total, combined.clamp(min=0))


def _check_not_negative(name: str, value: Tensor) -> None:
    if (minimum := float(value.detach().min())) < 0:
        raise InputError(error_message(name, "not be negative", minimum))
