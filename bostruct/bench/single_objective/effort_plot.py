"""Evaluations to success against the time of a step, for several efforts of the search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bostruct.bench.single_objective.results import Results
from bostruct.bench.single_objective.run import Run
from bostruct.bench.single_objective.statistics import median_interval, percentile
from bostruct.plotting import BLUE, VERMILION, label_outer, saved_figure, set_log_ticks

EFFORT_PNG = "effort.png"


class EffortPoint(NamedTuple):
    """One setting of the campaign on one task.

    Args:
        setting_name: Name of the setting.
        step_seconds: Median time of a step without its evaluations, s.
        median: Median of the evaluations to success; a failed run counts as the limit.
        low: Lower end of the 95 % interval of the median.
        high: Upper end of the 95 % interval of the median.
        p90: 90th percentile of the evaluations to success.
        runs: Time of a step and evaluations of each run, None for a failed one.
        max_evaluations: Number of evaluations after which a run has failed.
    """

    setting_name: str
    step_seconds: float
    median: float
    low: float
    high: float
    p90: float
    runs: Sequence[tuple[float, int | None]]
    max_evaluations: int


def plot_effort(results: Results, out: Path) -> bool:
    """Draw a panel for each task that was run at two efforts or more, `effort.png`.

    Returns:
        Whether there is such a task; nothing is written without one.

    Raises:
        LogError: the file cannot be written.
    """
    curves = {task.name: effort_points(results, task.name) for task in results.tasks}
    curves = {name: points for name, points in curves.items() if len(points) > 1}
    if not curves:
        return False
    all_points = [point for points in curves.values() for point in points]
    times = [time for point in all_points for time, _ in point.runs]
    limit = max(point.max_evaluations for point in all_points)
    with saved_figure(len(curves), out / EFFORT_PNG, titles=list(curves)) as panels:
        for points, axes in zip(curves.values(), panels, strict=True):
            _draw_panel(axes, points)
            axes.set(xscale="log", xlim=(min(times) / 1.6, max(times) * 1.6))
            axes.set(yscale="log", ylim=(1, 1.4 * limit))
            for axis in (axes.xaxis, axes.yaxis):
                set_log_ticks(axis)
        label_outer(panels, "time of a step (s)", "evaluations to success")
    return True


def effort_points(results: Results, task: str) -> list[EffortPoint]:
    """Return the settings of the campaign on one task, from quick to thorough."""
    points = (_effort_point(results.select(task, method)) for method in results.methods)
    return sorted((p for p in points if p is not None), key=lambda point: point.step_seconds)


def _effort_point(runs: Sequence[Run]) -> EffortPoint | None:
    runs = [run for run in runs if run.is_finished and run.total_step_seconds]
    if not runs:
        return None
    limit = runs[0].max_evaluations
    counts = [run.evaluations_to_success for run in runs]
    low, high = median_interval(counts, limit)
    times = [float(np.median(run.total_step_seconds)) for run in runs]
    return EffortPoint(
        setting_name=runs[0].method.removeprefix("bostruct").strip() or "default",
        step_seconds=float(np.median([t for run in runs for t in run.total_step_seconds])),
        median=percentile(counts, 0.5, limit) or 0.0,
        low=low,
        high=high,
        p90=percentile(counts, 0.9, limit) or 0.0,
        runs=list(zip(times, counts, strict=True)),
        max_evaluations=limit,
    )


def _draw_panel(axes: Any, points: Sequence[EffortPoint]) -> None:  # noqa: ANN401 - matplotlib
    x = [point.step_seconds for point in points]
    low, high = [point.low for point in points], [point.high for point in points]
    solved = [(t, n) for p in points for t, n in p.runs if n is not None]
    failed = [(t, p.max_evaluations) for p in points for t, n in p.runs if n is None]
    dots = {"ls": "", "color": "0.45", "alpha": 0.6, "mew": 0.5, "zorder": 1.5}
    axes.plot(x, [p.median for p in points], "o-", color=BLUE, label="median")
    band = {"color": BLUE, "alpha": 0.18, "lw": 0}
    axes.fill_between(x, low, high, label="its 95 % interval", **band)
    axes.plot(x, [p.p90 for p in points], "s--", color=VERMILION, label="90th percentile")
    axes.plot(*np.reshape(solved, (-1, 2)).T, marker=".", ms=3, label="one run", **dots)
    axes.plot(*np.reshape(failed, (-1, 2)).T, marker="^", mfc="none", label="failed", **dots)
    for point in points:
        axes.text(
            *(point.step_seconds, 0.02, point.setting_name),
            transform=axes.get_xaxis_transform(),
            size=6,
            color="0.35",
            ha="center",
        )
