"""What the pictures of a front have in common: figures, axes, legend, colours."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bostruct.runtime.atomic_write import write

BLUE, GREY = "#0072B2", "0.55"


SIZE = 2.2  # inches, of a panel


BASE_SETTINGS = {
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


STEPS = (1, 2, 5, 10)
"""Between the numbers at an axis."""

COLUMNS = 3
PANEL = (2.4, 2.1)
"""Inches: three beside each other are as wide as a page of two columns."""

THIN, MINUS = "\u2009", "\u2212"

ENTRY = 1.7
"""Inches that an entry of the legend is wide."""

SETTINGS = BASE_SETTINGS | {
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "axes.labelsize": 7.5,
    "grid.linewidth": 0.4,
    "grid.color": "0.85",
}


@contextmanager
def figure(
    count: int, path: Path, size: tuple[float, float] = PANEL, **options: object
) -> Iterator[list[Any]]:
    """Lend so many panels; the figure is written to `path` after, with a legend below.

    Args:
        count: Of panels, three in a row at most.
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

    columns = min(count, COLUMNS)
    lines = math.ceil(count / columns)
    whole = (max(size[0] * columns, 3.5), size[1] * lines + 0.45)
    with rc_context(SETTINGS):
        drawn = Figure(figsize=whole, layout="constrained")
        FigureCanvasAgg(drawn)
        panels = [
            drawn.add_subplot(lines, columns, i + 1, **options) for i in range(count)
        ]
        yield panels
        legend(drawn, panels)
        image = io.BytesIO()
        drawn.savefig(image, format="png", dpi=300)
    write(path, image.getvalue())


def legend(
    drawn: Any,  # noqa: ANN401 - matplotlib
    panels: Sequence[Any],
    entry: float = ENTRY,
) -> None:
    """Put one legend below all panels, its entries so many inches wide."""
    entries: dict[str, Any] = {}
    for axes in panels:
        for each, name in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(name, each)
    if entries:
        drawn.legend(
            entries.values(),
            entries.keys(),
            loc="outside lower center",
            ncols=max(1, min(len(entries), int(drawn.get_figwidth() / entry))),
        )


def linear(axis: Any, most: int = 6) -> None:  # noqa: ANN401 - matplotlib
    """Label a linear axis with round numbers, in `most` intervals at most."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(most, min_n_ticks=3, steps=STEPS))


def logarithmic(axis: Any, low: float, high: float) -> None:  # noqa: ANN401
    """Label a logarithmic axis from `low` to `high` with plain numbers, three or more.

    Beyond four decades with powers of ten.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    if high / low > 1e4:
        return  # matplotlib's own powers of ten
    places = decades(low, high)
    axis.set_major_locator(FixedLocator(places))
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
    axis.set_minor_formatter(NullFormatter())


def decades(low: float, high: float) -> list[float]:
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
    places = MaxNLocator(6, min_n_ticks=4, steps=STEPS).tick_values(low, high)
    return [round(float(value), 12) for value in places if low <= value <= high]


def plain(value: float) -> str:
    """Return a number as it is written in a text, with thin spaces and a real minus.

    >>> plain(20000) == "20" + THIN + "000", plain(0.05), plain(-150.0)
    (True, '0.05', '−150')
    """
    text = f"{value:,.0f}" if abs(value) >= 10000 else f"{value:g}"
    return text.replace(",", THIN).replace("-", MINUS)


CURVE_PANEL = (2.4, 2.0)
"""Width and height of a panel of curves, inches."""

CURVE_ENTRY = 1.6
"""Inches that a line of the legend is wide."""

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Of Okabe and Ito: told apart by everyone."""

CURVE_SETTINGS = BASE_SETTINGS | {
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
        legend(figure, found, CURVE_ENTRY)
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=300)
    write(path, image.getvalue())


def label_outer(panels: Sequence[Any], x: str, y: str) -> None:
    """Name the axes where no panel is below or to the left."""
    for i, axes in enumerate(panels):
        if i + COLUMNS >= len(panels):
            axes.set_xlabel(x)
        if i % COLUMNS == 0:
            axes.set_ylabel(y)


def log_ticks(axis: Any, *digits: float) -> None:  # noqa: ANN401 - matplotlib
    """Label a logarithmic axis with plain numbers that begin with these digits."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=digits))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(LogLocator(subs=tuple(range(2, 10))))
    axis.set_minor_formatter(NullFormatter())
