"""The choice among candidates, on a line where everything can be counted."""

import math

import pytest
import torch

from bostruct.candidates import Candidates, select_top
from bostruct.candidates.selection import STRICT_TOLERANCE_SCALE


class Line:
    """Points between -10 and 10; those closer than 0.1 are the same."""

    def contains(self, X):
        return (X.abs() <= 10).all(-1)

    def is_duplicate(self, A, B, tolerance_scale=1.0):
        return (A - B).abs().amax(-1) < 0.1 * tolerance_scale


def made(places, values, origin="random"):
    X = torch.tensor(places, dtype=torch.float64).view(-1, 1)
    b = len(X)
    return Candidates(
        X=X,
        acq_value=torch.tensor(values, dtype=torch.float64),
        generator_names=[origin] * b,
        n_steps=torch.arange(b),
        converged=torch.ones(b, dtype=torch.bool),
    )


def chosen(places, values, q, seen=None):
    if seen is not None:
        seen = torch.tensor(seen, dtype=torch.float64).view(-1, 1)
    found = select_top(made(places, values), q, space=Line(), X_evaluated=seen)
    assert found.dtype == torch.int64
    return found.tolist()


def test_best_first():
    assert chosen([1, 2, 3, 4], [0.1, 0.4, -1.0, 0.2], 3) == [1, 3, 0]


def test_fewer_than_asked_for():
    assert chosen([1, 2], [0.0, 1.0], 5) == [1, 0]
    assert chosen([1, 2], [0.0, 1.0], 0) == []
    assert chosen([], [], 2) == []


def test_of_equal_ones_the_best_is_taken():
    assert chosen([1.0, 5.0, 1.01, 0.99], [1.0, 0.5, 2.0, 0.1], 4) == [2, 1]


def test_ties_go_to_the_first():
    assert chosen([1, 2, 3], [1.0, 1.0, 1.0], 2) == [0, 1]


def test_what_was_seen_is_left_out():
    places, values = [1.0, 2.0, 3.0], [3.0, 2.0, 1.0]
    assert chosen(places, values, 3, seen=[1.0, 3.0]) == [1]
    assert chosen(places, values, 3, seen=[1.0, 2.0, 3.0]) == []
    assert chosen(places, values, 3, seen=[]) == [0, 1, 2]


def test_broken_and_outside_ones_are_left_out():
    places = [11.0, math.nan, math.inf, -math.inf, 2.0, -10.5]
    assert chosen(places, [9.0, 8.0, 7.0, 6.0, 1.0, 5.0], 6) == [4]


def test_values_that_are_not_finite_are_left_out():
    values = [math.nan, math.inf, -math.inf, -5.0]
    assert chosen([1, 2, 3, 4], values, 4) == [3]


def test_seen_may_have_another_dtype(device):
    X = made([1, 2], [1.0, 0.5])
    moved = Candidates(
        X.X.to(device), X.acq_value.to(device), X.generator_names, X.n_steps, X.n_steps
    )
    seen = torch.tensor([[1.0]], dtype=torch.float32)
    found = select_top(moved, 2, space=Line(), X_evaluated=seen)
    assert found.tolist() == [1]
    assert found.device.type == device.type


def test_chain_of_neighbors():
    """1.00 and 1.16 are both the same as 1.08, but not as each other."""
    assert chosen([1.0, 1.08, 1.16], [1.0, 2.0, 0.5], 3) == [1]
    assert chosen([1.0, 1.08, 1.16], [2.0, 1.0, 0.5], 3) == [0, 2]


def test_parts_are_joined_in_order():
    first, second = made([1, 2], [0.1, 0.2]), made([3], [0.3], origin="rattle")
    both = Candidates.cat([first, second])
    assert len(both) == 3
    assert both.X.flatten().tolist() == [1, 2, 3]
    assert both.acq_value.tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert list(both.generator_names) == ["random", "random", "rattle"]
    assert both.n_steps.tolist() == [0, 1, 0]
    assert both.converged.all()


def test_what_rests_is_not_looked_at_again_nearby():
    """What is away from its minimum is, unless the look is a copy."""
    near = made([1.05], [1.0])
    seen = torch.tensor([[1.0]], dtype=torch.float64)
    for rests, rows in ((True, []), (False, [0])):
        resting = torch.tensor([rests])
        found = select_top(near, 1, space=Line(), X_evaluated=seen, is_relaxed=resting)
        assert found.tolist() == rows


@pytest.mark.parametrize(
    ("before", "rests", "pays", "rows"),
    [
        ([1.0], False, False, []),
        ([1.0], False, True, [0]),
        ([1.0], True, True, []),
        ([1.0, 1.002], False, True, []),
    ],
    ids=["promises little", "promises much", "is at rest", "was looked at twice"],
)
def test_what_promises_much_is_looked_at_once_more(before, rests, pays, rows):
    """In a stiff potential a minimum is far below what is as good as its copy."""
    copy = made([1.001], [1.0])
    seen = torch.tensor(before, dtype=torch.float64).view(-1, 1)
    found = select_top(
        copy,
        1,
        space=Line(),
        X_evaluated=seen,
        is_relaxed=torch.tensor([rests] * len(before)),
        allow_resample=torch.tensor([pays]),
    )
    assert found.tolist() == rows


@pytest.mark.parametrize("q", [1, 7, 40, 99])
def test_the_choice_among_many_is_that_of_one_after_the_other(q):
    """Candidates are compared in blocks; that must not show."""
    random = torch.Generator().manual_seed(0)
    places = 4 * torch.rand(90, generator=random)
    values = torch.randn(90, generator=random)
    seen = [0.5]
    strict = STRICT_TOLERANCE_SCALE * 0.1  # of what was seen nothing is said to be at rest
    expected: list[int] = []
    for row in values.argsort(descending=True).tolist():
        place = float(places[row])
        apart = all(abs(place - float(places[other])) >= 0.1 for other in expected)
        if apart and all(abs(place - other) >= strict for other in seen):
            expected.append(row)
    assert len(expected) > 20
    assert chosen(places.tolist(), values.tolist(), q, seen) == expected[:q]
