"""Rollback of the hot journal that a writer leaves which is killed inside a commit.

SQLite rolls it back when the database is opened for writing, and refuses to read it before. Files
beside a database lead SQLite to other files: they are looked at first.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from bostruct.errors import LogError
from bostruct.runtime.regular_file import check_regular_file, open_regular_file

SIDE_FILE_SUFFIXES: Final = ("-journal", "-wal", "-shm")
"""Suffixes of the files that SQLite keeps beside a database while it is written."""

SUPER_JOURNAL_MARK: Final = bytes.fromhex("d9d505f920a163d7")
"""Last bytes of a journal that names another file, which its rollback may remove."""


def check_database_files(file: Path) -> bool:
    """Return whether a database exists, all of whose files are regular ones.

    Raises:
        LogError: one of its files is a link, a pipe, a folder or a device.
    """
    for suffix in SIDE_FILE_SUFFIXES:
        check_regular_file(side_file(file, suffix))
    return check_regular_file(file) is not None


def side_file(file: Path, suffix: str) -> Path:
    """Return the path of a file that SQLite keeps beside a database."""
    return file.with_name(file.name + suffix)


def has_content(path: Path) -> bool:
    """Return whether a file exists and is not empty."""
    try:
        return path.lstat().st_size > 0
    except FileNotFoundError:
        return False


def roll_back_journal(file: Path) -> None:
    """Roll back the transaction of a killed writer, if there is one; no writer may be open.

    Raises:
        LogError: the journal names another file, or it must be rolled back by someone who may
            write there.
    """
    journal = side_file(file, "-journal")
    if not has_content(journal):
        return
    _check_journal(journal)
    if not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)):
        raise LogError(
            f"{journal} holds a write that was cut off, and {file.parent} is read-only for you. "
            f"Let its owner run `bostruct show {file.parent}`, or copy the folder and read the "
            "copy."
        )
    try:
        with closing(sqlite3.connect(file, timeout=2, isolation_level=None)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise LogError(f"could not roll back {journal}: {error}") from error


def _check_journal(journal: Path) -> None:
    """Refuse a journal that names another file.

    Raises:
        LogError: it does, or it cannot be read.
    """
    try:
        with open(open_regular_file(journal, os.O_RDONLY), "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            stream.seek(max(0, size - len(SUPER_JOURNAL_MARK)))
            end = stream.read(len(SUPER_JOURNAL_MARK))
    except FileNotFoundError:  # rolled back by another reader
        return
    except OSError as error:
        if isinstance(error, LogError):
            raise
        raise LogError(f"could not read {journal}: {error.strerror or error}") from error
    if end == SUPER_JOURNAL_MARK:
        raise LogError(f"{journal} names a file outside of the run folder, as no campaign does.")
