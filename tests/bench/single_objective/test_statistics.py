import math

import pytest
from scipy.stats import binomtest

from bostruct.bench.single_objective.statistics import median_interval, percentile, success_curve
from bostruct.errors import InputError


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ([5], 0.5, 5),
        ([3, 1, 2], 0.5, 2),
        ([1, 2, 3, 4], 0.5, 2.5),
        ([1, None, 2], 0.5, 2),
        ([1, None], 0.5, 50.5),
        ([None, None, 1], 0.5, 100),
        (list(range(1, 12)), 0.9, 10),
        ([*range(1, 11), None], 0.9, 10),
        ([*range(1, 10), None, None], 0.9, 100),
        ([4, 9], 0.0, 4),
        ([4, None], 1.0, 100),
    ],
)
def test_percentile_with_failures_at_the_cap(counts, share, expected):
    assert percentile(counts, share, max_evaluations=100) == pytest.approx(expected)


def test_percentile_of_nothing():
    assert percentile([], 0.5, max_evaluations=10) is None


def test_percentile_refuses():
    with pytest.raises(InputError, match="`fraction` must be between 0 and 1, got 50"):
        percentile([1], 50, max_evaluations=10)
    with pytest.raises(InputError, match="`counts` must be at most 10, got 11"):
        percentile([11, 2], 0.5, max_evaluations=10)


def test_curve_steps_where_runs_succeed():
    found = success_curve([3, 7, 3, None], max_evaluations=10)
    assert found.evaluations == (0, 3, 7, 10)
    assert found.solved_fraction == (0, 0.5, 0.75, 0.75)
    interval = tuple(binomtest(2, 4).proportion_ci(method="wilson"))
    assert (found.low[1], found.high[1]) == pytest.approx(interval, abs=1e-14)
    assert all(
        low <= share <= high
        for low, share, high in zip(found.low, found.solved_fraction, found.high, strict=True)
    )


# R. G. Newcombe, Statistics in Medicine 17, 857 (1998), table I, method 3.
@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_intervals_are_those_of_wilson(k, n, low, high):
    curve = success_curve([1] * k + [None] * (n - k), max_evaluations=2)
    assert (curve.low[-1], curve.high[-1]) == pytest.approx((low, high), abs=5e-5)


def test_curve_is_right_everywhere():
    counts = [1, 4, 4, None, 9, 10]
    found = success_curve(counts, max_evaluations=10)
    for n in range(11):
        within = sum(count is not None and count <= n for count in counts)
        i = max(i for i, at in enumerate(found.evaluations) if at <= n)
        assert math.isclose(found.solved_fraction[i], within / len(counts))


def test_curve_of_failures_alone():
    found = success_curve([None, None], max_evaluations=5)
    assert (found.evaluations, found.solved_fraction) == ((0, 5), (0, 0))


def test_curve_needs_runs():
    with pytest.raises(InputError, match="`runs` must be an integer of at least 1"):
        success_curve([], max_evaluations=5)


# Ranks of the 95 % interval, as in any table of the sign test.
@pytest.mark.parametrize(("n", "low", "high"), [(6, 1, 6), (10, 2, 9), (20, 6, 15), (30, 10, 21)])
def test_the_interval_of_the_median_lies_between_two_ranks(n, low, high):
    counts = list(range(n, 0, -1))
    assert median_interval(counts, max_evaluations=100) == (low, high)


def test_failed_runs_and_few_runs_widen_the_interval_of_the_median():
    assert median_interval([5] * 12 + [None] * 8, max_evaluations=100) == (5, 100)
    assert median_interval([3, 4], max_evaluations=100) == (3, 4)
    assert median_interval([3], max_evaluations=100) == (3, 3)


def test_refuses_the_median_of_no_runs():
    with pytest.raises(InputError, match="`runs` must be an integer of at least 1"):
        median_interval([], max_evaluations=100)
