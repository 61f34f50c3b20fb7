"""Names of callables, and JSON of their arguments, that are equal in every process."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

ENTRY_POINT_MODULES = ("__main__", "__mp_main__", "bostruct_campaign_file")
"""Modules whose name depends on how a file was started, not on what it defines."""

_has_entry_point_names: ContextVar[bool] = ContextVar("has_entry_point_names", default=True)


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
    module = import_name(module)
    return f"{module}.{qualname}" if module else qualname


def import_name(module: str) -> str:
    """Return the name under which a module is imported, "" if it cannot be.

    A file that was started, as a script or as a campaign file, has the name with which it would be
    imported, so that all of them give equal descriptions.

    >>> import_name("collections.abc")
    'collections.abc'
    """
    if module not in ENTRY_POINT_MODULES:
        return module
    if not _has_entry_point_names.get():
        return ""
    loaded = sys.modules.get(module)
    name = getattr(getattr(loaded, "__spec__", None), "name", None)
    if isinstance(name, str) and name not in ENTRY_POINT_MODULES:
        return name  # python -m
    file = getattr(loaded, "__file__", None)
    if file is None:
        return ""  # typed in, in a notebook
    path = Path(file).absolute()
    names, folder = [path.stem], path.parent
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return ".".join(names)


@contextmanager
def without_entry_point_names() -> Iterator[None]:
    """Name what a started file defines without a module, as earlier versions did."""
    token = _has_entry_point_names.set(False)
    try:
        yield
    finally:
        _has_entry_point_names.reset(token)


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
