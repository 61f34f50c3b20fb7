"""Tables as pandas data frames: CSV files, Markdown, and rich tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from bostruct.runtime.atomic_write import write_atomically

if TYPE_CHECKING:
    from pandas import DataFrame


MAX_UNWRAPPED = 40
"""Longest text of a left-justified column that is not wrapped."""


def data_frame(rows: Iterable[Any], columns: Sequence[str]) -> DataFrame:
    """Return a frame of rows, which are dictionaries or sequences; values stay as they are."""
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(columns), dtype=object)


def dataclass_frame(cls: type, rows: Iterable[Any]) -> DataFrame:
    """Return a frame of dataclass instances, with a column for each field."""
    return data_frame((asdict(row) for row in rows), [field.name for field in fields(cls)])


def write_csv(frame: DataFrame, path: Path) -> None:
    """Write a frame to a CSV file; cells without a value are empty.

    Raises:
        LogError: the file cannot be written.
    """
    write_atomically(path, frame.to_csv(index=False).encode())


def markdown_table(frame: DataFrame) -> str:
    """Return a frame of texts as Markdown, the first column to the left, others to the right."""
    lines = [list(frame.columns), *frame.values.tolist()]
    rows = ["| " + " | ".join(cells) + " |" for cells in lines]
    return "\n".join([rows[0], "|---|" + "---:|" * (len(frame.columns) - 1), *rows[1:]])


def terminal_table(
    frame: DataFrame, title: str | None = None, *, left: Sequence[str] = (), group: str = ""
) -> Table:
    """Return a frame of texts as a rich table.

    Args:
        frame: Table of texts.
        title: Title above the table.
        left: Names of left-justified columns; the first column by default.
        group: Column whose value is shown in the first row of a group of equal ones; a line
            separates the groups.
    """
    table = Table(title=title, title_justify="left")
    for name in frame.columns:
        if name in (left or frame.columns[:1]):
            short = all(len(cell) <= MAX_UNWRAPPED for cell in frame[name])
            table.add_column(name, no_wrap=short)
        else:  # folded, so that no digit is left out on a narrow terminal
            table.add_column(name, justify="right", overflow="fold")
    before = None
    for row in frame.to_dict("records"):
        if group and row[group] == before:
            row[group] = ""
        elif group:
            if before is not None:
                table.add_section()
            before = row[group]
        table.add_row(*row.values())
    return table


def print_numbers(rows: Iterable[Mapping[str, Any]], formats: Mapping[str, str]) -> None:
    """Print rows of numbers as a table; nothing without a row.

    Args:
        rows: Numbers by column.
        formats: Format of the numbers by column, in the order of the columns.
    """
    texts = [[format(row[name], spec) for name, spec in formats.items()] for row in rows]
    if texts:
        Console().print(terminal_table(data_frame(texts, list(formats))))


def result_console(width: int) -> Console:
    """Return a console for tables, of a width in columns where the output is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=width)
