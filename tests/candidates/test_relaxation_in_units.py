"""Relaxation of named coordinates in their units."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from bostruct.candidates.batched_lbfgs import relax
from bostruct.candidates.relaxation_in_units import AcquisitionInUnits, relax_in_units
from bostruct.spaces.coordinates.coordinate_domain import CoordinateDomain

DOMAIN = CoordinateDomain.from_bounds(
    {"phi": (-180.0, 180.0), "strain": (-1e-3, 1e-3)}, periodic=["phi"]
)


def acquisition(X: Tensor) -> Tensor:
    """Return a function with its maximum at 170° and beyond the bound of the strain."""
    return torch.deg2rad(X[:, 0] - 170.0).cos() + 500 * X[:, 1]


class WithGradient:
    def __call__(self, X: Tensor) -> Tensor:
        return acquisition(X)

    def value_and_gradient(self, X: Tensor) -> tuple[Tensor, Tensor]:
        angle = torch.deg2rad(X[:, 0] - 170.0)
        slope = torch.stack((-torch.deg2rad(angle.sin()), torch.full_like(angle, 500.0)), -1)
        return acquisition(X), slope


def test_steps_go_over_the_period_to_the_bound() -> None:
    """Coordinates of different sizes are relaxed together, the shortest way."""
    X = torch.tensor([[-100.0, 0.0], [100.0, -5e-4]], dtype=torch.float64)
    for function in (acquisition, WithGradient()):
        climb = partial(relax, fmax=1e-8, max_steps=200, max_step=0.2)
        result = relax_in_units(climb, function, DOMAIN, X)
        expected = torch.tensor([[170.0, 1e-3], [170.0, 1e-3]], dtype=torch.float64)
        torch.testing.assert_close(result.X, expected, rtol=0, atol=1e-2)
        assert DOMAIN.contains(result.X).all()


def test_no_step_leads_to_where_it_is_not_allowed() -> None:
    """A relaxation stops before the points that are not contained."""
    X = torch.tensor([[100.0, 0.0]], dtype=torch.float64)
    climb = partial(relax, fmax=1e-8, max_steps=200, max_step=0.2)
    result = relax_in_units(climb, acquisition, DOMAIN, X, contains=lambda X: X[:, 0] < 150)
    assert 130 < float(result.X[0, 0]) < 150


def test_gradients_are_by_units() -> None:
    """Closed forms and autograd agree."""
    units = DOMAIN.units
    U = torch.tensor([[0.3, 1.0]], dtype=torch.float64)
    first = AcquisitionInUnits(acquisition, units).value_and_gradient(U)
    second = AcquisitionInUnits(WithGradient(), units).value_and_gradient(U)
    torch.testing.assert_close(first, second)
