"""Shared matplotlib settings, figures, axes, ticks and legends of all pictures.

matplotlib is imported when a figure is made, and no window is opened.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bostruct.runtime.atomic_write import write_atomically
from bostruct.runtime.control_characters import visible_text

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Palette of Okabe and Ito, told apart by color-blind readers too."""

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY_BLUE = COLORS
GREY = "0.55"

RC_PARAMS = {
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.3,
    "lines.markersize": 3,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "legend.handlelength": 2.4,
    "grid.linewidth": 0.4,
    "grid.color": "0.85",
}

PANEL_SIZE = (2.4, 2.0)
"""Width and height of a panel, inches: three side by side fill a page of two columns."""

MAX_COLUMNS = 3
MIN_FIGURE_WIDTH, LEGEND_HEIGHT, LEGEND_ENTRY_WIDTH = 3.6, 0.5, 1.7  # inches

MAX_LABEL_CHARACTERS, MAX_LEGEND_CHARACTERS = 28, 50
"""Characters in a line of the label of an axis, and of an entry of a legend."""

TICK_STEPS = (1, 2, 5, 10)
"""Steps between the numbers of an axis, times a power of ten."""

THIN_SPACE, MINUS_SIGN = "\u2009", "\u2212"


def new_figure(width: float, height: float) -> Any:  # noqa: ANN401 - matplotlib
    """Return an empty figure of a size in inches, unknown to pyplot, which may open windows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def write_png(figure: Any, path: Path, dpi: int = 300) -> None:  # noqa: ANN401 - matplotlib
    """Write a figure to a PNG file, larger than the figure where something stands out of it.

    Raises:
        LogError: the file cannot be written.
    """
    image = io.BytesIO()
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    inside = box.x0 >= 0 and box.y0 >= 0
    inside = inside and box.x1 <= figure.get_figwidth() and box.y1 <= figure.get_figheight()
    figure.savefig(image, format="png", dpi=dpi, bbox_inches=None if inside else "tight")
    write_atomically(path, image.getvalue())


@contextmanager
def saved_figure(
    n_panels: int,
    path: Path,
    panel_size: tuple[float, float] = PANEL_SIZE,
    *,
    titles: Sequence[str] = (),
    **options: object,
) -> Iterator[list[Any]]:
    """Yield panels to draw into, then add one legend below and write the PNG file.

    Args:
        n_panels: Number of panels, three in a row at most.
        path: PNG file of 300 dots per inch.
        panel_size: Width and height of a panel, inches.
        titles: Titles of the panels, if they have any.
        **options: Keyword arguments of matplotlib's `add_subplot`.

    Raises:
        LogError: the file cannot be written.
    """
    from matplotlib import rc_context

    columns = min(n_panels, MAX_COLUMNS)
    rows = math.ceil(n_panels / columns)
    width = max(panel_size[0] * columns, MIN_FIGURE_WIDTH)
    with rc_context(RC_PARAMS):
        figure = new_figure(width, panel_size[1] * rows + LEGEND_HEIGHT)
        panels = [figure.add_subplot(rows, columns, i + 1, **options) for i in range(n_panels)]
        for title, axes in zip(titles, panels, strict=False):
            axes.set_title(title, loc="left", fontweight="bold")
        yield panels
        add_shared_legend(figure, panels)
        write_png(figure, path)


def add_shared_legend(figure: Any, panels: Sequence[Any]) -> None:  # noqa: ANN401 - matplotlib
    """Add one legend below all panels, with each label once, as narrow as the figure.

    The figure grows by the lines that the legend has beyond two.
    """
    entries: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if not entries:
        return
    labels = [wrap_label(label, MAX_LEGEND_CHARACTERS) for label in entries]
    width, height = figure.get_size_inches()
    n_columns = max(1, min(len(entries), int(width / LEGEND_ENTRY_WIDTH)))
    for columns in range(n_columns, 0, -1):
        legend = figure.legend(entries.values(), labels, loc="outside lower center", ncols=columns)
        extent = legend.get_window_extent(figure.canvas.get_renderer())
        if columns == 1 or extent.width <= figure.bbox.width:
            break
        legend.remove()
    figure.set_size_inches(width, height + max(extent.height / figure.dpi - LEGEND_HEIGHT, 0.0))


def wrap_label(label: str, max_characters: int = MAX_LABEL_CHARACTERS) -> str:
    r"""Return a label in lines that a panel has room for.

    It is drawn as it is: matplotlib would set what stands between two dollar signs as a formula.

    >>> wrap_label("energy above the convex hull (eV/atom)", 24)
    'energy above the convex\nhull (eV/atom)'
    """
    lines = textwrap.wrap(visible_text(label), max_characters)
    return "\n".join(lines).replace("$", r"\$")


def label_outer(panels: Sequence[Any], x: str, y: str) -> None:
    """Label the x axes of panels with none below, and the y axes of those with none to the left."""
    for i, axes in enumerate(panels):
        if i + MAX_COLUMNS >= len(panels):
            axes.set_xlabel(x)
        if i % MAX_COLUMNS == 0:
            axes.set_ylabel(y)


def set_linear_ticks(axis: Any, max_intervals: int = 6) -> None:  # noqa: ANN401 - matplotlib
    """Label a linear axis with round numbers, in `max_intervals` intervals at most."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(max_intervals, min_n_ticks=3, steps=TICK_STEPS))


def set_log_ticks(axis: Any) -> None:  # noqa: ANN401 - matplotlib
    """Label a logarithmic axis with plain numbers within its limits, set before.

    Beyond four decades matplotlib's own powers of ten stay.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    low, high = sorted(axis.get_view_interval())
    if high / low > 1e4:
        return
    axis.set_major_locator(FixedLocator(log_tick_values(low, high)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: format_tick(value)))
    axis.set_minor_formatter(NullFormatter())


def log_tick_values(low: float, high: float) -> list[float]:
    """Return round numbers between two positive ones, few enough to be read.

    >>> log_tick_values(4, 60)
    [5.0, 10.0, 20.0, 50.0]
    """
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 5)):
        values = [round(digit * 10.0**e, 12) for e in exponents for digit in digits]
        values = [value for value in values if low <= value <= high]
        if len(values) >= 3:
            return values
    return linear_tick_values(low, high)  # much less than a decade


def linear_tick_values(low: float, high: float) -> list[float]:
    """Return round numbers between two others, few enough to be read."""
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(6, min_n_ticks=4, steps=TICK_STEPS).tick_values(low, high)
    return [round(float(value), 12) for value in ticks if low <= value <= high]


def format_tick(value: float) -> str:
    """Return a number as it is written in a text, with thin spaces and a true minus sign.

    >>> format_tick(20000) == "20" + THIN_SPACE + "000", format_tick(0.05), format_tick(-150.0)
    (True, '0.05', '−150')
    """
    text = f"{value:,.0f}" if abs(value) >= 10000 else f"{value:g}"
    return text.replace(",", THIN_SPACE).replace("-", MINUS_SIGN)
