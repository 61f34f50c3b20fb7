"""Selection of candidates, on a line and in a box where everything can be counted."""

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


def test_a_structure_is_not_evaluated_again_nearby():
    """What is lower than it is, unless it is a copy."""
    near = made([1.05], [1.0])
    seen = torch.tensor([[1.0]], dtype=torch.float64)
    for lower, rows in ((False, []), (True, [0])):
        is_lower = torch.tensor([[lower]])
        found = select_top(near, 1, space=Line(), X_evaluated=seen, is_lower=is_lower)
        assert found.tolist() == rows


@pytest.mark.parametrize(
    ("before", "lower", "pays", "rows"),
    [
        ([1.0], True, False, []),
        ([1.0], True, True, [0]),
        ([1.0], False, True, []),
        ([1.0, 1.002], True, True, []),
    ],
    ids=["promises little", "promises much", "is not lower", "was looked at twice"],
)
def test_what_promises_much_is_looked_at_once_more(before, lower, pays, rows):
    """In a stiff potential a minimum is far below what is as good as its copy."""
    copy = made([1.001], [1.0])
    seen = torch.tensor(before, dtype=torch.float64).view(-1, 1)
    found = select_top(
        copy,
        1,
        space=Line(),
        X_evaluated=seen,
        is_lower=torch.tensor([[lower] * len(before)]),
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
    strict = STRICT_TOLERANCE_SCALE * 0.1  # nothing is said of what is lower
    expected: list[int] = []
    for row in values.argsort(descending=True).tolist():
        place = float(places[row])
        apart = all(abs(place - float(places[other])) >= 0.1 for other in expected)
        if apart and all(abs(place - other) >= strict for other in seen):
            expected.append(row)
    assert len(expected) > 20
    assert chosen(places.tolist(), values.tolist(), q, seen) == expected[:q]


class Box:
    """Points with three coordinates; those that differ by less than 0.1 in each are the same."""

    def contains(self, X):
        return (X.abs() <= 10).all(-1)

    def is_duplicate(self, A, B, tolerance_scale=1.0):
        return ((A - B).abs() < 0.1 * tolerance_scale).all(-1)


def boxed(places, values):
    """Return c candidates `[c, 3]`."""
    X = torch.tensor(places, dtype=torch.float64)
    c = len(X)
    ones = torch.ones(c, dtype=torch.bool)
    return Candidates(
        X, torch.tensor(values, dtype=torch.float64), ["random"] * c, torch.arange(c), ones
    )


SEEN = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
"""Two structures seen: t is neither the number of candidates nor of coordinates."""


def test_a_point_is_the_same_only_in_all_coordinates():
    """Every one of five candidates shares coordinates with what was seen; one shares all."""
    places = [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 5.0], [0.0, 1.0, -5.0]]
    found = select_top(boxed(places, [1.0, 2.0, 9.0, 3.0, 4.0]), 5, space=Box(), X_evaluated=SEEN)
    assert found.tolist() == [4, 3, 1, 0]


def test_a_point_is_the_same_as_a_better_one_only_in_all_coordinates():
    places = [[1.0, 2.0, 3.0], [1.0, 2.0, 4.0], [1.05, 2.0, 3.0], [5.0, 2.0, 3.0]]
    found = select_top(boxed(places, [1.0, 2.0, 4.0, 3.0]), 4, space=Box())
    assert found.tolist() == [2, 3, 1]


@pytest.mark.parametrize("bad", [math.nan, math.inf, 10.5])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_bad_coordinate_is_enough(bad, axis):
    places = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0], [0.0, 0.0, 0.0]]
    places[1][axis] = bad
    found = select_top(boxed(places, [1.0, 9.0, 2.0, 3.0]), 4, space=Box(), X_evaluated=SEEN)
    assert found.tolist() == [3, 2, 0]


