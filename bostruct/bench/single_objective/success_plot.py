"""Success curves: fraction of solved runs against evaluations, with Wilson bands.

Data profiles of Moré and Wild, SIAM J. Optim. 20, 172 (2009).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bostruct.bench.single_objective.results import Results
from bostruct.plotting import COLORS, label_outer, saved_figure, set_log_ticks

SUCCESS_PNG = "success.png"

LINE_STYLES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (7, 2)))
"""Line styles of campaigns, for print without colors."""

BASELINE_COLORS = ("#444444", "#999999", "#777777", "#bbbbbb")
"""Greys of the baselines, which are dotted."""

LineStyle = Mapping[str, Any]


def plot_success(results: Results, out: Path) -> None:
    """Draw a panel for each task, with Wilson bands, `success.png`.

    A curve ends at the limit of evaluations, with a bar if some runs have not succeeded.

    Raises:
        LogError: the file cannot be written.
    """
    styles = _method_styles(results)
    last = max(run.max_evaluations for run in results.runs)
    titles = [task.name for task in results.tasks]
    with saved_figure(len(titles), out / SUCCESS_PNG, titles=titles) as panels:
        for task, axes in zip(results.tasks, panels, strict=True):
            counts = {
                sum(run.is_finished for run in results.select(task.name, method))
                for method in results.methods
            }
            few, many = min(counts), max(counts)
            runs = f"{many} runs" if few == many else f"{few} to {many} runs"
            axes.set_title(runs, loc="right", fontsize=7)
            for method in results.methods:
                _draw_curve(axes, results, task.name, method, styles[method])
            axes.fill_between([], [], color="0.8", lw=0, label="95 % interval")
            mark = {"ls": "", "marker": "|", "color": "0.3", "ms": 7, "mew": 1.4}
            axes.plot([], [], label="limit of unsolved runs", **mark)
            axes.set(xscale="log", xlim=(1, 1.15 * last), ylim=(0, 1.04))
            set_log_ticks(axes.xaxis)
            axes.grid(axis="y")
            axes.set_axisbelow(True)
        label_outer(panels, "energy evaluations", "fraction of runs solved")


def _method_styles(results: Results) -> dict[str, LineStyle]:
    """Return the line style of each method; campaigns lie in front of baselines."""
    with_steps = {run.method for run in results.runs if run.step_seconds}
    campaigns = [method for method in results.methods if method in with_steps]
    baselines = [method for method in results.methods if method not in with_steps]
    if not campaigns:
        campaigns, baselines = baselines, []
    styles: dict[str, LineStyle] = {}
    for i, method in enumerate(campaigns):  # the first one on top
        line = {"color": COLORS[i % len(COLORS)], "ls": LINE_STYLES[i % len(LINE_STYLES)]}
        styles[method] = {**line, "zorder": 3 - 0.1 * i}
    for i, method in enumerate(baselines):
        color = BASELINE_COLORS[i % len(BASELINE_COLORS)]
        styles[method] = {"color": color, "ls": (0, (1, 1)), "lw": 1.2}
    return styles


def _draw_curve(axes: Any, results: Results, task: str, method: str, style: LineStyle) -> None:  # noqa: ANN401 - matplotlib
    curve = results.success_curve(task, method)
    if curve is None:
        return
    n, solved, color = curve.evaluations, curve.solved_fraction, style["color"]
    axes.step(n, solved, where="post", label=method, **style)
    # No band before the first success: it would be the same for all methods.
    first = next((i for i, value in enumerate(solved) if value > 0), len(n))
    band = (n[first:], curve.low[first:], curve.high[first:])
    axes.fill_between(*band, step="post", color=color, alpha=0.13, lw=0)
    if solved[-1] < 1:
        axes.plot(n[-1], solved[-1], "|", color=color, ms=7, mew=1.4, zorder=4)
