"""Names of callables, and JSON of their arguments, that are equal in every process."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

ENTRY_POINT_MODULES = ("__main__", "__mp_main__", "bostruct_campaign_file")
"""Modules whose name depends on how a file was started, not on what it defines."""


def qualified_name(function: Callable[..., Any]) -> str:
    """Return the qualified name of a function or class.

    >>> qualified_name(Mapping)
    'collections.abc.Mapping'
    """
    if isinstance(function, functools.partial):
        arguments = [repr(to_json_value(argument)) for argument in function.args]
        arguments += [f"{k}={to_json_value(v)!r}" for k, v in sorted(function.keywords.items())]
        return f"{qualified_name(function.func)}({', '.join(arguments)})"
    module = getattr(function, "__module__", None) or type(function).__module__
    qualname = getattr(function, "__qualname__", None) or type(function).__qualname__
    return qualname if module in ENTRY_POINT_MODULES else f"{module}.{qualname}"


def to_json_value(value: object) -> Any:  # noqa: ANN401 - JSON
    """Return a value in JSON's types, equal for equal values."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): to_json_value(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [to_json_value(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((to_json_value(item) for item in value), key=repr)
    if hasattr(value, "tolist"):  # numpy and torch
        return to_json_value(value.tolist())
    if callable(value):
        return qualified_name(value)
    text = repr(value)
    # A default repr holds the address, which is another one in every process.
    return qualified_name(type(value)) if " at 0x" in text else text
