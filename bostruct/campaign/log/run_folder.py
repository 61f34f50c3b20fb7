"""Checks of a run folder, and read-only access to its database."""

from __future__ import annotations

import itertools
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, TypeVar

from bostruct.campaign.log import hot_journal
from bostruct.campaign.log.lock import LOCK_FILE_NAME, is_locked
from bostruct.errors import LogError
from bostruct.runtime.regular_file import check_folder

DATABASE_NAME = "campaign.db"
POSTERIOR_FOLDER_NAME = "posteriors"
EVALUATION_FOLDER_NAME = "evaluations"

TEMPORARY_DATABASE_NAME = "campaign.db.new"
"""Database while it is created; renamed to `DATABASE_NAME` when it is complete."""

T = TypeVar("T")

BUSY_SECONDS: Final = 2.0
"""Longest wait of a reader for a commit, which takes milliseconds, at each attempt."""

READ_ATTEMPTS: Final = 3
"""Number of times a database is read before an error is believed."""

RETRY_SECONDS: Final = 0.05
"""Seconds between two of them."""

MAX_VALUE_BYTES: Final = 2**26
"""Largest value of a row that is read."""

MAX_STEPS: Final = 10**8
"""Steps of SQLite's machine, some seconds, after which reading a small database is given up."""

STEPS_PER_BYTE: Final = 100
"""Further steps for each byte of the database, many times what reading all of it takes."""

STEPS_PER_CALL: Final = 10**6
"""Steps between two looks at their number."""

NETWORK_FILE_SYSTEMS = frozenset(
    (
        *("9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.sshfs"),
        *("glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs"),
        *("pvfs2", "smb3", "smbfs", "virtiofs", "wekafs"),
    )
)
"""File systems on which SQLite's WAL is not safe."""


def database_path(folder: Path) -> Path:
    """Return the path of the database of a run folder."""
    return folder / DATABASE_NAME


def evaluation_folder(folder: Path, trial: int) -> Path:
    """Return the absolute path of the first working folder of a trial."""
    return folder.absolute() / EVALUATION_FOLDER_NAME / f"{trial:06d}"


def has_campaign(folder: Path) -> bool:
    """Return whether the folder holds a campaign; False if one may be started there.

    Raises:
        LogError: the path is a file, or the folder holds something else.
    """
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise LogError(f"{folder} is a file, not a folder. Take another name.")
    if hot_journal.check_database_files(database_path(folder)):
        if not read_database(folder, _has_campaign_table):
            raise LogError(
                f"{database_path(folder)} is a database of another program. "
                "Take an empty or a new folder."
            )
        return True
    foreign = sorted(entry.name for entry in folder.iterdir() if not _is_leftover(entry))
    if foreign:
        names = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        raise LogError(
            f"{folder} is not a run folder and not empty (it holds {names}). "
            "Take an empty or a new folder."
        )
    return False


def check_writable(folder: Path) -> None:
    """Refuse a folder in which nothing can be written.

    Raises:
        LogError: the folder, or the nearest existing one above it, is read-only.
    """
    existing = _nearest_existing(folder)
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        raise LogError(
            f"{folder} cannot be written: {existing} is read-only for you. Take another folder."
        )
    file = database_path(folder)
    if file.exists() and not os.access(file, os.W_OK):
        raise LogError(f"{file} is read-only for you. Copy the folder to go on.")


def prepare_to_write(folder: Path) -> None:
    """Roll back what a killed writer left, in a folder that this process has locked.

    The folder of posterior files is made where it is missing, as beside a copy of the database.

    Raises:
        LogError: a file or a folder in it is a link, or no file or folder, or cannot be written.
    """
    for name in (POSTERIOR_FOLDER_NAME, EVALUATION_FOLDER_NAME):
        check_folder(folder / name)
    if hot_journal.check_database_files(database_path(folder)):
        hot_journal.roll_back_journal(database_path(folder))
        (folder / POSTERIOR_FOLDER_NAME).mkdir(exist_ok=True)


def _nearest_existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    path = folder.absolute()
    return next(p for p in (path, *path.parents) if p.exists())


def file_system_type(folder: Path) -> str:
    """Return the type of the file system a folder is on, "" if unknown."""
    import psutil

    path = _nearest_existing(folder).resolve()
    try:
        mounts = psutil.disk_partitions(all=True)
    except OSError:
        return ""
    above = [mount for mount in mounts if path.is_relative_to(mount.mountpoint)]
    # The last one of a place hides those before it.
    nearest = max(reversed(above), key=lambda mount: len(mount.mountpoint), default=None)
    return "" if nearest is None else str(nearest.fstype)


