"""Atomic and durable writes of files and transactions.

Every operation of the package that makes data durable is in this file: a test counts them and
kills the process at each.
"""

from __future__ import annotations

import os
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from bostruct.errors import LogError
from bostruct.runtime.regular_file import open_regular_file

BUSY_MILLISECONDS: Final = 1000
"""Longest wait of one SQLite call for other processes; Ctrl-C is heard between two."""

MAX_WAIT_SECONDS: Final = 3600.0
"""Longest wait of a write for readers: what it records may have taken hours to compute."""

WARNING_SECONDS: Final = 30.0
"""Wait after which it is told."""


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file durably, and completely or not at all.

    Raises:
        LogError: the disk is full, or the folder cannot be written.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.unlink(missing_ok=True)  # of a killed writer, or a link
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(open_regular_file(temporary, flags, 0o666), "wb") as file:
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


def checkpoint(connection: sqlite3.Connection) -> None:
    """Move all that was committed from the write-ahead log into the database file itself.

    A reader of an earlier state can prevent it: nobody is waited for, as the next checkpoint moves
    all, and what was committed lasts without.
    """
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")


def _wait_for_others(write: Callable[[], object]) -> None:
    """Call a function again while another process has the database locked.

    Raises:
        sqlite3.Error: it still fails, or fails for another reason.
    """
    start, is_told = time.monotonic(), False
    while True:
        try:
            write()
        except sqlite3.OperationalError as error:
            waited = time.monotonic() - start
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code != sqlite3.SQLITE_BUSY or waited > MAX_WAIT_SECONDS:
                raise
            if waited > WARNING_SECONDS and not is_told:
                message = "another program has the log open: the campaign waits to write in it."
                warnings.warn(message, RuntimeWarning, stacklevel=2)
                is_told = True
        else:
            return


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit everything that is written inside, or roll all of it back.

    Raises:
        LogError: the database could not be written.
    """
    try:
        _wait_for_others(lambda: connection.execute("BEGIN IMMEDIATE"))
        yield
        _wait_for_others(lambda: commit(connection))
    except BaseException as error:
        with suppress(sqlite3.Error):  # the first error says more
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error):
            message = f"could not write the log: {error}. Nothing recorded was lost."
            raise LogError(message) from error
        raise
