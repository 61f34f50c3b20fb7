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


class HasScores(Protocol):
    """What a line of a table is made from."""

    @property
    def method(self) -> str:
        """Its name."""
        ...

    @property
    def dataset(self) -> str:
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
    def is_shifted(self) -> bool:
        """Whether the set is not one of the data that were dealt out."""
        ...

    @property
    def has_scores(self) -> bool:
        """Whether there are variances to be judged."""
        ...


RowT = TypeVar("RowT", bound=HasScores)


@final
@dataclass(frozen=True)
class Column(Generic[RowT]):
    """A heading and what stands below it."""

    header: str
    cell: Callable[[RowT], str]


@final
@dataclass(frozen=True)
class ScoreTable:
    """A table.

    Attributes:
        title: What it is of.
        headers: Of its columns.
        cells: Its cells.
    """

    title: str
    headers: Sequence[str]
    cells: Sequence[Sequence[str]]

    @classmethod
    def from_rows(
        cls, title: str, columns: Sequence[Column[RowT]], rows: Sequence[RowT]
    ) -> ScoreTable:
        """Return the table of these lines.

        Args:
            title: What it is of.
            columns: Of the table.
            rows: What its lines are made from.
        """
        lines = [[column.cell(one) for column in columns] for one in rows]
        return cls(title, [column.header for column in columns], lines)


def build_tables(
    rows: Sequence[RowT],
    overview: Sequence[Column[RowT]],
    error_bars: Sequence[Column[RowT]],
    intervals: Sequence[Column[RowT]],
) -> list[ScoreTable]:
    """Return the tables: one at a glance, and two of every quantity and set.

    Args:
        rows: Of all methods, sets and quantities.
        overview: Columns of the first table, with a line for each method.
        error_bars: Columns about error bars.
        intervals: Columns about intervals and scores.
    """
    sheets: list[ScoreTable] = []
    if rows:
        first = {one.method: one for one in reversed(rows)}
        heads = [first[name] for name in dict.fromkeys(one.method for one in rows)]
        sheets.append(ScoreTable.from_rows("At a glance", overview, heads))
    for quantity in (ENERGY, FORCES):
        mine = [one for one in rows if one.quantity == quantity]
        for place in dict.fromkeys(one.dataset for one in mine):
            group = [one for one in mine if one.dataset == place]
            title = f"{quantity.capitalize()}, {dataset_title(place)}, {group[0].unit}"
            sheets.append(ScoreTable.from_rows(f"{title}: error bars", error_bars, group))
            scored = [one for one in group if one.has_scores]
            if scored:
                both = f"{title}: intervals and scores"
                sheets.append(ScoreTable.from_rows(both, intervals, scored))
    return sheets


def render_terminal(
    tables: Sequence[ScoreTable], notes: Sequence[str], legend: Sequence[str]
) -> RenderableType:
    """Return tables for a terminal.

    Args:
        tables: The tables.
        notes: What there is to say before them.
        legend: What there is to say after them.
    """
    parts: list[RenderableType] = [Text(note) for note in notes]
    for sheet in tables:
        grid = Table(*sheet.headers, title=sheet.title)
        grid.title_justify = "left"
        for column in grid.columns[1:]:
            column.justify = "right"
            column.overflow = "fold"  # no digit is left out on a narrow terminal
        for line in sheet.cells:
            grid.add_row(*line)
        parts.append(grid)
    return Group(*parts, *(Text(line) for line in legend))


def render_markdown(
    tables: Sequence[ScoreTable], notes: Sequence[str], legend: Sequence[str]
) -> str:
    """Return tables as Markdown.

    Args:
        tables: The tables.
        notes: What there is to say before them.
        legend: What there is to say after them.
    """
    lines = [*(f"- {note}" for note in notes), ""]
    for sheet in tables:
        rule = "|---|" + "---:|" * (len(sheet.headers) - 1)
        lines += [f"**{sheet.title}**", "", _markdown_row(sheet.headers), rule]
        lines += [_markdown_row(cells) for cells in sheet.cells]
        lines += [""]
    for text in legend:
        lines += [text, ""]
    return "\n".join(lines)


def dataset_title(dataset: str) -> str:
    """Return what a set is called in a heading."""
    return "in domain" if dataset == TEST else f"shifted: {dataset}"


def format_number(value: float | None) -> str:
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


def format_two_decimals(value: float) -> str:
    """Return two decimals, none of what is large."""
    return f"{value:.2f}" if abs(value) < 100 else format_number(value)


def format_change(before: float, after: float, sign: str = "") -> str:
    """Return what was before and is after."""
    if max(abs(before), abs(after)) >= 100:
        return f"{format_number(before)} → {format_number(after)}"
    return f"{before:{sign}.2f} → {after:{sign}.2f}"


def format_percent(*shares: float) -> str:
    """Return shares in percent."""
    return " ".join(f"{100 * share:.0f}" for share in shares)


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def overview_columns(
    rows: Sequence[RowT],
    *,
    rmse: Callable[[RowT], str],
    sharpness: Callable[[RowT], str],
    z2: Callable[[RowT], str],
    fit: Callable[[RowT], str],
    cost: Callable[[RowT], str],
    force_cost: Callable[[RowT], str],
) -> list[Column[RowT]]:
    """Return columns for the desiderata: accurate, precise, robust, cheap.

    Args:
        rows: Of all methods, sets and quantities; a line of the table is the first
            one of a method.
        rmse: What writes the error of a line.
        sharpness: The same of σ.
        z2: Of z², and what it says.
        fit: Of the time of a fit.
        cost: Of the time of a prediction.
        force_cost: Of that with σ of forces, over that of energies.
    """
    table = {(one.method, one.quantity, one.dataset): one for one in rows}

    def of(quantity: str, place: str, text: Callable[[RowT], str]) -> Callable[[RowT], str]:
        def cell(one: RowT) -> str:
            mine = table.get((one.method, quantity, place))
            return MISSING if mine is None else text(mine)

        return cell

    shifted = dict.fromkeys(one.dataset for one in rows if one.is_shifted)
    return [
        Column("method", lambda one: one.method),
        Column("accurate: RMSE, meV/atom", of(ENERGY, TEST, rmse)),
        Column("eV/Å", of(FORCES, TEST, rmse)),
        Column("precise: σ, meV/atom", of(ENERGY, TEST, sharpness)),
        Column("z² in domain", of(ENERGY, TEST, z2)),
        *(Column(f"robust: {name}", of(ENERGY, name, z2)) for name in shifted),
        Column("cheap: fit, s", fit),
        Column("ms (× cheapest)", of(ENERGY, TEST, cost)),
        Column(
            "σ of forces, ×",
            of(FORCES, TEST, lambda one: force_cost(one) if one.has_scores else MISSING),
        ),
    ]