def is_network_file_system(folder: Path) -> bool:
    """Return whether a folder is on a network file system, where WAL is not safe."""
    return file_system_type(folder) in NETWORK_FILE_SYSTEMS


@contextmanager
def read_access(folder: Path) -> Iterator[sqlite3.Connection]:
    """Lend a read-only connection to the database of a run folder.

    A journal that a killed writer left is rolled back before. The connection leaves no trace in a
    folder in which nobody writes, and bounds the size of every value.

    Raises:
        LogError: there is no database, one of its files is a link, or it cannot be opened.
        sqlite3.OperationalError: a campaign was started meanwhile, and what was read may be torn.
    """
    at_rest = _is_at_rest(folder)
    before = _change_mark(folder)
    with closing(_connect(folder, at_rest)) as connection:
        yield connection
    if at_rest and _change_mark(folder) != before:
        raise sqlite3.OperationalError("it was written while it was read, try again")


def read_database(folder: Path, read: Callable[[sqlite3.Connection], T]) -> T:
    """Return what a function reads from the database of a run folder, tried again if it fails.

    Raises:
        LogError: it cannot be read, or is written all the time.
    """
    n_attempts = 1
    while True:
        try:
            with read_access(folder) as connection:
                return read(connection)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if n_attempts == READ_ATTEMPTS:
                message = f"could not read {database_path(folder)}: {error}{_hint(folder, error)}"
                raise LogError(message) from error
        n_attempts += 1
        time.sleep(RETRY_SECONDS)


def _hint(folder: Path, error: Exception) -> str:
    """Return the way out for somebody who may not make the files that SQLite reads with."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    needs_files = code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
    if not needs_files or os.access(folder, os.W_OK):
        return ""
    return f". {folder} is read-only for you: copy it and read the copy."


def _is_at_rest(folder: Path) -> bool:
    """Return whether nobody writes in the folder and all is in the database file itself.

    Raises:
        LogError: there is no database, or one of its files is a link or no file.
    """
    file = database_path(folder)
    if not hot_journal.check_database_files(file):
        raise LogError(f"{folder} holds no campaign: there is no {DATABASE_NAME} in it.")
    if is_locked(folder):
        return False
    hot_journal.roll_back_journal(file)
    journals = (hot_journal.side_file(file, suffix) for suffix in ("-wal", "-journal"))
    return not any(map(hot_journal.has_content, journals))


def _change_mark(folder: Path) -> tuple[int, ...]:
    """Return what changes when the database is written."""
    status = database_path(folder).stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _bounded_steps(file: Path) -> Callable[[], bool]:
    """Return a function that SQLite calls while it works, and that ends what takes too long."""
    most = MAX_STEPS + STEPS_PER_BYTE * file.stat().st_size
    done = itertools.count(STEPS_PER_CALL, STEPS_PER_CALL)
    return lambda: next(done) > most


def _connect(folder: Path, at_rest: bool) -> sqlite3.Connection:
    # SQLite would make its -wal and -shm files where they are missing.
    file, mode = database_path(folder).absolute(), "immutable=1" if at_rest else "mode=ro"
    try:
        uri = f"{file.as_uri()}?{mode}"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.set_progress_handler(_bounded_steps(file), STEPS_PER_CALL)
    except sqlite3.Error as error:
        raise LogError(f"could not open {file}: {error}") from error
    return connection


def _is_leftover(entry: Path) -> bool:
    """Return whether an interrupted start of a campaign leaves such an entry behind."""
    if entry.name == LOCK_FILE_NAME or entry.name.startswith(TEMPORARY_DATABASE_NAME):
        return True
    return entry.name == POSTERIOR_FOLDER_NAME and entry.is_dir() and not any(entry.iterdir())


def _has_campaign_table(connection: sqlite3.Connection) -> bool:
    """Return whether a database holds a campaign."""
    query = "SELECT count(*) FROM sqlite_master WHERE name = 'bostruct_campaign'"
    return bool(connection.execute(query).fetchone()[0])


def is_campaign_database(file: Path) -> bool:
    """Return whether a file is the database of a campaign, under whatever name.

    A file that carries the name of one counts as one, whatever it holds.
    """
    file = Path(os.path.realpath(file))
    if not file.is_file():
        return False
    if file.name == DATABASE_NAME:
        return True
    try:
        # SQLite opens it: where this process writes it, closing it otherwise would end its locks.
        with closing(sqlite3.connect(f"{file.as_uri()}?immutable=1", uri=True)) as connection:
            return _has_campaign_table(connection)
    except (sqlite3.Error, UnicodeDecodeError):
        return False
