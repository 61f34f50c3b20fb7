"""Evaluation context: which trial is computed, at which attempt, and in which working folder.

Every evaluation of a campaign has a working folder of its own, so that programs that read and
write files never see those of another structure, whatever runs beside them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, final

from bostruct.errors import InputError, error_message
from bostruct.runtime.regular_file import check_folder

KeepFolders = Literal["failed", "all", "none"]
"""Working folders that stay on disk after their evaluation."""

KEEP_CHOICES: tuple[KeepFolders, ...] = ("failed", "all", "none")

N_OUTPUT_LINES = 3
"""Last lines of a program's output that are quoted in the reason of a failure."""

MAX_OUTPUT_BYTES = 4096
"""Bytes at the end of an output file that are read for them."""


@final
@dataclass(frozen=True)
class EvaluationContext:
    """Identity and place of one evaluation.

    Args:
        trial: Number of the trial in its campaign.
        attempt: Number of the attempt at it, from 1.
        folder: Absolute path of the working folder; None where an evaluator is called alone.
        member: Name of the structure in its pool, or "".
    """

    trial: int
    attempt: int = 1
    folder: Path | None = None
    member: str = ""


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
    there. The current directory of the process is put back afterwards.

    Args:
        context: Context of the evaluation; None for an evaluator that is called alone.
    """
    directory = os.getcwd()
    if context is not None and context.folder is not None:
        context = replace(context, folder=_make_new_folder(context.folder))
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)
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


def check_keep(keep: KeepFolders) -> KeepFolders:
    """Return the choice of working folders that stay.

    Raises:
        InputError: it is none of the choices.
    """
    if keep not in KEEP_CHOICES:
        condition = f"be one of {', '.join(KEEP_CHOICES)}"
        raise InputError(error_message("keep", condition, repr(keep)))
    return keep


def last_output(context: EvaluationContext | None) -> str:
    """Return the last lines that a program wrote, with the file they are in, or "".

    Args:
        context: Context that `working_folder` lent.
    """
    if context is None or context.folder is None:
        return ""
    files = [path for path in context.folder.rglob("*") if path.is_file() and path.stat().st_size]
    for path in sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - MAX_OUTPUT_BYTES))
            data = file.read()
        if b"\0" in data:
            continue
        lines = [line.strip() for line in data.decode(errors="replace").splitlines()]
        text = " | ".join([line for line in lines if line][-N_OUTPUT_LINES:])
        if text:
            return f"{path} ends with: {text}"
    return ""


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
