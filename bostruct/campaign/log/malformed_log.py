"""One sentence in place of an error of the code that finds a log in contradiction with itself.

Types, sizes and forms of single values are checked when a log is opened; what they say together is
seen only where it is used.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from bostruct.errors import BostructError, LogError

P = ParamSpec("P")
T = TypeVar("T")

CONTENT_ERRORS: Final = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RuntimeError),
    *(TypeError, ValueError, sqlite3.Error),
)
"""Errors of code that meets contents which no campaign writes."""


@contextmanager
def refuse_malformed(folder: Path) -> Iterator[None]:
    """Turn the errors of code that reads a log into a sentence on the log.

    Raises:
        LogError: the code inside met contents which no campaign writes.
    """
    try:
        yield
    except BostructError:
        raise
    except CONTENT_ERRORS as error:
        reason = f"{type(error).__name__}: {error}".strip().split("\n")[0]
        raise LogError(
            f"{folder} holds what no campaign writes, or parts of another one ({reason}). "
            "`bostruct verify` says what was changed."
        ) from error


def reads_log(read: Callable[P, T]) -> Callable[P, T]:
    """Return a function of a log that refuses one with contents which no campaign writes.

    Args:
        read: Function whose first argument is the log.
    """

    @functools.wraps(read)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        log: Any = next(iter((*args, *kwargs.values())))
        with refuse_malformed(log.folder):
            return read(*args, **kwargs)

    return wrapped
