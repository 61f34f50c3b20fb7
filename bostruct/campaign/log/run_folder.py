"""Checks of a run folder, and read-only access to its database."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from bostruct.campaign.log.lock import LOCK_FILE_NAME
from bostruct.errors import LogError

DATABASE_NAME = "campaign.db"
POSTERIOR_FOLDER_NAME = "posteriors"
EVALUATION_FOLDER_NAME = "evaluations"

SQLITE_MAGIC = b"SQLite format 3\0"
"""First bytes of a SQLite file."""

CAMPAIGN_TABLE_QUERY = "SELECT count(*) FROM sqlite_master WHERE name = 'bostruct_campaign'"
"""Query that tells the database of a campaign from another one."""
TEMPORARY_DATABASE_NAME = "campaign.db.new"
"""Database while it is created; renamed to `DATABASE_NAME` when it is complete."""

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
    """Return the absolute path of the first working folder of a trial.

    Args:
        folder: Run folder.
        trial: Number of the trial.
    """
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
    if database_path(folder).exists():
        _check_bostruct_database(folder)
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


def _nearest_existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    path = folder.absolute()
    return next(p for p in (path, *path.parents) if p.exists())


def file_system_type(folder: Path) -> str:
    """Return the type of the file system a folder is on, "" if unknown."""
    try:
        mounts = Path("/proc/self/mounts").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    path = _nearest_existing(folder).resolve()
    depth, name = -1, ""
    for mount in mounts:
        fields = mount.split()
        if len(fields) < 3:
            continue
        point = Path(fields[1].replace("\\040", " "))
        if (point == path or point in path.parents) and len(point.parts) >= depth:
            depth, name = len(point.parts), fields[2]
    return name


def is_network_file_system(folder: Path) -> bool:
    """Return whether a folder is on a network file system, where WAL is not safe."""
    return file_system_type(folder) in NETWORK_FILE_SYSTEMS


def connect_read_only(folder: Path) -> sqlite3.Connection:
    """Return a read-only connection to the database that leaves no trace in the folder.

    Raises:
        LogError: there is no database, or it cannot be opened.
    """
    file = database_path(folder).absolute()
    if not file.exists():
        raise LogError(f"{folder} holds no campaign: there is no {DATABASE_NAME} in it.")
    journals = (file.with_name(file.name + end) for end in ("-wal", "-journal"))
    # SQLite would make its -wal and -shm files where they are missing.
    mode = "mode=ro" if any(path.exists() for path in journals) else "immutable=1"
    try:
        uri = f"{file.as_uri()}?{mode}"
        return sqlite3.connect(uri, uri=True, timeout=20, isolation_level=None)
    except sqlite3.Error as error:
        raise LogError(f"could not open {file}: {error}") from error


def _is_leftover(entry: Path) -> bool:
    """Return whether an interrupted start of a campaign leaves such an entry behind."""
    if entry.name == LOCK_FILE_NAME or entry.name.startswith(TEMPORARY_DATABASE_NAME):
        return True
    return entry.name == POSTERIOR_FOLDER_NAME and entry.is_dir() and not any(entry.iterdir())


def _check_bostruct_database(folder: Path) -> None:
    connection = connect_read_only(folder)
    try:
        has_table = connection.execute(CAMPAIGN_TABLE_QUERY).fetchone()[0]
    except sqlite3.Error as error:
        raise LogError(f"could not read {database_path(folder)}: {error}") from error
    finally:
        connection.close()
    if not has_table:
        raise LogError(
            f"{database_path(folder)} is a database of another program. "
            "Take an empty or a new folder."
        )


def is_campaign_database(file: Path) -> bool:
    """Return whether a file is the database of a campaign, under whatever name."""
    try:
        with file.open("rb") as stream:
            if stream.read(len(SQLITE_MAGIC)) != SQLITE_MAGIC:
                return False
        uri = f"{file.absolute().as_uri()}?mode=ro&immutable=1"
        connection = sqlite3.connect(uri, uri=True)
        try:
            (count,) = connection.execute(CAMPAIGN_TABLE_QUERY).fetchone()
        finally:
            connection.close()
    except FileNotFoundError:
        return False
    except (OSError, sqlite3.Error):
        return file.name == DATABASE_NAME
    return bool(count) or file.name == DATABASE_NAME
