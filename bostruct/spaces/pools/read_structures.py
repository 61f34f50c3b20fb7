"""Structures with names from wherever a user keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bostruct.errors import InputError, error_message
from bostruct.structures import Structures, from_ase, from_pymatgen

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

    StructureSource = Structures | str | Path | Iterable[Atoms | Structure | Any]

STRUCTURES_PER_BATCH = 1024
"""Structures joined at once."""

STRUCTURES_PER_SLICE = 1 << 14
"""Structures of a batch handed on at once; it is never taken apart into single ones."""


def iter_structures(source: StructureSource) -> Iterator[tuple[list[str], Structures]]:
    """Yield the structures of a source in batches, each with their names.

    A source is a batch of `Structures`, a file that ASE reads (extxyz, traj, cif ...),
    an ASE database (.db), or any list of ASE's Atoms, pymatgen's structures, molecules
    or entries. Names are those in `atoms.info["name"]`, in the database, or of entries;
    else "structure 17", counted from 0.

    Raises:
        InputError: a structure is empty or cannot be used, or the source cannot be
            read.
    """
    if isinstance(source, Structures):
        bare = source.without_results()
        for start in range(0, len(bare), STRUCTURES_PER_SLICE):
            stop = min(start + STRUCTURES_PER_SLICE, len(bare))
            yield (
                [_default_name(place) for place in range(start, stop)],
                bare[start:stop],
            )
        return
    names: list[str] = []
    parts: list[Structures] = []
    for place, (name, item) in enumerate(_iter_items(source)):
        called = name or _default_name(place)
        names.append(called)
        parts.append(_convert_item(called, item))
        if len(parts) == STRUCTURES_PER_BATCH:
            yield names, Structures.cat(parts)
            names, parts = [], []
    if parts:
        yield names, Structures.cat(parts)


def _default_name(index: int) -> str:
    return f"structure {index}"


def _iter_items(
    source: str | Path | Iterable[Atoms | Structure | Any],
) -> Iterator[tuple[str, Any]]:
    """Yield each structure as it is given, with its name if it has one."""
    if isinstance(source, str | Path):
        yield from _iter_file(Path(source))
    else:
        if not isinstance(source, Iterable):
            condition = "be a list of structures, a file or a database"
            raise InputError(error_message("source", condition, type(source).__name__))
        for item in source:
            inner = getattr(item, "structure", item)
            yield _item_name(item), inner


def _iter_file(path: Path) -> Iterator[tuple[str, Any]]:
    if not path.is_file():
        raise InputError(error_message("source", "be a file that exists", f"{path}"))
    if path.suffix == ".db":
        from ase.db import connect

        for row in connect(path).select():
            yield row.get("name", f"id {row.id}"), row.toatoms()
        return
    from ase.io import iread

    try:
        yield from ((_item_name(atoms), atoms) for atoms in iread(path, index=":"))
    except (ValueError, KeyError, IndexError, OSError) as error:
        condition = "be a file that ASE reads"
        raise InputError(error_message("source", condition, f"{path} ({error})")) from error


def _item_name(item: Any) -> str:  # noqa: ANN401  of ASE or pymatgen
    known = getattr(item, "info", None) or {}
    return str(known.get("name") or getattr(item, "entry_id", None) or "")


def _convert_item(name: str, item: Any) -> Structures:  # noqa: ANN401  see `_items`
    """Return one structure, or refuse it by its name."""
    if isinstance(item, Structures):
        return item
    if not (hasattr(item, "get_atomic_numbers") or hasattr(item, "cart_coords")):
        condition = "hold ASE's Atoms, or pymatgen's structures or entries"
        raise InputError(error_message("source", condition, type(item).__name__))
    if not len(item):
        condition = "hold no empty structure"
        raise InputError(error_message("source", condition, f"{name!r}, which has no atoms"))
    ours = from_ase if hasattr(item, "get_atomic_numbers") else from_pymatgen
    try:
        return ours(item).without_results()
    except InputError as error:
        condition = "hold structures that can be used"
        raise InputError(error_message("source", condition, f"{name!r}: {error}")) from error