NEAR = [[1.05, 0.0, 0.0], [0.0, 1.05, 0.0], [0.05, 1.0, 0.0], [3.0, 3.0, 3.0], [1.0, 0.05, 0.05]]
"""Five candidates: the first and last near the first one seen, the next two near the second."""


@pytest.mark.parametrize(
    ("lower", "rows"),
    [
        ((True, True), [0, 1, 3]),
        ((False, True), [1, 3]),
        ((True, False), [0, 3]),
        ((False, False), [3]),
    ],
)
def test_candidates_lower_than_one_structure_seen(lower, rows):
    """The candidates near one that they are not below are left out, those near the other stay."""
    candidates = boxed(NEAR, [5.0, 4.0, 3.0, 2.0, 1.0])
    is_lower = torch.tensor([lower] * 5)
    found = select_top(candidates, 5, space=Box(), X_evaluated=SEEN, is_lower=is_lower)
    assert found.tolist() == rows  # 2 and 4 are the same as better ones, 1 and 0


COPIES = [[0.001, 1.0, 0.0], [3.0, 3.0, 3.0], [1.0, 0.001, 0.0], [0.0, 0.0, 3.0]]
"""Four candidates: the first a copy of the second one seen, the third of the first."""


@pytest.mark.parametrize(
    ("resample", "rows"),
    [
        ([False, False, False, False], [3, 1]),
        ([True, False, False, False], [3, 1, 0]),
        ([False, False, True, False], [3, 2, 1]),
        ([False, True, False, True], [3, 1]),
        ([True, False, True, True], [3, 2, 1, 0]),
    ],
)
def test_each_candidate_has_its_own_permission_to_resample(resample, rows):
    """In the order of the candidates and not of their values."""
    found = select_top(
        boxed(COPIES, [1.0, 2.0, 3.0, 4.0]),
        4,
        space=Box(),
        X_evaluated=SEEN,
        is_lower=torch.ones(4, 2, dtype=torch.bool),
        allow_resample=torch.tensor(resample),
    )
    assert found.tolist() == rows


@pytest.mark.parametrize(("c", "t"), [(90, 7), (17, 40), (5, 16), (33, 33)])
def test_the_selection_in_a_box_is_that_of_one_after_the_other(c, t):
    """With as many candidates, structures seen and coordinates as blocks have, and others."""
    random = torch.Generator().manual_seed(c)
    places = (torch.rand(c, 3, generator=random, dtype=torch.float64) * 0.5).round(decimals=2)
    values = torch.randn(c, generator=random, dtype=torch.float64)
    seen = (torch.rand(t, 3, generator=random, dtype=torch.float64) * 0.5).round(decimals=2)
    lower = torch.rand(c, t, generator=random) < 0.7
    resample = torch.rand(c, generator=random) < 0.5

    def is_same(a, b, tolerance):
        return all(abs(x - y) < tolerance for x, y in zip(a, b, strict=True))

    expected: list[int] = []
    for row in values.argsort(descending=True).tolist():
        place = places[row].tolist()
        copies = [is_same(place, other, 0.1 * STRICT_TOLERANCE_SCALE) for other in seen.tolist()]
        near = [is_same(place, other, 0.1) for other in seen.tolist()]
        out = sum(copies) > (1 if resample[row] else 0)
        out |= any(n and not r for n, r in zip(near, lower[row].tolist(), strict=True))
        out |= any(is_same(place, places[other].tolist(), 0.1) for other in expected)
        if not out:
            expected.append(row)
    found = select_top(
        boxed(places.tolist(), values.tolist()),
        c,
        space=Box(),
        X_evaluated=seen,
        is_lower=lower,
        allow_resample=resample,
    )
    assert found.tolist() == expected
    assert 1 < len(expected) < c


@pytest.mark.parametrize(("shift", "rows"), [(0.019, []), (0.021, [0])])
def test_a_copy_is_within_a_fifth_of_the_tolerance(shift, rows):
    assert chosen([1.0 + shift], [1.0], 1, seen=[1.0]) == rows
