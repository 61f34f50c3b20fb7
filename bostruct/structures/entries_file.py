"""Entries file: entries of pymatgen as JSON, as `monty.serialization.dumpfn` writes them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from bostruct.errors import InputError, error_message


def read_entries_file(path: str | os.PathLike[str]) -> list[Any] | None:
    """Return the entries of pymatgen in a JSON file; None if it holds something else.

    Args:
        path: file with a list of entries, or with one.

    Raises:
        InputError: entries are of other classes, or cannot be read.
    """
    if not os.fspath(path).endswith(".json") or not Path(path).is_file():
        return None
    try:
        items = json.loads(Path(path).read_bytes())
    except ValueError:  # ASE says what is wrong with a file that is none of these
        return None
    items = items if isinstance(items, list) else [items]
    if not items or not all(isinstance(item, dict) and "@class" in item for item in items):
        return None
    return [_entry(item, path) for item in items]


def _entry(item: dict[str, Any], path: str | os.PathLike[str]) -> Any:  # noqa: ANN401 - pymatgen
    from pymatgen.analysis.phase_diagram import PDEntry
    from pymatgen.entries.computed_entries import ComputedEntry, ComputedStructureEntry

    name = item["@class"]
    classes: dict[str, Any] = {
        each.__name__: each for each in (ComputedEntry, ComputedStructureEntry, PDEntry)
    }
    if name not in classes:
        condition = f"hold entries of pymatgen ({', '.join(classes)})"
        raise InputError(error_message("references", condition, f"{name!r} in {path}"))
    try:
        return classes[name].from_dict(item)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        condition = f"hold whole entries, each a {name} as pymatgen writes it"
        value = f"{type(error).__name__}: {error}, in {path}"
        raise InputError(error_message("references", condition, value)) from error
