"""Tables as such: what stands in a cell, and how they are laid out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bostruct.bench.uncertainty.method_predictions import ENERGY, FORCES
from bostruct.bench.uncertainty.split import TEST

MISSING = "–"


class Line(Protocol):
    """What a line of a table is made from."""

    @property
    def method(self) -> str:
        """Its name."""
        ...

    @property
    def place(self) -> str:
        """The set."""
        ...

    @property
    def quantity(self) -> str:
        """Energy or forces."""
        ...

    @property
    def unit(self) -> str:
        """Of the errors."""
        ...

    @property
    def shifted(self) -> bool:
        """Whether the set is not one of the data that were dealt out."""
        ...

    @property
    def scored(self) -> bool:
        """Whether there are variances to be judged."""
        ...


L = TypeVar("L", bound=Line)


@final
@dataclass(frozen=True)
class Column(Generic[L]):
    """A heading and what stands below it."""

    head: str
    cell: Callable[[L], str]


@final
@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        title: What it is of.
        heads: Of its columns.
        lines: Its cells.
    """

    title: str
    heads: Sequence[str]
    lines: Sequence[Sequence[str]]

    @classmethod
    def of(cls, title: str, columns: Sequence[Column[L]], group: Sequence[L]) -> Sheet:
        """Return the table of these lines.

        Args:
            title: What it is of.
            columns: Of the table.
            group: What its lines are made from.
        """
        lines = [[column.cell(one) for column in columns] for one in group]
        return cls(title, [column.head for column in columns], lines)


def layout(
    found: Sequence[L],
    glance: Sequence[Column[L]],
    bars: Sequence[Column[L]],
    intervals: Sequence[Column[L]],
) -> list[Sheet]:
    """Return the tables: one at a glance, and two of every quantity and set.

    Args:
        found: Of all methods, sets and quantities.
        glance: Columns of the first table, with a line for each method.
        bars: Columns about error bars.
        intervals: Columns about intervals and scores.
    """
    sheets: list[Sheet] = []
    if found:
        first = {one.method: one for one in reversed(found)}
        heads = [first[name] for name in dict.fromkeys(one.method for one in found)]
        sheets.append(Sheet.of("At a glance", glance, heads))
    for quantity in (ENERGY, FORCES):
        mine = [one for one in found if one.quantity == quantity]
        for place in dict.fromkeys(one.place for one in mine):
            group = [one for one in mine if one.place == place]
            title = f"{quantity.capitalize()}, {place_name(place)}, {group[0].unit}"
            sheets.append(Sheet.of(f"{title}: error bars", bars, group))
            scored = [one for one in group if one.scored]
            if scored:
                both = f"{title}: intervals and scores"
                sheets.append(Sheet.of(both, intervals, scored))
    return sheets


def terminal(
    sheets: Sequence[Sheet], notes: Sequence[str], legend: Sequence[str]
) -> RenderableType:
    """Return tables for a terminal.

    Args:
        sheets: The tables.
        notes: What there is to say before them.
        legend: What there is to say after them.
    """
    parts: list[RenderableType] = [Text(note) for note in notes]
    for sheet in sheets:
        grid = Table(*sheet.heads, title=sheet.title)
        grid.title_justify = "left"
        for column in grid.columns[1:]:
            column.justify = "right"
            column.overflow = "fold"  # no digit is left out on a narrow terminal
        for line in sheet.lines:
            grid.add_row(*line)
        parts.append(grid)
    return Group(*parts, *(Text(line) for line in legend))


def markdown(
    sheets: Sequence[Sheet], notes: Sequence[str], legend: Sequence[str]
) -> str:
    """Return tables as Markdown.

    Args:
        sheets: The tables.
        notes: What there is to say before them.
        legend: What there is to say after them.
    """
    lines = [*(f"- {note}" for note in notes), ""]
    for sheet in sheets:
        rule = "|---|" + "---:|" * (len(sheet.heads) - 1)
        lines += [f"**{sheet.title}**", "", _line(sheet.heads), rule]
        lines += [_line(cells) for cells in sheet.lines]
        lines += [""]
    for text in legend:
        lines += [text, ""]
    return "\n".join(lines)


def place_name(place: str) -> str:
    """Return what a set is called in a heading."""
    return "in domain" if place == TEST else f"shifted: {place}"


def number(value: float | None) -> str:
    """Return three digits, without an exponent where that can be read.

    >>> number(0.0123), number(0.65), number(1234.5), number(1.5e9)
    ('0.0123', '0.650', '1234', '1.5e+09')
    """
    if value is None:
        return MISSING
    size = abs(value)
    if size == 0 or math.isinf(size):
        return f"{value:g}"
    if not 1e-3 <= size < 1e5:
        return f"{value:.1e}"
    return f"{value:.0f}" if size >= 100 else f"{value:#.3g}"


def two(value: float) -> str:
    """Return two decimals, none of what is large."""
    return f"{value:.2f}" if abs(value) < 100 else number(value)


def change(before: float, after: float, sign: str = "") -> str:
    """Return what was before and is after."""
    if max(abs(before), abs(after)) >= 100:
        return f"{number(before)} → {number(after)}"
    return f"{before:{sign}.2f} → {after:{sign}.2f}"


def percent(*shares: float) -> str:
    """Return shares in percent."""
    return " ".join(f"{100 * share:.0f}" for share in shares)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def glance(
    found: Sequence[L],
    *,
    rmse: Callable[[L], str],
    sharp: Callable[[L], str],
    robust: Callable[[L], str],
    fit: Callable[[L], str],
    cost: Callable[[L], str],
    forces: Callable[[L], str],
) -> list[Column[L]]:
    """Return columns for the desiderata: accurate, precise, robust, cheap.

    Args:
        found: Of all methods, sets and quantities; a line of the table is the first
            one of a method.
        rmse: What writes the error of a line.
        sharp: The same of σ.
        robust: Of z², and what it says.
        fit: Of the time of a fit.
        cost: Of the time of a prediction.
        forces: Of that with σ of forces, over that of energies.
    """
    table = {(one.method, one.quantity, one.place): one for one in found}

    def of(quantity: str, place: str, text: Callable[[L], str]) -> Callable[[L], str]:
        def cell(one: L) -> str:
            mine = table.get((one.method, quantity, place))
            return MISSING if mine is None else text(mine)

        return cell

    shifted = dict.fromkeys(one.place for one in found if one.shifted)
    return [
        Column("method", lambda one: one.method),
        Column("accurate: RMSE, meV/atom", of(ENERGY, TEST, rmse)),
        Column("eV/Å", of(FORCES, TEST, rmse)),
        Column("precise: σ, meV/atom", of(ENERGY, TEST, sharp)),
        Column("z² in domain", of(ENERGY, TEST, robust)),
        *(Column(f"robust: {name}", of(ENERGY, name, robust)) for name in shifted),
        Column("cheap: fit, s", fit),
        Column("ms (× cheapest)", of(ENERGY, TEST, cost)),
        Column(
            "σ of forces, ×",
            of(FORCES, TEST, lambda one: forces(one) if one.scored else MISSING),
        ),
    ]
