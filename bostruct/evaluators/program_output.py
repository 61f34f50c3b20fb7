"""Output of the programs that an evaluator starts: what they print, and their last lines.

The last lines of its output say why a program has failed; its exit code seldom does.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from bostruct.evaluators.evaluation_context import current_context

N_LINES = 3
"""Last lines of an output that are quoted in the reason of a failure."""

MAX_BYTES = 4096
"""Bytes at the end of an output that are read for them."""

MAX_FILES = 10_000
"""Files of a working folder among which those with the output are searched."""

PRINTED_FILE_NAME = "printed.out"
"""File in the working folder with what programs print to the terminal."""

OUTPUT_SUFFIXES = (".out", ".log", ".output", ".pwo", ".stdout")
OUTPUT_NAMES = ("outcar", "out", "log", "output", "stdout")


@contextlib.contextmanager
def captured_prints() -> Iterator[None]:
    """Write what programs print to stdout and stderr into a file as well, in worker processes.

    ASE's calculators leave the messages of a program that cannot start on the terminal. In the
    process of the campaign itself they stay there: its output is not the evaluator's.
    """
    context = current_context()
    is_worker = multiprocessing.parent_process() is not None
    is_alone = threading.current_thread() is threading.main_thread()
    if context is None or context.folder is None or not (is_worker and is_alone):
        yield
        return
    path = context.folder / PRINTED_FILE_NAME
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("wb", buffering=0))
            terminals = {number: os.dup(number) for number in (1, 2)}
        except OSError:  # the process has no stdout or stderr
            yield
            return
        _flush()
        for number in terminals:
            os.dup2(file.fileno(), number)
        try:
            yield
        finally:
            _flush()
            for number, terminal in terminals.items():
                os.dup2(terminal, number)
                os.close(terminal)
            _print_again(path)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def _print_again(path: Path) -> None:
    """Print what was captured to stderr; remove the file if there is nothing in it."""
    with contextlib.suppress(OSError):
        if path.stat().st_size == 0:
            path.unlink()
            return
        with path.open("rb") as file:
            while data := file.read(1 << 20):
                os.write(2, data)


def last_output(folder: Path | None) -> str:
    """Return the last lines that programs wrote, with the files they are in, or "".

    These are the newest file of errors and the newest one of output; if there is none of them, the
    newest file of text.
    """
    if folder is None:
        return ""
    groups: dict[str, list[Path]] = {"error": [], "output": [], "other": []}
    for path in _newest_first(folder):
        groups[_kind(path)].append(path)
    quotes = [_first_quote(groups[kind]) for kind in ("output", "error")]
    return "; ".join(filter(None, quotes)) or _first_quote(groups["other"])


def error_output(error: BaseException) -> str:
    """Return the last lines of the output that an error of a program carries, or "".

    `subprocess.CalledProcessError` does, and may be the cause of the error that was raised.
    """
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        for name in ("stderr", "stdout"):
            output = getattr(cause, name, None)
            data = output.encode("utf-8", "replace") if isinstance(output, str) else output
            if isinstance(data, bytes) and (lines := _last_lines(data)):
                return f"{name} ends with: {lines}"
        cause = cause.__cause__ or cause.__context__
    return ""


def _newest_first(folder: Path) -> list[Path]:
    """Return the files in a folder that are not empty, those changed last first."""
    found: list[tuple[int, str, Path]] = []
    for top, _, names in os.walk(folder):  # errors of a folder that vanishes are left out
        for name in names:
            path = Path(top) / name
            with contextlib.suppress(OSError):
                status = path.stat()
                if path.is_file() and status.st_size:
                    found.append((status.st_mtime_ns, name, path))
        if len(found) >= MAX_FILES:
            break
    return [path for _, _, path in sorted(found, reverse=True)]


def _kind(path: Path) -> str:
    name = path.name.lower()
    if name.endswith((".err", ".error", ".stderr")) or name in ("err", "error", "stderr"):
        return "error"
    is_output = name.endswith(OUTPUT_SUFFIXES) or name in OUTPUT_NAMES
    return "output" if is_output else "other"


def _first_quote(paths: list[Path]) -> str:
    for path in paths:
        with contextlib.suppress(OSError), path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - MAX_BYTES))
            if lines := _last_lines(file.read()):
                return f"{path} ends with: {lines}"
    return ""


def _last_lines(data: bytes) -> str:
    """Return the last lines of a text in one, "" for data that are no text."""
    if b"\0" in data:
        return ""
    lines = [
        " ".join(line.split()) for line in data[-MAX_BYTES:].decode(errors="replace").splitlines()
    ]
    return " | ".join([line for line in lines if line][-N_LINES:])
