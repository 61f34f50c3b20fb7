"""Lock that lets one process write in a run folder.

It is the operating system's (a POSIX record lock on `campaign.lock`): it ends with the process that
holds it, however that ends, and child processes do not inherit it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from bostruct.errors import LockedError

LOCK_FILE_NAME = "campaign.lock"
_process_locks: dict[Path, Lock] = {}
"""Locks of this process, which the operating system would grant twice."""


class Lock:
    """Exclusive right to write in a run folder.

    Args:
        folder: Existing run folder.

    Raises:
        LockedError: another process, or another campaign of this one, holds the lock.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder.resolve() / LOCK_FILE_NAME
        if self.path in _process_locks:
            raise LockedError(_locked_message(folder, _process_info()))
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._acquire(folder)
        except BaseException:
            os.close(self._descriptor)
            raise
        _process_locks[self.path] = self

    def _acquire(self, folder: Path, max_attempts: int = 5) -> None:
        for attempt in range(max_attempts):
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                owner = _read_owner(self.path)
                if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP):
                    # This file system has no locks: the process and host on record must do.
                    if _is_alive(owner):
                        raise LockedError(_locked_message(folder, owner)) from error
                    break
                if attempt == max_attempts - 1:
                    raise LockedError(_locked_message(folder, owner)) from error
                time.sleep(0.1)  # `is_locked` of another process takes it for a moment
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(_process_info()).encode(), 0)

    def release(self) -> None:
        """Release the lock."""
        if _process_locks.pop(self.path, None) is self:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)


def is_locked(folder: Path) -> bool:
    """Return whether a process, including this one, writes in the folder."""
    path = folder.resolve() / LOCK_FILE_NAME
    if path in _process_locks:
        return True
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP):
            return _is_alive(_read_owner(path))
        return True
    finally:
        os.close(descriptor)
    return False


def _process_info() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": time.time()}


def _read_owner(path: Path) -> dict[str, Any]:
    try:
        owner = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _is_alive(owner: dict[str, Any]) -> bool:
    if not owner:
        return False
    if owner.get("host") != socket.gethostname():
        return True  # processes of another host cannot be seen
    try:
        os.kill(int(owner["pid"]), 0)
    except (ProcessLookupError, KeyError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def _locked_message(folder: Path, owner: dict[str, Any]) -> str:
    who = f"process {owner.get('pid', '?')} on {owner.get('host', 'an unknown host')}"
    return (
        f"{folder} is being written by {who}. Wait for it or stop it, or take another "
        f"folder. If that process no longer exists, delete {folder / LOCK_FILE_NAME}."
    )
