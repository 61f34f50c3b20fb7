"""Upgrade of a run folder of log format 4 to the present format, in place.

Columns and tables are added, nothing is renamed or removed, in one transaction: a folder has one
format or the other.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from bostruct.campaign.log import hash_chain
from bostruct.campaign.log.schema import ADDED_COLUMNS, CHAIN_DEFINITION, LOG_FORMAT
from bostruct.runtime import atomic_write

UPGRADED_FORMAT = 4
"""Log format that is upgraded."""


def upgrade_log(connection: sqlite3.Connection, folder: Path) -> None:
    """Upgrade a folder of format 4; leave one of the present format as it is.

    The hash chain begins with all rows that are there.

    Raises:
        LogError: a row is not as it was written, which a new checksum would hide.
    """
    log_format = connection.execute("SELECT format FROM bostruct_campaign").fetchone()[0]
    if log_format != UPGRADED_FORMAT:
        return
    with atomic_write.transaction(connection):
        check = hash_chain.check_rows(connection, has_chain=False)
        hash_chain.check_unchanged(check.problems, folder)
        for table, columns in ADDED_COLUMNS.items():
            for name, definition in columns.items():
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {definition}")
        connection.execute(CHAIN_DEFINITION)
        connection.execute("UPDATE bostruct_campaign SET format = ?", (LOG_FORMAT,))
        hash_chain.append_entry(connection, "upgrade", str(log_format), "")
        hash_chain.append_all_rows(connection)
