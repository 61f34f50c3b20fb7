"""Evaluation context: which trial is computed, at which attempt, and in which working folder.

Every evaluation of a campaign has a working folder of its own, so that programs that read and
write files never see those of another structure, whatever runs beside them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, final

from bostruct.errors import LogError
from bostruct.runtime.canonical_json import parse_json
from bostruct.runtime.regular_file import check_folder, open_regular_file, read_regular_file

KeepFolders = Literal["failed", "all", "none"]
"""Working folders that stay on disk after their evaluation."""

RUNNING_SUFFIX = ".running"
"""Suffix of the file beside a working folder that names the process which computes there."""

MAX_MARK_BYTES = 1024
"""Largest size of the file that says which process computes."""


@final
@dataclass(frozen=True)
class EvaluationContext:
    """Identity and place of one evaluation.

    Args:
        trial: Number of the trial in its campaign.
        attempt: Number of the attempt at it, from 1.
        folder: Absolute path of the working folder; None where an evaluator is called alone.
        member: Name of the structure in its pool, or "".
        with_stress: True where the cell may vary, so that stresses are of use.
    """

    trial: int
    attempt: int = 1
    folder: Path | None = None
    member: str = ""
    with_stress: bool = False


_current: ContextVar[EvaluationContext | None] = ContextVar("evaluation_context", default=None)


def current_context() -> EvaluationContext | None:
    """Return the context of the evaluation that runs in this thread, None outside of one.

    An evaluator calls this for the trial's number, attempt, member name and working folder.
    """
    return _current.get()


@contextlib.contextmanager
def working_folder(context: EvaluationContext | None) -> Iterator[EvaluationContext | None]:
    """Make the working folder of an evaluation and lend its context to this thread.

    A folder that exists is never used again: a program of an earlier attempt may still write
    there. The current directory of the process is put back afterwards. A file beside the folder
    says meanwhile which process computes; it stays if that dies, see `running_process`.

    Args:
        context: Context of the evaluation; None for an evaluator that is called alone.
    """
    directory, mark = os.getcwd(), None
    if context is not None and context.folder is not None:
        mark = _running_mark(context.folder)
        context = replace(context, folder=_make_new_folder(context.folder))
        with open(open_regular_file(mark, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "w") as file:
            json.dump([socket.gethostname(), os.getpid()], file)
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)
        if mark is not None:
            mark.unlink(missing_ok=True)
        if _current_directory() != directory:
            os.chdir(directory)


def remove_working_folder(
    context: EvaluationContext | None, has_failed: bool, keep: KeepFolders
) -> None:
    """Remove the working folder of an evaluation that has ended, unless it is kept.

    Args:
        context: Context that `working_folder` lent.
        has_failed: True for an evaluation that has failed.
        keep: Folders that stay: those of failures, all or none. An empty one never does.
    """
    if context is None or context.folder is None:
        return
    if keep == "none" or (keep == "failed" and not has_failed):
        shutil.rmtree(context.folder, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            context.folder.rmdir()


def running_process(folder: Path) -> tuple[str, int] | None:
    """Return host and number of the process that died while it computed in a working folder.

    Args:
        folder: Path that the first working folder of the trial has.

    Returns:
        None where the evaluation had not begun or had ended.
    """
    mark = _running_mark(folder)
    try:
        text = read_regular_file(mark, MAX_MARK_BYTES).decode()
        host, pid = parse_json(text, str(mark), list, (str, int))
    except (LogError, ValueError):
        return None
    return host, pid


def remove_running_marks(parent: Path) -> None:
    """Remove the marks of processes that have died, before others run."""
    for mark in parent.glob(f"*{RUNNING_SUFFIX}"):
        mark.unlink(missing_ok=True)


def _running_mark(folder: Path) -> Path:
    return folder.with_name(folder.name + RUNNING_SUFFIX)


def newest_folder(folder: Path) -> Path | None:
    """Return the working folder that was made last for a trial, None without one.

    Args:
        folder: Path that the first one has; later ones have a number after it.
    """
    numbered = []
    for path in folder.parent.glob(f"{folder.name}*"):
        suffix = path.name.removeprefix(folder.name).removeprefix(".")
        if suffix.isdecimal() or not suffix:
            numbered.append((int(suffix or 1), path))
    return max(numbered)[1] if numbered else None


def _make_new_folder(folder: Path) -> Path:
    """Return a new empty folder of that name, or of the first free name after it.

    Raises:
        LogError: the folder of all working folders is a link.
    """
    check_folder(folder.parent)
    folder.parent.mkdir(parents=True, exist_ok=True)
    number = 1
    path = folder
    while True:
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
            path = folder.with_name(f"{folder.name}.{number}")
        else:
            return path


def _current_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # removed by the program
        return ""
