"""Success curves: the share of runs that have succeeded against evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bostruct.bench.single_objective.results import Results
from bostruct.plotting import COLORS, bench_panels, label_outer, log_ticks

SUCCESS_PNG = "success.png"

LINE_STYLES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (7, 2)))
"""Of campaigns, for print without colours."""

BASELINE_COLORS = ("#444444", "#999999", "#777777", "#bbbbbb")
"""Greys of what a campaign is compared with, which is dotted."""

LineStyle = Mapping[str, Any]


def plot_success(results: Results, out: Path) -> None:
    """Draw a panel for each task, with Wilson bands, `success.png`.

    A curve ends at the cap of its runs, with a bar if some have not succeeded.

    Raises:
        LogError: it cannot be written.
    """
    styles = _method_styles(results)
    last = max(run.max_evaluations for run in results.runs)
    with bench_panels([task.name for task in results.tasks], out / SUCCESS_PNG) as found:
        for task, axes in zip(results.tasks, found, strict=True):
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
            axes.plot([], [], label="cap of unsolved runs", **mark)
            axes.set_xscale("log")
            log_ticks(axes.xaxis, 1.0)
            axes.set_xlim(1, 1.15 * last)
            axes.set_ylim(0, 1.04)
            axes.grid(axis="y", lw=0.3, color="0.85")
            axes.set_axisbelow(True)
        label_outer(found, "energy evaluations", "share of runs solved")


def _method_styles(results: Results) -> dict[str, LineStyle]:
    """Return how each method is drawn: what it is compared with stays behind."""
    own = [m for m in results.methods if any(r.seconds for r in _runs_of_method(results, m))]
    others = [method for method in results.methods if method not in own]
    if not own:
        own, others = others, []
    found: dict[str, LineStyle] = {}
    for i, method in enumerate(own):
        colour = COLORS[i % len(COLORS)]
        style = {"color": colour, "ls": LINE_STYLES[i % len(LINE_STYLES)]}
        found[method] = {**style, "zorder": 3 - 0.1 * i}  # the first one on top
    for i, method in enumerate(others):
        colour = BASELINE_COLORS[i % len(BASELINE_COLORS)]
        found[method] = {"color": colour, "ls": (0, (1, 1)), "lw": 1.2}
    return found


def _runs_of_method(results: Results, method: str) -> list[Any]:
    return [run for run in results.runs if run.method == method]


def _draw_curve(axes: Any, results: Results, task: str, method: str, style: LineStyle) -> None:  # noqa: ANN401 - matplotlib
    found = results.success_curve(task, method)
    if found is None:
        return
    at, share, colour = found.evaluations, found.solved_fraction, style["color"]
    axes.step(at, share, where="post", label=method, **style)
    # what is certain of no success at all is not drawn: it is the same of all methods
    first = next((i for i, value in enumerate(share) if value > 0), len(at))
    band = (at[first:], found.low[first:], found.high[first:])
    axes.fill_between(*band, step="post", color=colour, alpha=0.13, lw=0)
    if share[-1] < 1:
        axes.plot(at[-1], share[-1], "|", color=colour, ms=7, mew=1.4, zorder=4)
