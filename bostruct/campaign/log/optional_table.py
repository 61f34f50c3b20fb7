"""SQL tables that a log has from its first row of a kind on, so that older logs lack them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any


def read_optional_table(
    query: Callable[..., list[sqlite3.Row]],
    table: str,
    key: str,
    column: str,
    number: int | None = None,
) -> dict[int, Any]:
    """Return one column by the key of its rows, in their order; none where there is no table.

    Args:
        query: Function that returns the rows of an SQL query with its values.
        table: Name of the table.
        key: Name of the column with the numbers of trials or steps.
        column: Name of the column that is read.
        number: Number of the only row that is read; None reads all.
    """
    if not query("SELECT name FROM sqlite_master WHERE name = ?", table):
        return {}
    select = f"SELECT {key}, {column} FROM {table}"
    if number is None:
        rows = query(f"{select} ORDER BY {key}")
    else:
        rows = query(f"{select} WHERE {key} = ?", number)
    return {row[key]: row[column] for row in rows}
