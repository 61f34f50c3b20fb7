"""Domain of named coordinates."""

from __future__ import annotations

import math

import pytest
import torch

from bostruct.errors import InputError, ShapeError
from bostruct.spaces.coordinates.coordinate_domain import CoordinateDomain, SupportsDomain
from bostruct.spaces.coordinates.rotation_vectors import BodyRotation

DOMAIN = CoordinateDomain.from_bounds({"z": (1.0, 3.0), "phi": (-180, 180)}, periodic="phi")


def test_wraps_and_clamps() -> None:
    """Periodic coordinates are wrapped, the upper bound to the lower one, others clamped."""
    X = torch.tensor([[0.0, 190.0], [4.0, 180.0], [2.0, -540.0], [2.0, 17.3]], dtype=torch.float64)
    expected = torch.tensor([[1.0, -170.0], [3.0, -180.0], [2.0, -180.0], [2.0, 17.3]])
    torch.testing.assert_close(DOMAIN.project(X), expected.double())
    assert torch.equal(DOMAIN.project(DOMAIN.project(X)), DOMAIN.project(X))
    assert torch.equal(DOMAIN.clamp(X)[:, 1], X[:, 1])
    tiny = torch.tensor([2.0, -180.0 - 1e-14], dtype=torch.float64)
    assert -180 <= float(DOMAIN.wrap(tiny)[1]) < 180


def test_contains_what_is_finite_and_between_the_bounds() -> None:
    """Periodic coordinates have no bounds."""
    X = torch.tensor([[0.9, 0.0], [2.0, 900.0], [2.0, math.nan], [3.0, 0.0], [2.0, math.inf]])
    assert DOMAIN.contains(X.double()).tolist() == [False, True, False, True, False]


def test_differences_go_the_shortest_way() -> None:
    """Around the period where that is shorter; units make every range 2 π."""
    A, B = torch.tensor([1.0, 170.0]), torch.tensor([3.0, -170.0])
    assert DOMAIN.difference(A, B).tolist() == [-2.0, -20.0]
    torch.testing.assert_close(DOMAIN.units, torch.tensor([2.0, 360.0]).double() / (2 * math.pi))


def test_samples_and_moves_depend_on_the_generator() -> None:
    """Samples fill the bounds; redrawn points differ in one coordinate."""
    X = DOMAIN.sample(200, torch.Generator().manual_seed(0))
    assert DOMAIN.contains(X).all()
    assert (X.amin(0) - DOMAIN.lower < 0.05 * DOMAIN.range).all()
    redrawn = DOMAIN.redraw(X, torch.Generator().manual_seed(1))
    assert ((redrawn != X).sum(-1) == 1).all()
    mixed = DOMAIN.crossover(X, torch.Generator().manual_seed(1))
    assert DOMAIN.contains(mixed).all()
    assert DOMAIN.crossover(X[:0], torch.Generator()).shape == (0, 2)
    small = DOMAIN.difference(DOMAIN.displace(X, torch.Generator().manual_seed(1)), X)
    assert (small.abs() < 0.3 * DOMAIN.range).all()


def test_spaces_show_their_domain() -> None:
    """The protocol asks for the domain alone."""

    class Space:
        domain = DOMAIN

    assert isinstance(Space(), SupportsDomain)
    assert len(DOMAIN) == 2


@pytest.mark.parametrize(
    ("bounds", "periodic", "message"),
    [
        (None, (), "`bounds` must map names to a lower and an upper bound"),
        ({}, (), "`bounds` must name different coordinates"),
        ({"x": 3.0}, (), "be a lower and an upper bound"),
        ({"x": (0.0, math.inf)}, (), "be a finite lower bound below an upper one"),
        ({"x": (0.0, 1.0)}, ["y"], "`periodic` must name coordinates of `bounds`"),
    ],
)
def test_refuses_invalid_bounds(bounds: object, periodic: object, message: str) -> None:
    """Errors name the coordinate."""
    with pytest.raises(InputError, match=message):
        CoordinateDomain.from_bounds(bounds, periodic)


def test_refuses_other_shapes() -> None:
    """Bounds have a number for each coordinate."""
    one = torch.ones(1, dtype=torch.float64)
    with pytest.raises(ShapeError, match="`upper` must have shape"):
        CoordinateDomain(("x",), one, torch.ones(2), torch.zeros(1, dtype=torch.bool))


def test_rotations_come_back_and_stay_whole() -> None:
    """The columns of a rotation are wrapped, drawn and exchanged together, and never clamped."""
    bound = torch.tensor([1.0, torch.pi, torch.pi, torch.pi, 2.0], dtype=torch.float64)
    periodic = torch.tensor([True, False, False, False, False])
    names = ("u", "wx", "wy", "wz", "height")
    domain = CoordinateDomain(names, -bound, bound, periodic, BodyRotation.of_body(1))
    assert domain.factor_index.tolist() == [0, 1, 1, 1, 2]
    X = domain.sample(40, torch.Generator().manual_seed(0))
    assert (domain.rotation.of(X).norm(dim=-1) <= torch.pi).all()
    longer = X.clone()
    v = X[:, 1:4]
    longer[:, 1:4] = v * (1 - 2 * torch.pi / v.norm(dim=-1, keepdim=True))
    assert domain.contains(longer).all()
    torch.testing.assert_close(domain.clamp(longer), longer)
    torch.testing.assert_close(domain.project(longer), X)
    assert domain.difference(longer, X).abs().max() < 1e-10
    for move in (domain.redraw, domain.crossover):
        changed = (move(X, torch.Generator().manual_seed(1)) - X).abs() > 1.2
        assert changed[:, 1:4].any()
    redrawn = domain.redraw(X, torch.Generator().manual_seed(1)) != X
    assert redrawn.sum(-1).unique().tolist() == [1, 3]
    assert (redrawn[:, 1:4].all(-1) == redrawn[:, 1:4].any(-1)).all()
