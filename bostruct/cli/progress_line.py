"""Progress line of commands on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status


@contextmanager
def progress_line() -> Iterator[Status]:
    """Lend a progress line that is shown where stderr is a terminal, and removed at the end."""
    status = Status("starting", console=Console(stderr=True))
    if status.console.is_terminal:
        status.start()
    try:
        yield status
    finally:
        status.stop()
