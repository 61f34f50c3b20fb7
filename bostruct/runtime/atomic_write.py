"""Atomic and durable writes of files and transactions.

Every operation of the package that makes data durable is in this file: a test counts them and
kills the process at each.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bostruct.errors import LogError


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file durably, and completely or not at all.

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
    """Flush the directory entries of a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def commit(connection: sqlite3.Connection) -> None:
    """Commit the open transaction."""
    connection.execute("COMMIT")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit everything that is written inside, or roll all of it back.

    Raises:
        LogError: the database could not be written.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        commit(connection)
    except BaseException as error:
        with suppress(sqlite3.Error):  # the first error says more
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error):
            message = f"could not write the log: {error}. Nothing recorded was lost."
            raise LogError(message) from error
        raise
