"""Guard process that ends the programs of a process which has died.

An evaluator starts programs (`mpirun vasp`), and whatever ends the process that started them
(a time limit, Ctrl-C, SIGTERM, SIGKILL, a crash) must end them as well: nobody waits for their
result any more, and they write into a folder that is about to be used again. The guard is a
small process in a session of its own. It waits on a pipe that closes when its owner ends, and
then ends every process that carries the owner's mark in its environment, which programs inherit
however deep they are and whatever process group or session they have moved to.

The file is run as a script by the guard process and imports nothing of the package there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import psutil

MARK: Final = "BOSTRUCT_EVALUATION_OWNER"
"""Environment variable that programs inherit from the process that evaluates."""

GRACE_SECONDS: Final = 3.0
"""Seconds between SIGTERM and SIGKILL: MPI launchers pass the first one on."""

_lock = threading.Lock()
_guards: dict[int, tuple[str, subprocess.Popen[bytes]]] = {}  # owner's process id: mark, guard
_n_running = 0


@contextmanager
def guarded_programs() -> Iterator[None]:
    """Mark the programs that this process starts meanwhile, in any thread, for its guard.

    The guard is started by the first call. What the process starts at other times is its own.
    """
    global _n_running  # noqa: PLW0603 - os.environ belongs to the process, and so does its count
    with _lock:
        _n_running += 1
        os.environ[MARK] = _mark_of_guard()
    try:
        yield
    finally:
        with _lock:
            _n_running -= 1
            if _n_running == 0:
                os.environ.pop(MARK, None)


def _mark_of_guard() -> str:
    """Return the mark of this process, whose guard runs."""
    pid = os.getpid()
    if pid in _guards and _guards[pid][1].poll() is None:
        return _guards[pid][0]
    mark = f"{pid}-{uuid.uuid4().hex}"
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    guard = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), mark],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=environment,
    )
    _guards.clear()  # a guard of the parent process, after a fork, is not ours
    _guards[pid] = mark, guard
    return mark


def end_programs(mark: str) -> int:
    """End all processes that carry a mark, SIGTERM first; return how many there were."""
    import psutil

    ended: set[int] = set()
    while marked := _marked_processes(mark):
        new = [process for process in marked if process.pid not in ended]
        ended.update(process.pid for process in new)
        for process in marked:
            with suppress(psutil.Error):  # it is gone
                process.terminate()
        _, alive = psutil.wait_procs(marked, timeout=GRACE_SECONDS)
        for process in alive:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(alive, timeout=GRACE_SECONDS)
    return len(ended)


def _marked_processes(mark: str) -> list[psutil.Process]:
    """Return the running processes with a mark, this one excepted."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            is_marked = process.pid != os.getpid() and process.environ().get(MARK) == mark
            if is_marked and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):  # gone, or another user's
            continue
    return found


def main() -> None:
    """Wait until the owner has ended, then end its programs."""
    while sys.stdin.buffer.read(1):
        continue
    end_programs(sys.argv[1])


if __name__ == "__main__":
    main()
