"""The SQLite file of a campaign: how it comes into being, and how its writes last."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from bostruct.campaign.log.ase_rows import Rows
from bostruct.campaign.log.run_folder import (
    DATABASE,
    POSTERIORS,
    UNFINISHED,
    file_system,
    is_network,
)
from bostruct.campaign.log.schema import FORMAT, TABLES, UNITS
from bostruct.errors import LogError
from bostruct.runtime import atomic_write
from bostruct.runtime.canonical_json import canonical


def create(folder: Path, description: dict[str, Any], seed: int) -> None:
    """Make the database of a new campaign: under another name until it is whole.

    Raises:
        LogError: it could not be written.
    """
    new = folder / UNFINISHED
    for leftover in folder.glob(UNFINISHED + "*"):
        leftover.unlink()
    (folder / POSTERIORS).mkdir(exist_ok=True)
    connection = sqlite3.connect(new, isolation_level=None)
    try:
        Rows(new, connection)
        row = (1, FORMAT, canonical(description), seed, json.dumps(UNITS), time.time())
        with atomic_write.transaction(connection):
            for statement in TABLES.split(";\n"):
                connection.execute(statement)
            query = "INSERT INTO bostruct_campaign VALUES (?, ?, ?, ?, ?, ?)"
            connection.execute(query, row)
    except sqlite3.Error as error:
        raise LogError(f"could not write {new}: {error}") from error
    finally:
        connection.close()
    os.replace(new, folder / DATABASE)
    atomic_write.sync_folder(folder)
    atomic_write.sync_folder(folder.absolute().parent)


def journal(connection: sqlite3.Connection, folder: Path) -> str:
    """Set how SQLite makes transactions last; return the mode, and why."""
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    if is_network(folder):
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = DELETE")
        return f"DELETE, EXCLUSIVE: {file_system(folder)} is a network file system"
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    return str(mode).upper()
