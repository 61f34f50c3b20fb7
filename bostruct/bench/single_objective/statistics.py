"""Success curves, percentiles and intervals of censored numbers of evaluations.

A count is the number of evaluations to success, None where a run did not succeed within its limit
of evaluations; such a run counts as the limit, so percentiles are lower bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from bostruct.campaign.analysis.calibration import wilson_interval
from bostruct.errors import InputError, check_count, error_message

TAIL_PROBABILITY = 0.025
"""Probability beyond each end of a 95 % interval."""

EvaluationCount = int | None
"""Number of evaluations to success, None for a run without success."""


def percentile(
    counts: Sequence[EvaluationCount], fraction: float, max_evaluations: int
) -> float | None:
    """Return the quantile of counts, interpolated linearly; None without runs.

    >>> percentile([10, 20, None], 0.5, 100), percentile([1, None], 0.5, 100)
    (20.0, 50.5)

    Raises:
        InputError: the fraction is not between 0 and 1, or a count is above the limit.
    """
    if not 0 <= fraction <= 1:
        raise InputError(error_message("fraction", "be between 0 and 1", fraction))
    values = [max_evaluations if count is None else count for count in counts]
    if any(value > max_evaluations for value in values):
        condition = f"be at most {max_evaluations}"
        raise InputError(error_message("counts", condition, max(values)))
    return float(np.quantile(values, fraction)) if values else None


def median_interval(counts: Sequence[EvaluationCount], max_evaluations: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of the median from order statistics.

    The ends are the k-th smallest and the k-th largest of n counts, with the largest k for which
    fewer than k of n fair coins show heads with a probability of at most 2.5 % (H. A. David and
    H. N. Nagaraja, Order Statistics, 2003). Fewer than six runs give their full range.

    >>> median_interval([3, 4, 4, 5, 5, 6, 7, 9, 20, None], 100)
    (4.0, 20.0)

    Raises:
        InputError: there are no runs.
    """
    n = check_count("runs", len(counts), 1)
    values = sorted(max_evaluations if count is None else count for count in counts)
    k = max(int(binom.ppf(TAIL_PROBABILITY, n, 0.5)), 1)
    return float(values[k - 1]), float(values[n - k])


@dataclass(frozen=True)
class SuccessCurve:
    """Fraction of runs that succeeded within a number of evaluations.

    Attributes:
        evaluations: Numbers of evaluations at which the fraction changes, from 0 to the limit.
        solved_fraction: Fraction of solved runs at each of them.
        low: Lower ends of the 95 % Wilson intervals.
        high: Upper ends of the 95 % Wilson intervals.
    """

    evaluations: tuple[int, ...]
    solved_fraction: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def success_curve(counts: Sequence[EvaluationCount], max_evaluations: int) -> SuccessCurve:
    """Return the success curve of at least one run.

    >>> success_curve([3, 7, 3, None], 10).solved_fraction
    (0.0, 0.5, 0.75, 0.75)

    Raises:
        InputError: there are no runs.
    """
    n = len(counts)
    check_count("runs", n, 1)
    solved = sorted(count for count in counts if count is not None and count <= max_evaluations)
    ends = sorted({0, *solved, max_evaluations})
    n_solved = [sum(count <= end for count in solved) for end in ends]
    bands = [wilson_interval(k, n) for k in n_solved]
    return SuccessCurve(
        evaluations=tuple(ends),
        solved_fraction=tuple(k / n for k in n_solved),
        low=tuple(low for low, _ in bands),
        high=tuple(high for _, high in bands),
    )
