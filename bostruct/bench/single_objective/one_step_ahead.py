"""Calibration of the energies that campaigns predicted one step ahead.

Every energy that a model selected was predicted before it was known, so the logs of a benchmark
hold out-of-sample predictions of what the search itself chose: z = (E - mean) / σ with the σ of an
observed energy. For right Gaussian predictions z is standard normal: mean z 0, mean z² 1, median z²
0.455, and the central 50 % intervals hold half of the energies. The median of z², divided by that
of a right σ, says whether σ is right for most predictions; the mean says whether any was far off.

A campaign states an energy with the correction that its earlier errors ask for, as Student's t
(see `recalibration`): the stated intervals are those.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from scipy.stats import chi2, norm

from bostruct.bench.single_objective.run import Run
from bostruct.campaign.analysis.calibration import wilson_interval
from bostruct.campaign.analysis.recalibration import Recalibration
from bostruct.runtime.canonical_json import json_finite

N_EARLY_PREDICTIONS = 8
"""Number of the first predictions of a run, of models of a few structures, that count as early."""

COVERAGE_LEVELS = (0.5, 0.9, 0.95)
"""Levels of the central intervals."""

ALL_TASKS = "all"
"""Name of the scores of all tasks together."""


@final
@dataclass(frozen=True)
class OneStepAheadScores:
    """Scores of predictions one step ahead.

    Args:
        task: Name of the task; "all" for all of them.
        method: Name of the method.
        n: Number of predictions.
        coverage_50: Fraction of the energies within the central 50 % intervals.
        coverage_90: Fraction within the central 90 % intervals.
        coverage_95: Fraction within the central 95 % intervals.
        stated_50: Fraction within the stated 50 % intervals.
        stated_90: Fraction within the stated 90 % intervals.
        stated_95: Fraction within the stated 95 % intervals.
        stated_90_low: Lower end of the 95 % Wilson interval of `stated_90`.
        stated_90_high: Upper end of the 95 % Wilson interval of `stated_90`.
        z_mean: Mean z; above 0 where energies are higher than predicted.
        z2_median: Median z² over that of a standard normal variable, ideally 1.
        z2: Mean z², ideally 1; None where it is infinite.
        n_late: Number of predictions after the first eight of their run.
        z2_late: Mean z² of these; None where there are none or it is infinite.
    """

    task: str
    method: str
    n: int
    coverage_50: float
    coverage_90: float
    coverage_95: float
    stated_50: float
    stated_90: float
    stated_95: float
    stated_90_low: float
    stated_90_high: float
    z_mean: float | None
    z2_median: float | None
    z2: float | None
    n_late: int
    z2_late: float | None


def median_z2(z: Sequence[float]) -> float:
    """Return the median of z² over that of a standard normal variable.

    >>> round(median_z2([-0.67449, 0.67449, 0.67449]), 3)
    1.0
    """
    return float(np.median(np.square(z)) / chi2(1).median())


def central_coverage(z: Sequence[float], level: float) -> float:
    """Return the fraction of z within the central interval of a standard normal variable.

    Args:
        z: Errors over σ.
        level: Probability of the interval.
    """
    half_width = float(norm.ppf((1 + level) / 2))
    return sum(abs(value) <= half_width for value in z) / len(z)


def stated_coverage(runs: Sequence[Run], levels: Sequence[float]) -> list[float]:
    """Return the fractions of energies within the stated intervals, of all runs.

    Args:
        runs: Runs that asked for one energy after another.
        levels: Probabilities of the intervals.
    """
    held = []
    for z in (run.z_values for run in runs):
        for k, value in enumerate(z):
            stated = Recalibration.from_z_scores(z[:k])
            error = abs(value - stated.shift)
            held.append([error <= stated.scale * stated.half_width(level) for level in levels])
    return [sum(inside) / len(held) for inside in zip(*held, strict=True)]


def score_one_step_ahead(task: str, runs: Sequence[Run]) -> OneStepAheadScores | None:
    """Return the scores of the predictions of some runs of one method; None without any.

    Args:
        task: Name in the result.
        runs: Runs of one method.
    """
    z = [value for run in runs for value in run.z_values]
    late = [value for run in runs for value in run.z_values[N_EARLY_PREDICTIONS:]]
    if not z:
        return None
    inside = [central_coverage(z, level) for level in COVERAGE_LEVELS]
    stated = stated_coverage(runs, COVERAGE_LEVELS)
    low, high = wilson_interval(round(stated[1] * len(z)), len(z))
    return OneStepAheadScores(
        task=task,
        method=runs[0].method,
        n=len(z),
        coverage_50=inside[0],
        coverage_90=inside[1],
        coverage_95=inside[2],
        stated_50=stated[0],
        stated_90=stated[1],
        stated_95=stated[2],
        stated_90_low=low,
        stated_90_high=high,
        z_mean=_finite_mean(z),
        z2_median=json_finite(median_z2(z)),
        z2=_finite_mean([value**2 for value in z]),
        n_late=len(late),
        z2_late=_finite_mean([value**2 for value in late]),
    )


def score_methods(runs: Sequence[Run]) -> list[OneStepAheadScores]:
    """Return scores for each task and method, then for all tasks of each method together.

    Args:
        runs: Runs of several methods on several tasks.
    """
    tasks, methods = (list(dict.fromkeys(names)) for names in _names(runs))
    groups = [
        (task, [run for run in runs if (run.task, run.method) == (task, method)])
        for task in tasks
        for method in methods
    ]
    if len(tasks) > 1:
        groups += [(ALL_TASKS, [run for run in runs if run.method == m]) for m in methods]
    scores = [score_one_step_ahead(task, group) for task, group in groups]
    return [entry for entry in scores if entry is not None]


def _names(runs: Sequence[Run]) -> tuple[list[str], list[str]]:
    return [run.task for run in runs], [run.method for run in runs]


def _finite_mean(values: Sequence[float]) -> float | None:
    return json_finite(math.fsum(values) / len(values)) if values else None
