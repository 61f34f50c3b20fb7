"""Numba functions that are compiled at their first call and cached on disk.

The first call imports numba, not the import of the module that defines the functions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, update_wrapper
from typing import Any, TypeVar, cast, final

from numpy.typing import NDArray

Array = NDArray[Any]
"""NumPy array of any dtype, as compiled functions take them."""

Function = TypeVar("Function", bound=Callable[..., Any])


def lazy_njit(
    **flags: Any,  # noqa: ANN401 - numba's
) -> Callable[[Function], Function]:
    """Return a decorator that compiles a function of arrays and numbers.

    The function may call other decorated functions of its module. Where no cache can be written,
    neither beside the module nor in the user's cache folder, each process compiles it anew.
    """

    def decorate(function: Function) -> Function:
        return cast(Function, _LazyFunction(function, flags))

    return decorate


@final
class _LazyFunction:
    """Function that is compiled when it is called."""

    def __init__(self, function: Callable[..., Any], flags: dict[str, Any]) -> None:
        self._function, self._flags = function, flags
        update_wrapper(self, function)

    def __call__(self, *arguments: Any) -> Any:  # noqa: ANN401 - the function's own
        return self.compiled(*arguments)

    @cached_property
    def compiled(self) -> Callable[..., Any]:
        """The compiled function; its module's functions that it calls are replaced likewise."""
        scope = self._function.__globals__
        for name in self._function.__code__.co_names:
            if isinstance(scope.get(name), _LazyFunction):
                scope[name] = scope[name].compiled
        try:
            return _njit(self._function, cache=True, **self._flags)
        except RuntimeError:  # numba's word for "no place for a cache"
            return _njit(self._function, **self._flags)


def _njit(
    function: Callable[..., Any],
    **flags: Any,  # noqa: ANN401 - numba's
) -> Callable[..., Any]:
    from numba import njit

    compiled: Callable[..., Any] = njit(nogil=True, error_model="numpy", **flags)(function)
    return compiled
