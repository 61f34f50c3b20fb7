"""Check of a database that somebody else may have made, before anything in it is believed.

The tables must be those that bostruct creates, no views or virtual tables in their place, and
every value of the type that its column declares, as SQLite itself does not require.
"""

from __future__ import annotations

import functools
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from bostruct.campaign.log.hot_journal import side_file
from bostruct.campaign.log.pending_table import PENDING_TABLE
from bostruct.campaign.log.schema import ADDED_TABLES, LOG_FORMAT, TABLE_DEFINITIONS
from bostruct.campaign.log.stress_table import STRESS_TABLE
from bostruct.errors import LogError

ROW_BYTES: Final = 16
"""Fewer bytes than a row takes in a file, beside its text and blobs."""

UNBOUNDED_COLUMNS: Final = ("acquisition", "mean", "latent_variance", "predictive_variance")
"""Columns of predictions, which may be infinite."""

CONDITIONS: Final = {
    "bostruct_trial": {
        "x": "length(x) % 8 = 0 AND length(x) > 0",
        "forces": "forces IS NULL OR length(forces) % 24 = 0",
        "number": "number >= 0",
        "attempt": "attempt >= 0",
        "state": (
            "state IN ('planned', 'running', 'done', 'failed', 'abandoned', 'retracted') "
            "AND (state <> 'done' OR energy IS NOT NULL OR properties <> '{}')"
        ),
    },
    "bostruct_step": {"number": "number >= 0"},
    "bostruct_stress": {"stress": "length(stress) = 48"},
}
"""Conditions on values, by table and column."""

OPTIONAL_TABLES: Final = ("bostruct_stress", "bostruct_pending")
"""Tables that a log may do without."""

_TYPES: Final = {
    "INTEGER": "'integer'",
    "REAL": "'real', 'integer'",
    "TEXT": "'text'",
    "BLOB": "'blob'",
}


def check_tables(connection: sqlite3.Connection, file: Path, log_format: int) -> None:
    """Refuse a database whose tables or values are not of the form that bostruct writes.

    Args:
        connection: Connection to the database, with the views of an earlier format.
        file: Path of the database.
        log_format: Format of the log; tables that an earlier one has not are not required.

    Raises:
        LogError: a table or a column is missing, is computed, or holds a value of another type.
    """
    stored = {
        name: (kind, str(sql).lstrip().upper())
        for name, kind, sql in connection.execute("SELECT name, type, sql FROM main.sqlite_master")
    }
    for name, (kind, sql) in stored.items():
        is_table = kind == "table" and not sql.startswith("CREATE VIRTUAL")
        if kind == "trigger" or (str(name).lower() in _EXPECTED_TABLES and not is_table):
            raise LogError(f"{file} has the {kind} {name}, which bostruct does not make.")
    for table in _expected_columns():
        if table not in stored:
            if log_format < LOG_FORMAT or table in OPTIONAL_TABLES:
                continue
            raise LogError(f"{file} has lost its table {table}.")
        _check_table(connection, file, table, log_format)


def _check_table(connection: sqlite3.Connection, file: Path, table: str, log_format: int) -> None:
    stored = connection.execute(f"PRAGMA main.table_xinfo({table})").fetchall()
    computed = [name for _, name, _, _, _, _, hidden in stored if hidden]
    if computed:
        raise LogError(f"{file} computes {computed[0]} in {table}, which bostruct stores.")
    present = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    checks = {}
    for column, (declared, is_required) in _expected_columns()[table].items():
        if column not in present:
            if log_format < LOG_FORMAT:
                continue
            raise LogError(f"{file} has lost the column {column} of {table}.")
        checks[column] = _condition(table, column, declared, is_required)
    # A single pass, which reads neither text nor blobs.
    sums = ", ".join(f"sum(NOT ({condition}))" for condition in checks.values())
    counts = connection.execute(f"SELECT {sums} FROM {table}").fetchone()
    for column, count in zip(checks, counts, strict=True):
        if count:
            raise LogError(
                f"{file} has {count} rows of {table} whose {column} is not as bostruct writes it. "
                "Restore it from a backup."
            )


def _condition(table: str, column: str, declared: str, is_required: bool) -> str:
    """Return the SQL expression that holds for the values that bostruct writes."""
    null = "" if is_required else ", 'null'"
    terms = [f"typeof({column}) IN ({_TYPES[declared]}{null})"]
    if declared == "REAL" and column not in UNBOUNDED_COLUMNS:
        terms.append(f"({column} IS NULL OR abs({column}) < 9e999)")
    if column in CONDITIONS.get(table, {}):
        terms.append(f"({CONDITIONS[table][column]})")
    return " AND ".join(terms)


@functools.cache
def _expected_columns() -> dict[str, dict[str, tuple[str, bool]]]:
    """Return the declared type of each column and whether it has a value, by table."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(TABLE_DEFINITIONS + ADDED_TABLES + STRESS_TABLE + PENDING_TABLE)
        query = "SELECT name FROM sqlite_master WHERE type = 'table'"
        tables = [name for (name,) in connection.execute(query)]
        return {
            table: {
                name: (declared, bool(is_required or key))
                for _, name, declared, is_required, _, key in connection.execute(
                    f"PRAGMA table_info({table})"
                )
            }
            for table in tables
        }


_ASE_TABLES: Final = "systems species keys text_key_values number_key_values information"
_EXPECTED_TABLES: Final = frozenset((*_expected_columns(), *_ASE_TABLES.split()))


def bounded_rows(cursor: sqlite3.Cursor, file: Path) -> list[sqlite3.Row]:
    """Return the rows of a query on one table, which cannot hold more than the file does.

    Raises:
        LogError: they hold more, as only a forged database does.
    """
    rows: list[sqlite3.Row] = []
    total = limit = 0
    for row in cursor:
        total += ROW_BYTES + sum(len(value) for value in row if isinstance(value, str | bytes))
        if total > limit and total > (limit := _stored_bytes(file)):
            raise LogError(f"{file} holds {limit} bytes and rows of more: it was forged.")
        rows.append(row)
    return rows


def _stored_bytes(file: Path) -> int:
    """Return the size of a database with its write-ahead log."""
    wal = side_file(file, "-wal")
    return file.stat().st_size + (wal.stat().st_size if wal.exists() else 0)
