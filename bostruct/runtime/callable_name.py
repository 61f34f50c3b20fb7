"""A name for a callable and its arguments that is the same in every process."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

NAMELESS = ("__main__", "__mp_main__", "bostruct_campaign_file")
"""Modules whose name depends on how a file was started, not on what it defines."""


def name(function: Callable[..., Any]) -> str:
    """Return the qualified name of a function or class.

    >>> name(Mapping)
    'collections.abc.Mapping'
    """
    if isinstance(function, functools.partial):
        arguments = [repr(plain(argument)) for argument in function.args]
        arguments += [f"{k}={plain(v)!r}" for k, v in sorted(function.keywords.items())]
        return f"{name(function.func)}({', '.join(arguments)})"
    kind = type(function)
    module = getattr(function, "__module__", None) or kind.__module__
    qualified = getattr(function, "__qualname__", None) or kind.__qualname__
    return qualified if module in NAMELESS else f"{module}.{qualified}"


def plain(value: object) -> Any:  # noqa: ANN401 - JSON
    """Return a value as JSON can hold it, equal for equal values."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=repr)
    if hasattr(value, "tolist"):  # numpy and torch
        return plain(value.tolist())
    if callable(value):
        return name(value)
    text = repr(value)
    # A default repr holds the address, which is another one in every process.
    return name(type(value)) if " at 0x" in text else text
