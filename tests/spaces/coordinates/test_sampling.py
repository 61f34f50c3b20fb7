"""Samples and moves that stay in a space."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bostruct.errors import InputError
from bostruct.spaces.coordinates.coordinate_domain import CoordinateDomain
from bostruct.spaces.coordinates.sampling import MOVES, InsideMove, moves_inside, sample_inside

DOMAIN = CoordinateDomain.from_bounds({"x": (0.0, 1.0), "y": (0.0, 1.0)})


def is_below(X: Tensor) -> Tensor:
    return X.sum(-1) < 1.0


def test_samples_are_inside() -> None:
    """Points outside are drawn again, and a space without any has none."""
    X = sample_inside(DOMAIN, is_below, 50, torch.Generator().manual_seed(0))
    assert len(X) == 50
    assert is_below(X).all()
    nothing = lambda X: torch.zeros(len(X), dtype=torch.bool)  # noqa: E731
    assert len(sample_inside(DOMAIN, nothing, 5, torch.Generator())) == 0
    with pytest.raises(InputError, match="`n` must be an integer"):
        sample_inside(DOMAIN, is_below, -1, torch.Generator())


def test_moves_that_leave_are_taken_back() -> None:
    """Every move ends inside."""
    X = sample_inside(DOMAIN, is_below, 50, torch.Generator().manual_seed(0))
    moves = moves_inside(DOMAIN, is_below)
    assert tuple(moves) == MOVES
    for move in moves.values():
        assert isinstance(move, InsideMove)
        assert is_below(move(X, torch.Generator().manual_seed(1))).all()
