"""What the pictures of a front have in common: figures, axes, legend, colours."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bostruct.acquisition import Goals
from bostruct.campaign.durable import write
from bostruct.campaign.labels import title
from bostruct.uncertainty import plots

FRONT, FEASIBLE, INFEASIBLE, PREDICTED = "#D55E00", "#56B4E9", "0.6", "#009E73"
"""Of Okabe and Ito: told apart by everyone; the markers differ as well."""

STEPS = (1, 2, 5, 10)
"""Between the numbers at an axis."""

COLUMNS = 3
PANEL = (2.4, 2.1)
"""Inches: three beside each other are as wide as a page of two columns."""

THIN, MINUS = "\u2009", "\u2212"

ENTRY = 1.7
"""Inches that an entry of the legend is wide."""

SETTINGS = plots.SETTINGS | {
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


def label(name: str, goals: Goals) -> str:
    """Return what stands at the axis of an outcome: its unit, and what is better."""
    better = {part.name: part.direction for part in goals.objectives}.get(name)
    arrow = {"minimize": " ↓", "maximize": " ↑", None: ""}[better]
    return f"{title(name, goals)}{arrow}"


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


def scale(
    axes: Any,  # noqa: ANN401 - matplotlib
    which: str,
    name: str,
    goals: Goals,
    values: Sequence[float],
) -> None:
    """Name one axis of a panel, and make it logarithmic where its outcome is.

    Args:
        axes: The panel.
        which: "x" or "y".
        name: Of the outcome.
        goals: Of the campaign.
        values: All that is drawn along it, raw.
    """
    set_: Callable[[str], Callable[..., object]]
    set_ = lambda what: getattr(axes, f"set_{which}{what}")  # noqa: E731
    set_("label")(label(name, goals))
    if not values:
        return
    low, high = min(values), max(values)
    if name in goals.logs:
        set_("scale")("log")
        margin = (high / low) ** 0.06 if high > low else 1.1
        low, high = low / margin, high * margin
        set_("lim")(low, high)
        logarithmic(getattr(axes, f"{which}axis"), low, high)
    else:
        margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
        set_("lim")(low - margin, high + margin)
        # Beside each other numbers need more room than above each other.
        linear(getattr(axes, f"{which}axis"), 4 if which == "x" else 6)
