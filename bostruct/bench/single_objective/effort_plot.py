"""Energies against own time: what a more thorough search of the surrogate is worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bostruct.bench.single_objective.results import Results
from bostruct.bench.single_objective.run import Run
from bostruct.bench.single_objective.statistics import median_interval, percentile
from bostruct.plotting import COLORS, bench_panels, label_outer, log_ticks

EFFORT_PNG = "effort.png"


class EffortPoint(NamedTuple):
    """One setting of the campaign on one task.

    Args:
        setting_name: Of the setting.
        step_seconds: Median own time in a step, s.
        median: Evaluations to success, failed runs counted as the cap.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p90: The 90th percentile likewise.
        runs: Own time in a step and evaluations of each, that of a failed one None.
        max_evaluations: Evaluations after which a run has failed.
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
        Whether there is one; without any nothing is written.

    Raises:
        LogError: it cannot be written.
    """
    found = {task.name: effort_points(results, task.name) for task in results.tasks}
    found = {name: line for name, line in found.items() if len(line) > 1}
    if not found:
        return False
    every = [point for line in found.values() for point in line]
    times = [time for point in every for time, _ in point.runs]
    cap = max(point.max_evaluations for point in every)
    with bench_panels(list(found), out / EFFORT_PNG) as drawn:
        for line, axes in zip(found.values(), drawn, strict=True):
            _draw_panel(axes, line)
            axes.set_xscale("log")
            axes.set_yscale("log")
            log_ticks(axes.xaxis, 1.0, 2.0, 5.0)
            log_ticks(axes.yaxis, 1.0, 2.0, 5.0)
            axes.set_xlim(min(times) / 1.6, max(times) * 1.6)
            axes.set_ylim(1, 1.4 * cap)
        label_outer(drawn, "own time in a step (s)", "energies to success")
    return True


def effort_points(results: Results, task: str) -> list[EffortPoint]:
    """Return the settings of the campaign on one task, from quick to thorough."""
    found = (_effort_point(results.select(task, method)) for method in results.methods)
    return sorted((p for p in found if p is not None), key=lambda point: point.step_seconds)


def _effort_point(runs: Sequence[Run]) -> EffortPoint | None:
    runs = [run for run in runs if run.is_finished and run.total_step_seconds]
    if not runs:
        return None
    cap = runs[0].max_evaluations
    counts = [run.evaluations_to_success for run in runs]
    low, high = median_interval(counts, cap)
    times = [float(np.median(run.total_step_seconds)) for run in runs]
    return EffortPoint(
        setting_name=runs[0].method.removeprefix("bostruct").strip() or "default",
        step_seconds=float(
            np.median([seconds for run in runs for seconds in run.total_step_seconds])
        ),
        median=percentile(counts, 0.5, cap) or 0.0,
        low=low,
        high=high,
        p90=percentile(counts, 0.9, cap) or 0.0,
        runs=list(zip(times, counts, strict=True)),
        max_evaluations=cap,
    )


def _draw_panel(axes: Any, points: Sequence[EffortPoint]) -> None:  # noqa: ANN401 - matplotlib
    blue, orange = COLORS[:2]
    at = [point.step_seconds for point in points]
    low, high = [point.low for point in points], [point.high for point in points]
    solved = [(t, n) for p in points for t, n in p.runs if n is not None]
    failed = [(t, p.max_evaluations) for p in points for t, n in p.runs if n is None]
    dots = {"ls": "", "color": "0.45", "alpha": 0.6, "mew": 0.5, "zorder": 1.5}
    axes.plot(at, [p.median for p in points], "o-", color=blue, label="median")
    band = {"color": blue, "alpha": 0.18, "lw": 0}
    axes.fill_between(at, low, high, label="its 95 % interval", **band)
    axes.plot(at, [p.p90 for p in points], "s--", color=orange, label="90th percentile")
    axes.plot(*_columns(solved), marker=".", ms=3, label="one run", **dots)
    axes.plot(*_columns(failed), marker="^", mfc="none", label="failed", **dots)
    for point in points:
        axes.text(
            *(point.step_seconds, 0.02, point.setting_name),
            transform=axes.get_xaxis_transform(),
            size=6,
            color="0.35",
            ha="center",
        )


def _columns(rows: Sequence[tuple[float, int]]) -> tuple[list[float], list[int]]:
    return [x for x, _ in rows], [y for _, y in rows]
