"""Opening of regular files in folders that others may have filled.

A symbolic link is not followed, as it could lead to any file of the user, and neither a pipe nor a
device is waited for.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from bostruct.errors import LogError

NO_LINK_FLAGS = (
    getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
)
"""Flags of `os.open` with which neither a link is followed nor a pipe waited for."""


def check_regular_file(path: Path) -> os.stat_result | None:
    """Return the status of a file, None where there is none.

    Raises:
        LogError: the path is a link, a folder, a pipe or a device, or cannot be looked at.
    """
    status = _status(path)
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise _no_file(path, status)
    return status


def check_folder(path: Path) -> None:
    """Refuse a path that is neither absent nor a folder.

    Raises:
        LogError: the path is a link or a file.
    """
    status = _status(path)
    if status is not None and not stat.S_ISDIR(status.st_mode):
        hint = "Put the folder itself there."
        raise LogError(f"{path} is {_kind(status.st_mode)}, not a folder. {hint}")


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LogError(f"could not read {path}: {error.strerror or error}") from error


def open_regular_file(path: Path, flags: int, mode: int = 0o644) -> int:
    """Return the descriptor of a regular file, closed in programs that are started.

    Raises:
        LogError: the path is a link, a folder, a pipe or a device.
        OSError: the file cannot be opened.
    """
    check_regular_file(path)
    descriptor = os.open(path, flags | NO_LINK_FLAGS, mode)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise _no_file(path, status)
    return descriptor


def read_regular_file(path: Path, max_bytes: int) -> bytes:
    """Return the contents of a regular file.

    Raises:
        LogError: the path is no regular file, the file is larger, or cannot be read.
    """
    try:
        with open(open_regular_file(path, os.O_RDONLY), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > max_bytes:
                raise LogError(f"{path} has {size} bytes, more than the {max_bytes} expected.")
            return file.read(max_bytes + 1)[:max_bytes]
    except OSError as error:
        if isinstance(error, LogError):
            raise
        raise LogError(f"could not read {path}: {error.strerror or error}") from error


def _no_file(path: Path, status: os.stat_result) -> LogError:
    hint = "Put the file itself there, or remove it."
    return LogError(f"{path} is {_kind(status.st_mode)}, not a file. {hint}")


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a link",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFREG: "a file",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")
