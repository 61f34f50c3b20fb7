"""What the pictures of a front have in common: figures, axes, legend, colours."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bostruct.runtime.atomic_write import write_atomically

BLUE, GREY = "#0072B2", "0.55"


PANEL_WIDTH = 2.2  # inches, of a calibration diagram


RC_PARAMS = {
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 3,
}


TICK_STEPS = (1, 2, 5, 10)
"""Between the numbers at an axis."""

MAX_COLUMNS = 3
PANEL_SIZE = (2.4, 2.1)
"""Inches: three beside each other are as wide as a page of two columns."""

THIN_SPACE, MINUS_SIGN = "\u2009", "\u2212"

LEGEND_ENTRY_WIDTH = 1.7
"""Inches that an entry of the legend is wide."""

PANEL_RC_PARAMS = RC_PARAMS | {
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "axes.labelsize": 7.5,
    "grid.linewidth": 0.4,
    "grid.color": "0.85",
}


@contextmanager
def saved_figure(
    n_panels: int, path: Path, size: tuple[float, float] = PANEL_SIZE, **options: object
) -> Iterator[list[Any]]:
    """Lend so many panels; the figure is written to `path` after, with a legend below.

    Args:
        n_panels: Of panels, three in a row at most.
        path: A PNG of 300 dots per inch.
        size: Of a panel, inches.
        **options: Of matplotlib's `add_subplot`.

    Raises:
        LogError: it cannot be written.
    """
    # A figure of its own, not pyplot's: that keeps figures, and may open windows.
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(n_panels, MAX_COLUMNS)
    lines = math.ceil(n_panels / columns)
    whole = (max(size[0] * columns, 3.5), size[1] * lines + 0.45)
    with rc_context(PANEL_RC_PARAMS):
        drawn = Figure(figsize=whole, layout="constrained")
        FigureCanvasAgg(drawn)
        panels = [drawn.add_subplot(lines, columns, i + 1, **options) for i in range(n_panels)]
        yield panels
        add_shared_legend(drawn, panels)
        image = io.BytesIO()
        drawn.savefig(image, format="png", dpi=300)
    write_atomically(path, image.getvalue())


def add_shared_legend(
    fig: Any,  # noqa: ANN401 - matplotlib
    panels: Sequence[Any],
    entry_width: float = LEGEND_ENTRY_WIDTH,
) -> None:
    """Put one legend below all panels, its entries so many inches wide."""
    entries: dict[str, Any] = {}
    for axes in panels:
        for each, name in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(name, each)
    if entries:
        fig.legend(
            entries.values(),
            entries.keys(),
            loc="outside lower center",
            ncols=max(1, min(len(entries), int(fig.get_figwidth() / entry_width))),
        )


def set_linear_ticks(axis: Any, max_intervals: int = 6) -> None:  # noqa: ANN401 - matplotlib
    """Label a linear axis with round numbers, in `max_intervals` intervals at most."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(max_intervals, min_n_ticks=3, steps=TICK_STEPS))


def set_log_ticks(axis: Any, low: float, high: float) -> None:  # noqa: ANN401
    """Label a logarithmic axis from `low` to `high` with plain numbers, three or more.

    Beyond four decades with powers of ten.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    if high / low > 1e4:
        return  # matplotlib's own powers of ten
    places = log_tick_values(low, high)
    axis.set_major_locator(FixedLocator(places))
    axis.set_major_formatter(FuncFormatter(lambda value, _: format_tick(value)))
    axis.set_minor_formatter(NullFormatter())


def log_tick_values(low: float, high: float) -> list[float]:
    """Return round numbers between two positive ones, few enough to be read.

    >>> decades(4, 60)
    [5.0, 10.0, 20.0, 50.0]
    """
    from matplotlib.ticker import MaxNLocator

    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    few: list[float] = []
    for each in ((1,), (1, 3), (1, 2, 5)):
        exponents = range(first, last + 1)
        every = [round(d * 10.0**e, 12) for e in exponents for d in each]
        few = [value for value in every if low <= value <= high]
        if len(few) >= 3:
            return few
    # Less than a decade: as on a linear axis.
    places = MaxNLocator(6, min_n_ticks=4, steps=TICK_STEPS).tick_values(low, high)
    return [round(float(value), 12) for value in places if low <= value <= high]


def format_tick(value: float) -> str:
    """Return a number as it is written in a text, with thin spaces and a real minus.

    >>> plain(20000) == "20" + THIN + "000", plain(0.05), plain(-150.0)
    (True, '0.05', '−150')
    """
    text = f"{value:,.0f}" if abs(value) >= 10000 else f"{value:g}"
    return text.replace(",", THIN_SPACE).replace("-", MINUS_SIGN)


CURVE_PANEL = (2.4, 2.0)
"""Width and height of a panel of curves, inches."""

CURVE_ENTRY = 1.6
"""Inches that a line of the legend is wide."""

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Of Okabe and Ito: told apart by everyone."""

CURVE_SETTINGS = RC_PARAMS | {
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "legend.handlelength": 2.4,
}


@contextmanager
def bench_panels(titles: Sequence[str], path: Path) -> Iterator[list[Any]]:
    """Lend a panel for each title; they are written to `path` after.

    Raises:
        LogError: they cannot be written.
    """
    # A figure of its own, not pyplot's: that keeps figures, and may open windows.
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(len(titles), MAX_COLUMNS)
    rows = math.ceil(len(titles) / columns)
    size = (max(CURVE_PANEL[0] * columns, 3.6), CURVE_PANEL[1] * rows + 0.5)
    with rc_context(CURVE_SETTINGS):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
        for axes in grid[len(titles) :]:
            axes.remove()
        found = grid[: len(titles)]
        for title, axes in zip(titles, found, strict=True):
            axes.set_title(title, loc="left", fontweight="bold")
        yield found
        add_shared_legend(figure, found, CURVE_ENTRY)
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=300)
    write_atomically(path, image.getvalue())


def label_outer(panels: Sequence[Any], x: str, y: str) -> None:
    """Name the axes where no panel is below or to the left."""
    for i, axes in enumerate(panels):
        if i + MAX_COLUMNS >= len(panels):
            axes.set_xlabel(x)
        if i % MAX_COLUMNS == 0:
            axes.set_ylabel(y)


def log_ticks(axis: Any, *digits: float) -> None:  # noqa: ANN401 - matplotlib
    """Label a logarithmic axis with plain numbers that begin with these digits."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=digits))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(LogLocator(subs=tuple(range(2, 10))))
    axis.set_minor_formatter(NullFormatter())
