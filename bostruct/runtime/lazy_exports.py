"""Names of a package that are imported at their first use (PEP 562).

A package states its imports once, for type checkers, and hands them on unread:

    if TYPE_CHECKING:
        from bostruct.campaign import Campaign as Campaign
    else:
        __getattr__, __dir__ = lazy_exports(__name__)
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from typing import Any


def lazy_exports(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the functions `__getattr__` and `__dir__` of a package.

    Its names are those that it imports where only type checkers do.

    Args:
        package: Name of the package, which is being imported.
    """
    origin = _imports_for_type_checkers(package)

    def get_attribute(name: str) -> Any:  # noqa: ANN401 - of any type
        if name not in origin:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, attribute = origin[name]
        submodule = f"{module}.{attribute}"
        if hasattr(importlib.import_module(module), "__path__") and _exists(submodule):
            value: Any = importlib.import_module(submodule)
        else:
            value = getattr(importlib.import_module(module), attribute)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *origin})

    return get_attribute, names


def _exists(module: str) -> bool:
    return module in sys.modules or importlib.util.find_spec(module) is not None


def _imports_for_type_checkers(package: str) -> dict[str, tuple[str, str]]:
    """Return module and name in it of each name that is imported under `TYPE_CHECKING`."""
    spec = sys.modules[package].__spec__
    loader = None if spec is None else spec.loader
    source = getattr(loader, "get_source")(package)  # noqa: B009 - loaders of files have it
    return {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in _type_checking_nodes(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def _type_checking_nodes(tree: ast.Module) -> Iterator[ast.stmt]:
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from node.body
