"""Lock that lets one process write in a run folder.

It is the operating system's and belongs to the open file description of `campaign.lock`: it ends
with the process that holds it, however that ends, and not before. No other descriptor of the file
that this process opens and closes, as a copy of the folder does, releases it. Programs that are
started and processes that are forked do not keep it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from bostruct.errors import LockedError, LogError
from bostruct.runtime.regular_file import open_regular_file

LOCK_FILE_NAME = "campaign.lock"

OWNER_KEYS: Final = frozenset(("host", "pid", "started", "file"))
"""Keys of the record of a process in a lock file."""

MAX_OWNER_BYTES: Final = 4096
"""Largest record of a process in a lock file."""

NO_LOCKS_ERRORS: Final = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""Errors of file systems without locks."""

HAS_DESCRIPTION_LOCKS: Final = sys.platform == "linux" and hasattr(fcntl, "F_OFD_SETLK")
"""True where record locks may belong to an open file description; else `flock` locks do."""

_RECORD_LOCKS: Final = {
    fcntl.LOCK_EX: fcntl.F_WRLCK,
    fcntl.LOCK_SH: fcntl.F_RDLCK,
    fcntl.LOCK_UN: fcntl.F_UNLCK,
}

_open_descriptors: set[int] = set()
"""Descriptors of the locks of this process, closed in its forks."""


class Lock:
    """Exclusive right to write in a run folder.

    Args:
        folder: Existing run folder.

    Raises:
        LockedError: another process, or another campaign of this one, holds the lock.
        LogError: the lock file is a link, or a file of another program.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder.resolve() / LOCK_FILE_NAME
        self._descriptor = open_regular_file(self.path, os.O_RDWR | os.O_CREAT)
        try:
            owner = _read_owner(self._descriptor)
            if owner is None:
                raise LogError(
                    f"{self.path} is no lock file of bostruct. Take another folder, or remove it."
                )
            self._acquire(folder)
            owner = {"host": socket.gethostname(), "pid": os.getpid(), "started": time.time()}
            owner["file"] = os.fstat(self._descriptor).st_ino  # a copy of the file is another one
            record = json.dumps(owner).encode()
            os.pwrite(self._descriptor, record, 0)
            os.ftruncate(self._descriptor, len(record))
        except BaseException:
            os.close(self._descriptor)
            raise
        _open_descriptors.add(self._descriptor)

    def _acquire(self, folder: Path, max_attempts: int = 5) -> None:
        for attempt in range(max_attempts):
            try:
                _set_lock(self._descriptor, fcntl.LOCK_EX)
            except OSError as error:
                owner = _read_owner(self._descriptor) or {}
                if error.errno in NO_LOCKS_ERRORS:
                    # This file system has no locks: the process and host on record must do.
                    if not _is_alive(owner, self._descriptor):
                        return
                elif attempt < max_attempts - 1:
                    time.sleep(0.1)  # `is_locked` of another process may take it for a moment
                    continue
                raise LockedError(_locked_message(folder, owner)) from error
            else:
                return

    def release(self) -> None:
        """Release the lock."""
        if self._descriptor in _open_descriptors:
            _open_descriptors.discard(self._descriptor)
            os.ftruncate(self._descriptor, 0)
            with suppress(OSError):
                # Also for a process that is just being forked and has not closed its copy.
                _set_lock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)


def is_locked(folder: Path) -> bool:
    """Return whether a process, including this one, writes in the folder.

    Raises:
        LogError: the lock file is a link, a pipe or a device.
    """
    try:
        descriptor = open_regular_file(folder.resolve() / LOCK_FILE_NAME, os.O_RDONLY)
    except LogError:
        raise
    except OSError:
        return False
    try:
        _set_lock(descriptor, fcntl.LOCK_SH)
    except OSError as error:
        if error.errno in NO_LOCKS_ERRORS:
            return _is_alive(_read_owner(descriptor) or {}, descriptor)
        return True
    finally:
        os.close(descriptor)
    return False


def _set_lock(descriptor: int, operation: int) -> None:
    """Lock or unlock the open file description, or raise the error of the operating system."""
    if HAS_DESCRIPTION_LOCKS:
        # struct flock of the whole file
        whole_file = struct.pack("hhqqi4x", _RECORD_LOCKS[operation], os.SEEK_SET, 0, 0, 0)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, whole_file)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a kernel or a file system that has none
                raise
        else:
            return
    fcntl.flock(descriptor, operation | fcntl.LOCK_NB)


def _close_in_child() -> None:
    """Close the locks of the parent process: a fork shares their open file descriptions."""
    for descriptor in _open_descriptors:
        os.close(descriptor)
    _open_descriptors.clear()


os.register_at_fork(after_in_child=_close_in_child)


def _read_owner(descriptor: int) -> dict[str, Any] | None:
    """Return the record in a lock file, {} in an empty one, None in another file."""
    text = os.pread(descriptor, MAX_OWNER_BYTES + 1, 0)
    if not text:
        return {}
    if len(text) > MAX_OWNER_BYTES:
        return None
    try:
        owner = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not owner:
        return {}
    return owner if isinstance(owner, dict) and OWNER_KEYS.issuperset(owner) else None


def _is_alive(owner: dict[str, Any], descriptor: int) -> bool:
    """Return whether the process on record writes in the folder of the open lock file."""
    if not owner or owner.get("file", os.fstat(descriptor).st_ino) != os.fstat(descriptor).st_ino:
        return False
    if owner.get("host") != socket.gethostname():
        return True  # processes of another host cannot be seen
    try:
        os.kill(int(owner["pid"]), 0)
    except (ProcessLookupError, ValueError, TypeError, OverflowError):
        return False
    except PermissionError:  # a process of another user
        pass
    return True


def _locked_message(folder: Path, owner: dict[str, Any]) -> str:
    who = f"process {owner.get('pid', '?')} on {owner.get('host', 'an unknown host')}"
    return (
        f"{folder} is being written by {who}. Wait for it or stop it, or take another "
        f"folder. If that process no longer exists, delete {folder / LOCK_FILE_NAME}."
    )
