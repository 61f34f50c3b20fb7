"""Figures of a report: one drawing, as SVG inside the page and as PNG or SVG file.

matplotlib draws both. Inside the page colors become variables of the style sheet, so that the
figure follows a dark page, and marks carry the number of their trial, by which the page links them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final
from xml.etree import ElementTree

from bostruct import plotting
from bostruct.runtime.atomic_write import write_atomically

INK, MUTED, GRID, PAPER = "#1b1b1f", "#77777d", "#dcdcdf", "#fefefe"
"""Colors of text, of secondary marks, of grids and of the background."""

STYLE_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--paper",
    plotting.BLUE.lower(): "--blue",
    plotting.VERMILION.lower(): "--vermilion",
    plotting.GREEN.lower(): "--green",
    plotting.ORANGE.lower(): "--orange",
    plotting.SKY_BLUE.lower(): "--sky",
}
"""Variables of the style sheet of the page by color of the drawing."""

RC_PARAMS = plotting.RC_PARAMS | {
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "axes.facecolor": "none",
    "svg.fonttype": "none",
}
"""Settings of matplotlib: larger letters than in print, as a telephone shrinks the page."""

SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}"

N_FEW, N_SPREADS = 8, 3.0
"""Number of values of which all are shown, and distance from the bulk that is shown, in spreads."""

Marks = Mapping[str, Sequence[int]]
"""Numbers of the trials of the marks of a collection by the id (`gid`) that it was drawn with."""


@final
@dataclass(frozen=True, eq=False)
class ReportFigure:
    """One figure with its caption and its numbers.

    Attributes:
        name: Name of the file and of the place in the page.
        title: Title.
        caption: Sentences below the figure.
        alt: Description of the picture, for those who do not see it.
        columns: Names of the columns of the table.
        rows: Rows of the table: numbers, texts or None.
        draw: Function that draws into an empty figure and returns its marks.
        size: Width and height, inches.
    """

    name: str
    title: str
    caption: str
    alt: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    draw: Callable[[Any], Marks]
    size: tuple[float, float] = (4.8, 3.1)


def inline_svg(figure: ReportFigure) -> str:
    """Return a figure as an SVG element for a page, without any id that another figure has."""
    text, marks = _svg_text(figure, transparent=True)
    root = ElementTree.fromstring(text)
    for metadata in root.findall(f"{SVG}metadata"):
        root.remove(metadata)
    for group in root.iter(f"{SVG}g"):
        numbers = marks.get(group.get("id", ""))
        if numbers is not None:
            _tag_marks(group, numbers)
    _drop_unused_ids(root)
    for attribute in ("width", "height"):
        root.attrib.pop(attribute, None)
    root.set("role", "img")
    root.set("aria-label", figure.alt)
    ElementTree.register_namespace("", SVG[1:-1])
    ElementTree.register_namespace("xlink", XLINK[1:-1])
    svg = ElementTree.tostring(root, encoding="unicode").replace("xlink:href", "href")
    for color, variable in STYLE_VARIABLES.items():
        svg = re.sub(color, f"var({variable})", svg, flags=re.IGNORECASE)
    return svg


def write_picture(figure: ReportFigure, path: Path) -> None:
    """Write a figure to a PNG or SVG file.

    Raises:
        LogError: the file cannot be written.
    """
    if path.suffix == ".svg":
        write_atomically(path, _svg_text(figure, transparent=False)[0].encode())
        return
    from matplotlib import rc_context

    with rc_context(RC_PARAMS):
        drawn, _ = _draw(figure)
        plotting.write_png(drawn, path)


def robust_limits(values: Sequence[float]) -> tuple[float, float]:
    """Return the range of some values with a margin, without those far from all others.

    >>> robust_limits([0.0, 1.0])
    (-0.06, 1.06)
    """
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    n = len(ordered)
    if n > N_FEW:
        first, last = ordered[n // 8], ordered[n - 1 - n // 8]
        reach = N_SPREADS * (last - first)
        inside = [v for v in ordered if first - reach <= v <= last + reach]
        low, high = inside[0], inside[-1]
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return low - margin, high + margin


def clamped(values: Sequence[float], limits: tuple[float, float]) -> list[float]:
    """Return values with those beyond the limits moved to them."""
    return [min(max(value, limits[0]), limits[1]) for value in values]


def _draw(figure: ReportFigure) -> tuple[Any, Marks]:
    drawn = plotting.new_figure(*figure.size)
    marks = figure.draw(drawn)
    plotting.add_shared_legend(drawn, drawn.axes)
    return drawn, marks


def _svg_text(figure: ReportFigure, transparent: bool) -> tuple[str, Marks]:
    from matplotlib import rc_context

    with rc_context(RC_PARAMS | {"svg.hashsalt": figure.name}):
        drawn, marks = _draw(figure)
        text = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        drawn.savefig(text, format="svg", transparent=transparent, metadata=nothing)
    return text.getvalue(), marks


def _tag_marks(group: ElementTree.Element, numbers: Sequence[int]) -> None:
    """Write the numbers of the trials at the marks of a group, in the order they were drawn."""
    defined = {id(e) for defs in group.iter(f"{SVG}defs") for e in defs.iter()}
    marks = [
        element
        for element in group.iter()
        if element.tag in (f"{SVG}use", f"{SVG}path") and id(element) not in defined
    ]
    for element, number in zip(marks, numbers, strict=True):
        element.set("data-trial", str(number))


def _drop_unused_ids(root: ElementTree.Element) -> None:
    used = set()
    for element in root.iter():
        used |= {value[1:] for key, value in element.items() if key.endswith("href")}
        for value in element.attrib.values():
            used |= set(re.findall(r"url\(#([^)]+)\)", value))
    for element in root.iter():
        if element.get("id") not in used:
            element.attrib.pop("id", None)
