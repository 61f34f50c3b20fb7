"""Interruption of a run by Ctrl-C or SIGTERM.

Both raise a `KeyboardInterrupt` in the main thread, so that a run ends in order. Foreign code may
raise that error itself, or catch it and go on; the signals that came tell these cases apart.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

DEFAULT_HANDLERS: Final[dict[signal.Signals, Any]] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}
"""Handlers that a run replaces; a program that has set others keeps them."""

_received: list[int] = []  # numbers of the signals since the run began


class TerminationError(KeyboardInterrupt):
    """Interruption by SIGTERM, which batch systems send some time before SIGKILL."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM raise an error in what runs inside, in the main thread.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        TerminationError: SIGTERM.
    """
    replaced = []
    if threading.current_thread() is threading.main_thread():
        replaced = [n for n, h in DEFAULT_HANDLERS.items() if signal.getsignal(n) == h]
    if replaced:
        _received.clear()
    for number in replaced:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in replaced:
            signal.signal(number, DEFAULT_HANDLERS[number])


def raise_if_interrupted() -> None:
    """Raise the error of a signal again that has come and was caught by foreign code.

    Raises:
        KeyboardInterrupt: a signal has come since the run began, and this is the main thread.
    """
    is_main_thread = threading.current_thread() is threading.main_thread()
    if is_main_thread and _received and _handles(signal.SIGINT, signal.SIGTERM):
        raise TerminationError if _received[0] == signal.SIGTERM else KeyboardInterrupt


def is_interruption(error: BaseException, is_repeated: bool = False) -> bool:
    """Return whether an error of foreign code interrupts the run.

    Args:
        error: Error that was caught in the thread that calls this.
        is_repeated: True if the code may have interrupted a run before. A `KeyboardInterrupt`
            without a signal is its own then.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    if _handles(signal.SIGINT):
        return bool(_received) or (isinstance(error, KeyboardInterrupt) and not is_repeated)
    is_ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # as in a worker
    return isinstance(error, KeyboardInterrupt) and not is_ignored


def _handles(*numbers: signal.Signals) -> bool:
    return any(signal.getsignal(number) == _interrupt for number in numbers)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    raise TerminationError if number == signal.SIGTERM else KeyboardInterrupt
