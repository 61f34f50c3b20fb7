"""Upgrade of a run folder of log format 4 to the present format, in place.

Columns and tables are added, nothing is renamed or removed, in one transaction: a folder has one
format or the other.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from bostruct.campaign import records
from bostruct.campaign.log.schema import ADDED_COLUMNS, CHAIN_DEFINITION, LOG_FORMAT
from bostruct.errors import LogError
from bostruct.runtime import atomic_write

UPGRADED_FORMAT = 4
"""Log format that is upgraded."""


def upgrade_log(connection: sqlite3.Connection, folder: Path) -> None:
    """Upgrade a folder of format 4; leave one of the present format as it is.

    Raises:
        LogError: a trial is not what was written: its new checksum would hide that.
    """
    log_format = connection.execute("SELECT format FROM bostruct_campaign").fetchone()[0]
    if log_format != UPGRADED_FORMAT:
        return
    with atomic_write.transaction(connection):
        trials = _read_trials(connection)
        for row in trials:
            if records.row_checksum(row) != row["checksum"]:
                raise LogError(
                    f"{folder}: trial {row['number']} is not what was written: its checksum "
                    "differs. `bostruct verify` tells more; go on from a copy of the folder that "
                    "was not changed."
                )
        for table, columns in ADDED_COLUMNS.items():
            for name, definition in columns.items():
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {definition}")
        connection.execute(CHAIN_DEFINITION)
        for row in _read_trials(connection):
            connection.execute(
                "UPDATE bostruct_trial SET checksum = ? WHERE number = ?",
                (records.row_checksum(row), row["number"]),
            )
        connection.execute("UPDATE bostruct_campaign SET format = ?", (LOG_FORMAT,))


def _read_trials(connection: sqlite3.Connection) -> list[dict[str, object]]:
    cursor = connection.execute("SELECT * FROM bostruct_trial ORDER BY number")
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
