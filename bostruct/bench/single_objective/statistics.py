"""What a few runs say of many: shares with their intervals, and counts with a cap.

Notation
    k, n   runs that succeeded, runs

A count is the number of evaluations to success, None where a run did not succeed within
its cap; such a run counts as the cap, so that a figure can only be too good by as much
as the cap is too small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from bostruct.errors import InputError, check_count, error_message

TAIL_PROBABILITY = 0.025
"""Of each side."""

EvaluationCount = int | None
"""Evaluations to success, None without."""


def percentile(
    counts: Sequence[EvaluationCount], fraction: float, max_evaluations: int
) -> float | None:
    """Return the count that a share of the runs stays within, failures at the cap.

    Between two runs it is interpolated linearly; None of no runs.

    >>> percentile([10, 20, None], 0.5, cap=100), percentile([1, None], 0.5, cap=100)
    (20.0, 50.5)

    Raises:
        InputError: the share is not between 0 and 1, or a count is above the cap.
    """
    if not 0 <= fraction <= 1:
        raise InputError(error_message("fraction", "be between 0 and 1", fraction))
    values = [max_evaluations if count is None else count for count in counts]
    if any(value > max_evaluations for value in values):
        condition = f"be at most the cap, {max_evaluations}"
        raise InputError(error_message("counts", condition, max(values)))
    return float(np.quantile(values, fraction)) if values else None


def median_interval(counts: Sequence[EvaluationCount], max_evaluations: int) -> tuple[float, float]:
    """Return a 95 % interval of the median, failures at the cap; no fewer are meant.

    Between the k-th smallest and the k-th largest of n counts lies the median of all
    runs there could be, unless it is below the first or above the second of them, each
    with the probability that fewer than k of n fair coins show heads; k is the largest
    for which this is at most 2.5 % (H. A. David and H. N. Nagaraja, Order Statistics,
    2003). Fewer than six runs give their whole range.

    >>> median_interval([3, 4, 4, 5, 5, 6, 7, 9, 20, None], cap=100)
    (4.0, 20.0)

    Raises:
        InputError: there are no runs.
    """
    n = check_count("runs", len(counts), 1)
    values = sorted(max_evaluations if count is None else count for count in counts)
    k, below = 0, 0.5**n
    while below <= TAIL_PROBABILITY:
        k += 1
        below += math.comb(n, k) * 0.5**n
    k = max(k, 1)
    return float(values[k - 1]), float(values[n - k])


@dataclass(frozen=True)
class SuccessCurve:
    """The share of runs that succeeded within a number of evaluations.

    Attributes:
        evaluations: from 0 to the cap, where the share changes.
        solved_fraction: at each.
        low: of its Wilson interval.
        high: of its Wilson interval.
    """

    evaluations: tuple[int, ...]
    solved_fraction: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def success_curve(
    counts: Sequence[EvaluationCount], max_evaluations: int, confidence: float = 0.95
) -> SuccessCurve:
    """Return the success curve of at least one run.

    >>> curve([3, 7, 3, None], cap=10).share
    (0.0, 0.5, 0.75, 0.75)

    Raises:
        InputError: there are no runs.
    """
    n = len(counts)
    check_count("runs", n, 1)
    solved = sorted(count for count in counts if count is not None and count <= max_evaluations)
    at = sorted({0, *solved, max_evaluations})
    known = [sum(count <= end for count in solved) for end in at]
    bands = [binomtest(k, n).proportion_ci(confidence, method="wilson") for k in known]
    return SuccessCurve(
        evaluations=tuple(at),
        solved_fraction=tuple(k / n for k in known),
        low=tuple(low for low, _ in bands),
        high=tuple(high for _, high in bands),
    )
