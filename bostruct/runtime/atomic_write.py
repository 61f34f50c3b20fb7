"""The few operations that make something last: every one of them is in this file.

A test counts them and kills the process at each.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bostruct.errors import LogError


def write_atomically(path: Path, data: bytes) -> None:
    """Put a file in place as a whole or not at all, and make it last.

    Raises:
        LogError: the disk is full, or the folder cannot be written.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        fsync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise LogError(f"could not write {path}: {error.strerror or error}") from error


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def commit(connection: sqlite3.Connection) -> None:
    """Make the open transaction last."""
    connection.execute("COMMIT")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All that is written inside lasts, or none of it.

    Raises:
        LogError: the database could not be written.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        commit(connection)
    except BaseException as error:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:  # the first error says more
            pass
        if isinstance(error, sqlite3.Error):
            message = f"could not write the log: {error}. Nothing recorded was lost."
            raise LogError(message) from error
        raise
