"""Least squares in a domain."""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces.coordinates.coordinate_domain import CoordinateDomain
from bostruct.spaces.coordinates.decoded_values import jacobian
from bostruct.spaces.coordinates.least_squares import closest_point

DOMAIN = CoordinateDomain.from_bounds({"r": (0.5, 2.0), "phi": (0.0, 360.0)}, periodic=["phi"])


def values(X: Tensor) -> Tensor:
    phi = torch.deg2rad(X[:, 1])
    return torch.stack((X[:, 0] * phi.cos(), X[:, 0] * phi.sin()), -1)


def test_finds_the_point_of_values() -> None:
    """The point is exact, however far the starts are; others are as close as they can be."""
    X = torch.tensor([[1.7, 359.0]], dtype=torch.float64)
    slope = lambda X: jacobian(values, DOMAIN, X)  # noqa: E731
    x, residual = closest_point(values, slope, DOMAIN, values(X)[0])
    torch.testing.assert_close(x, X[0], rtol=0, atol=1e-9)
    assert residual < 1e-9
    x, residual = closest_point(values, slope, DOMAIN, torch.tensor([3.0, 0.0]).double())
    assert abs(residual - 1.0) < 1e-3
