"""Success curves, one panel for each task; and energies against own time."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bostruct.bench.results import Results, Row
from bostruct.campaign.durable import write

SUCCESS, EFFORT = "success.png", "effort.png"
COLUMNS = 3
PANEL = (2.9, 2.3)
"""Inches."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Of Okabe and Ito: told apart by everyone."""

STYLES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (7, 2)))
"""And in print without colours."""

SETTINGS = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
}


def success(results: Results, out: Path) -> None:
    """Draw the share of runs that have succeeded against evaluations, `success.png`.

    Raises:
        LogError: it cannot be written.
    """
    from matplotlib import rc_context

    with rc_context(SETTINGS):
        figure, panels = _panels([task.name for task in results.tasks])
        for task, axes in zip(results.tasks, panels, strict=True):
            for i, method in enumerate(results.methods):
                _curve(axes, results, task.name, method, i)
            _logarithmic(axes, 1.0)
            axes.set_xlim(1, 1.1 * max(run.cap for run in results.runs))
            axes.set_ylim(0, 1.02)
            axes.set_xlabel("energy evaluations")
        for axes in panels[::COLUMNS]:
            axes.set_ylabel("share of runs solved")
        _legend(figure, panels)
        _save(figure, out / SUCCESS)


def effort(results: Results, out: Path) -> bool:
    """Draw evaluations against own time in a step, `effort.png`.

    Only where at least two settings of the campaign were run; returns whether.

    Raises:
        LogError: it cannot be written.
    """
    from matplotlib import rc_context

    rows = [r for r in results.rows() if r.step is not None and r.median is not None]
    names = [task.name for task in results.tasks]
    chosen = [n for n in names if sum(row.task == n for row in rows) > 1]
    if not chosen:
        return False
    with rc_context(SETTINGS):
        figure, panels = _panels(chosen)
        for name, axes in zip(chosen, panels, strict=True):
            _effort(axes, [row for row in rows if row.task == name])
        for axes in panels[::COLUMNS]:
            axes.set_ylabel("evaluations to success")
        _legend(figure, panels)
        _save(figure, out / EFFORT)
    return True


def _panels(titles: Sequence[str]) -> tuple[Any, list[Any]]:
    # A figure of its own, not pyplot's: that keeps figures, and may open windows.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(len(titles), COLUMNS)
    rows = math.ceil(len(titles) / columns)
    size = (max(PANEL[0] * columns, 4.2), PANEL[1] * rows + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for axes in grid[len(titles) :]:
        axes.remove()
    panels = grid[: len(titles)]
    for title, axes in zip(titles, panels, strict=True):
        axes.set_title(title, loc="left")
    return figure, panels


def _curve(axes: Any, results: Results, task: str, method: str, i: int) -> None:  # noqa: ANN401 - matplotlib
    found = results.curve(task, method)
    if found is None:
        return
    colour, style = COLOURS[i % len(COLOURS)], STYLES[i % len(STYLES)]
    at = found.evaluations
    axes.step(at, found.share, where="post", color=colour, ls=style, label=method)
    band = (at, found.low, found.high)
    axes.fill_between(*band, step="post", color=colour, alpha=0.12, lw=0)
    for edge in band[1:]:  # bands that overlap are told apart by their edges
        axes.step(at, edge, where="post", color=colour, lw=0.5, alpha=0.5)


def _effort(axes: Any, rows: Sequence[Row]) -> None:  # noqa: ANN401 - matplotlib
    rows = sorted(rows, key=lambda row: row.step or 0.0)
    at = [row.step or 0.0 for row in rows]
    axes.plot(at, [row.median for row in rows], "o-", color=COLOURS[0], label="median")
    axes.plot(
        at, [row.p90 for row in rows], "s--", color=COLOURS[1], label="90th percentile"
    )
    for row in rows:
        name = row.method.removeprefix("bostruct").strip() or "default"
        axes.annotate(
            name, (row.step, row.median), (0, -9), textcoords="offset points", size=6
        )
    _logarithmic(axes, 1.0, 2.0, 5.0)
    axes.set_xlim(at[0] / 2, at[-1] * 2)
    axes.set_ylim(0, 1.1 * max(row.p90 or 0.0 for row in rows))
    axes.set_xlabel("own time in a step (s)")


def _logarithmic(axes: Any, *digits: float) -> None:  # noqa: ANN401 - matplotlib
    """Make the x axis logarithmic, with plain numbers where the first digit is one."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=digits))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _legend(figure: Any, panels: Sequence[Any]) -> None:  # noqa: ANN401 - matplotlib
    lines: dict[str, Any] = {}
    for axes in panels:
        for line, label in zip(*axes.get_legend_handles_labels(), strict=True):
            lines.setdefault(label, line)
    if lines:
        figure.legend(
            lines.values(),
            lines.keys(),
            loc="outside lower center",
            ncols=min(len(lines), COLUMNS),
        )


def _save(figure: Any, path: Path) -> None:  # noqa: ANN401 - matplotlib
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=300)
    write(path, image.getvalue())
