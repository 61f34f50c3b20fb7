"""What the pictures have in common: panels, axes, legend, file."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bostruct.campaign.canvas import legend
from bostruct.campaign.durable import write
from bostruct.uncertainty import plots

COLUMNS = 3
PANEL = (2.4, 2.0)
"""Inches: three beside each other are as wide as a page of two columns."""

ENTRY = 1.6
"""Inches that a line of the legend is wide."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Of Okabe and Ito: told apart by everyone."""

SETTINGS = plots.SETTINGS | {
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "legend.handlelength": 2.4,
}


@contextmanager
def panels(titles: Sequence[str], path: Path) -> Iterator[list[Any]]:
    """Lend a panel for each title; they are written to `path` after.

    Raises:
        LogError: they cannot be written.
    """
    # A figure of its own, not pyplot's: that keeps figures, and may open windows.
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(len(titles), COLUMNS)
    rows = math.ceil(len(titles) / columns)
    size = (max(PANEL[0] * columns, 3.6), PANEL[1] * rows + 0.5)
    with rc_context(SETTINGS):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
        for axes in grid[len(titles) :]:
            axes.remove()
        found = grid[: len(titles)]
        for title, axes in zip(titles, found, strict=True):
            axes.set_title(title, loc="left", fontweight="bold")
        yield found
        legend(figure, found, ENTRY)
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=300)
    write(path, image.getvalue())


def label(panels: Sequence[Any], x: str, y: str) -> None:
    """Name the axes where no panel is below or to the left."""
    for i, axes in enumerate(panels):
        if i + COLUMNS >= len(panels):
            axes.set_xlabel(x)
        if i % COLUMNS == 0:
            axes.set_ylabel(y)


def logarithmic(axis: Any, *digits: float) -> None:  # noqa: ANN401 - matplotlib
    """Label a logarithmic axis with plain numbers that begin with these digits."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=digits))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(LogLocator(subs=tuple(range(2, 10))))
    axis.set_minor_formatter(NullFormatter())
