"""Loops that are compiled on their first call, and kept on disk for later processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(
    **flags: Any,  # noqa: ANN401 - numba's
) -> Callable[[Function], Function]:
    """Return a decorator that compiles a function of arrays and numbers.

    Where nothing can be written, neither beside the module nor in the user's cache, it
    is compiled in every process anew.

    Args:
        flags: more arguments of `numba.njit`.
    """

    def decorate(function: Function) -> Function:
        made: Function
        try:
            made = _njit(function, cache=True, **flags)
        except RuntimeError:  # numba's word for "no place for a cache"
            made = _njit(function, **flags)
        return made

    return decorate


def _njit(function: Function, **flags: Any) -> Any:  # noqa: ANN401 - numba's
    return njit(nogil=True, error_model="numpy", **flags)(function)
