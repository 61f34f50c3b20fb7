"""Values of a function of coordinates, with gradients by central differences."""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces.coordinates.coordinate_domain import CoordinateDomain
from bostruct.spaces.coordinates.decoded_values import NumericalValues, jacobian

DOMAIN = CoordinateDomain.from_bounds({"r": (0.0, 2.0), "phi": (0.0, 360.0)}, periodic=["phi"])


def values(X: Tensor) -> Tensor:
    """Return three values of two coordinates, which have none beyond the bounds of r."""
    r, phi = X[:, 0], torch.deg2rad(X[:, 1])
    r = torch.where((r >= 0) & (r <= 2), r, torch.nan)
    return torch.stack((r * phi.cos(), r * phi.sin(), r**2), -1)


def exact(X: Tensor) -> Tensor:
    r, phi = X[:, 0], torch.deg2rad(X[:, 1])
    by_r = torch.stack((phi.cos(), phi.sin(), 2 * r), -1)
    by_phi = torch.stack((-r * phi.sin(), r * phi.cos(), 0 * r), -1)
    return torch.stack((by_r, torch.deg2rad(by_phi)), -1)


def test_jacobian_is_right_at_the_bounds_too() -> None:
    """Differences stay between the bounds, and go over a period."""
    X = torch.tensor([[0.0, 30.0], [2.0, 0.0], [1.3, 359.9999], [2e-6, 5.0]], dtype=torch.float64)
    torch.testing.assert_close(jacobian(values, DOMAIN, X), exact(X), rtol=1e-8, atol=1e-8)


def test_gradients_are_products_with_the_jacobian() -> None:
    """A function without derivatives has a gradient, of first order."""
    X = torch.tensor([[0.5, 30.0], [1.7, 200.0]], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([[1.0, -2.0, 0.5], [0.3, 0.1, 2.0]], dtype=torch.float64)
    result = NumericalValues.apply(X, lambda X: values(X.detach()), DOMAIN)
    (gradient,) = torch.autograd.grad((weight * result).sum(), X)
    expected = (weight.unsqueeze(-1) * exact(X.detach())).sum(-2)
    torch.testing.assert_close(gradient, expected, rtol=1e-8, atol=1e-8)
