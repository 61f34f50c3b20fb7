"""Positions and cells as values of a function of coordinates, with gradients.

Functions of torch differentiate themselves; others by central differences. Near a bound the three
points of a difference stay inside, and the slope is that of the parabola through them.

Notation
    n, d, m   points, coordinates, values of a structure
    X         [n, d]
    V         [n, m]  Å   positions of all atoms and the cell, flat
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bostruct.spaces.coordinates.coordinate_domain import CoordinateDomain

RELATIVE_STEP = 6e-6
"""Step in `CoordinateDomain.units`, the cube root of the rounding of float64: truncation and
rounding errors are about equal."""

Values = Callable[[Tensor], Tensor]
"""A function of points `[n, d]` to values `[n, m]` Å."""


def jacobian(values: Values, domain: CoordinateDomain, X: Tensor) -> Tensor:
    """Return the derivatives of values by coordinates, `[n, m, d]`.

    Args:
        values: function of points `[n, d]`, called with the three points of each coordinate.
        domain: bounds of the coordinates.
        X: `[n, d]` points in the domain, float64.
    """
    h = RELATIVE_STEP * domain.units
    inside = torch.minimum(torch.maximum(X, domain.lower + h), domain.upper - h)
    center = torch.where(domain.periodic, X, inside)
    columns = []
    for k in range(len(domain)):
        at = X.clone()
        at[:, k] = center[:, k]
        step = torch.zeros_like(X)
        step[:, k] = h[k]
        before, here, after = values(torch.cat((at - step, at, at + step))).split(len(X))
        offset = (X[:, k] - center[:, k]).unsqueeze(-1)
        slope = (after - before) / (2 * h[k])
        columns.append(slope + offset * (after - 2 * here + before) / h[k] ** 2)
    return torch.stack(columns, -1)


@final
class NumericalValues(torch.autograd.Function):
    """Values of a function without derivatives, whose gradient is one of differences.

    Where a difference is not known, as at the border of where the function has values, it is zero.
    """

    @staticmethod
    def forward(ctx: Any, X: Tensor, values: Values, domain: CoordinateDomain) -> Tensor:  # noqa: ANN401 - torch
        """Return the values `[n, m]` at X `[n, d]`."""
        ctx.save_for_backward(X)
        ctx.values, ctx.domain = values, domain
        return values(X)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401 - torch
        """Return the gradient by X `[n, d]` for one by the values `[n, m]`."""
        (X,) = ctx.saved_tensors
        J = jacobian(ctx.values, ctx.domain, X).nan_to_num()
        return (gradient.unsqueeze(-1) * J).sum(-2), None, None
