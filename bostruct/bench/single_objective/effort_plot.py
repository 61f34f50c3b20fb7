"""Energies against own time: what a more thorough search of the surrogate is worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bostruct.bench.single_objective.results import Results
from bostruct.bench.single_objective.run import Run
from bostruct.bench.single_objective.statistics import median_interval, percentile
from bostruct.plotting import COLORS, label_outer, log_ticks, panels

EFFORT = "effort.png"


class Point(NamedTuple):
    """One setting of the campaign on one task.

    Args:
        name: Of the setting.
        time: Median own time in a step, s.
        median: Evaluations to success, failed runs counted as the cap.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p90: The 90th percentile likewise.
        runs: Own time in a step and evaluations of each, that of a failed one None.
        cap: Evaluations after which a run has failed.
    """

    name: str
    time: float
    median: float
    low: float
    high: float
    p90: float
    runs: Sequence[tuple[float, int | None]]
    cap: int


def effort(results: Results, out: Path) -> bool:
    """Draw a panel for each task that was run at two efforts or more, `effort.png`.

    Returns:
        Whether there is one; without any nothing is written.

    Raises:
        LogError: it cannot be written.
    """
    found = {task.name: points(results, task.name) for task in results.tasks}
    found = {name: line for name, line in found.items() if len(line) > 1}
    if not found:
        return False
    every = [point for line in found.values() for point in line]
    times = [time for point in every for time, _ in point.runs]
    cap = max(point.cap for point in every)
    with panels(list(found), out / EFFORT) as drawn:
        for line, axes in zip(found.values(), drawn, strict=True):
            _panel(axes, line)
            axes.set_xscale("log")
            axes.set_yscale("log")
            log_ticks(axes.xaxis, 1.0, 2.0, 5.0)
            log_ticks(axes.yaxis, 1.0, 2.0, 5.0)
            axes.set_xlim(min(times) / 1.6, max(times) * 1.6)
            axes.set_ylim(1, 1.4 * cap)
        label_outer(drawn, "own time in a step (s)", "energies to success")
    return True


def points(results: Results, task: str) -> list[Point]:
    """Return the settings of the campaign on one task, from quick to thorough."""
    found = (_point(results.of(task, method)) for method in results.methods)
    return sorted((p for p in found if p is not None), key=lambda point: point.time)


def _point(runs: Sequence[Run]) -> Point | None:
    runs = [run for run in runs if run.finished and run.own]
    if not runs:
        return None
    cap = runs[0].cap
    counts = [run.evaluations for run in runs]
    low, high = median_interval(counts, cap)
    times = [float(np.median(run.own)) for run in runs]
    return Point(
        name=runs[0].method.removeprefix("bostruct").strip() or "default",
        time=float(np.median([seconds for run in runs for seconds in run.own])),
        median=percentile(counts, 0.5, cap) or 0.0,
        low=low,
        high=high,
        p90=percentile(counts, 0.9, cap) or 0.0,
        runs=list(zip(times, counts, strict=True)),
        cap=cap,
    )


def _panel(axes: Any, line: Sequence[Point]) -> None:  # noqa: ANN401 - matplotlib
    blue, orange = COLORS[:2]
    at = [point.time for point in line]
    low, high = [point.low for point in line], [point.high for point in line]
    solved = [(t, n) for p in line for t, n in p.runs if n is not None]
    failed = [(t, p.cap) for p in line for t, n in p.runs if n is None]
    dots = {"ls": "", "color": "0.45", "alpha": 0.6, "mew": 0.5, "zorder": 1.5}
    axes.plot(at, [p.median for p in line], "o-", color=blue, label="median")
    band = {"color": blue, "alpha": 0.18, "lw": 0}
    axes.fill_between(at, low, high, label="its 95 % interval", **band)
    axes.plot(at, [p.p90 for p in line], "s--", color=orange, label="90th percentile")
    axes.plot(*_columns(solved), marker=".", ms=3, label="one run", **dots)
    axes.plot(*_columns(failed), marker="^", mfc="none", label="failed", **dots)
    for point in line:
        axes.text(
            *(point.time, 0.02, point.name),
            transform=axes.get_xaxis_transform(),
            size=6,
            color="0.35",
            ha="center",
        )


def _columns(rows: Sequence[tuple[float, int]]) -> tuple[list[float], list[int]]:
    return [x for x, _ in rows], [y for _, y in rows]
