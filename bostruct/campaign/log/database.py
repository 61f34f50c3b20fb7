"""Creation and journal mode of the SQLite file of a campaign."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from bostruct.campaign.log import hash_chain
from bostruct.campaign.log.ase_rows import AseRows
from bostruct.campaign.log.run_folder import (
    DATABASE_NAME,
    POSTERIOR_FOLDER_NAME,
    TEMPORARY_DATABASE_NAME,
    file_system_type,
    is_network_file_system,
)
from bostruct.campaign.log.schema import CHAIN_DEFINITION, LOG_FORMAT, TABLE_DEFINITIONS, UNITS
from bostruct.errors import LogError
from bostruct.runtime import atomic_write
from bostruct.runtime.canonical_json import to_canonical_json


def create_database(folder: Path, description: dict[str, Any], seed: int) -> None:
    """Create the database of a new campaign, under a temporary name until it is complete.

    Raises:
        LogError: it could not be written.
    """
    new = folder / TEMPORARY_DATABASE_NAME
    for leftover in folder.glob(TEMPORARY_DATABASE_NAME + "*"):
        leftover.unlink()
    (folder / POSTERIOR_FOLDER_NAME).mkdir(exist_ok=True)
    connection = sqlite3.connect(new, isolation_level=None)
    try:
        AseRows(new, connection)
        identity = to_canonical_json(description)
        row = (1, LOG_FORMAT, identity, seed, json.dumps(UNITS), time.time())
        with atomic_write.transaction(connection):
            for statement in (TABLE_DEFINITIONS + CHAIN_DEFINITION).split(";\n"):
                connection.execute(statement)
            connection.execute("INSERT INTO bostruct_campaign VALUES (?, ?, ?, ?, ?, ?)", row)
            hash_chain.append_campaign(connection)
    except sqlite3.Error as error:
        raise LogError(f"could not write {new}: {error}") from error
    finally:
        connection.close()
    os.replace(new, folder / DATABASE_NAME)
    atomic_write.fsync_folder(folder)
    atomic_write.fsync_folder(folder.absolute().parent)


def set_journal_mode(connection: sqlite3.Connection, folder: Path) -> str:
    """Set the journal mode that suits the file system; return it with the reason."""
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    if is_network_file_system(folder):
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = DELETE")
        return f"DELETE, EXCLUSIVE: {file_system_type(folder)} is a network file system"
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    return str(mode).upper()
