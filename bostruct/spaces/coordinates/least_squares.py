"""Nonlinear least squares in a domain, from several starts.

Levenberg-Marquardt: Nocedal and Wright, Numerical Optimization (2006), section 10.3.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bostruct.spaces.coordinates.coordinate_domain import CoordinateDomain

N_TRIAL_POINTS = 64
"""Random points for each coordinate, of which the closest are starts."""

N_STARTS = 6
"""Starts, closest first, until one of them reaches the target."""

MAX_STEPS = 60
"""Steps of one start."""

CONVERGED = 1e-9
"""Largest residual of a value, Å, at which a target is reached."""


def closest_point(
    values: Callable[[Tensor], Tensor],
    jacobian: Callable[[Tensor], Tensor],
    domain: CoordinateDomain,
    target: Tensor,
) -> tuple[Tensor, float]:
    """Return the point `[d]` whose values are closest to a target, and its largest residual.

    Args:
        values: function of points `[n, d]` to values `[n, m]`.
        jacobian: function of points `[n, d]` to derivatives `[n, m, d]`.
        domain: bounds of the points.
        target: `[m]`.
    """
    generator = torch.Generator().manual_seed(0)
    middle = ((domain.lower + domain.upper) / 2).unsqueeze(0)
    X = torch.cat((middle, domain.sample(N_TRIAL_POINTS * len(domain), generator)))
    distance = torch.linalg.vector_norm(values(X) - target, dim=-1)
    best, least = X[0], torch.inf
    for row in distance.argsort()[:N_STARTS]:
        x = _descend(values, jacobian, domain, target, X[row])
        residual = float((values(x.unsqueeze(0))[0] - target).abs().max())
        if residual < least:
            best, least = x, residual
        if least < CONVERGED:
            break
    return best, least


def _descend(
    values: Callable[[Tensor], Tensor],
    jacobian: Callable[[Tensor], Tensor],
    domain: CoordinateDomain,
    target: Tensor,
    x: Tensor,
) -> Tensor:
    """Return the end `[d]` of a descent from x `[d]`."""
    damping, units = 1e-3, domain.units
    r = values(x.unsqueeze(0))[0] - target
    for _ in range(MAX_STEPS):
        J = jacobian(x.unsqueeze(0))[0] * units  # by coordinates in their units
        A, g = J.T @ J, J.T @ r
        scale = A.diagonal().mean().clamp(min=1e-30)
        step = torch.linalg.solve(A + damping * scale * torch.eye(len(x), dtype=A.dtype), g)
        trial = domain.project(x - units * step)
        r_trial = values(trial.unsqueeze(0))[0] - target
        if r_trial.square().sum() < r.square().sum():
            x, r, damping = trial, r_trial, max(damping * 0.1, 1e-15)
        else:
            damping *= 10
            if damping > 1e6:
                break
        if float(step.abs().max()) < 1e-14 or float(r.abs().max()) < 1e-13:
            break
    return x
