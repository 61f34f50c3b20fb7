"""Reading of named structures from lists, files and ASE databases, in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bostruct.errors import InputError, error_message
from bostruct.structures import Structures, from_ase, from_pymatgen
from bostruct.structures.read import row_to_atoms

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

    StructureSource = Structures | str | Path | Iterable[Atoms | Structure | Any]

STRUCTURES_PER_BATCH = 1024
"""Number of single structures that are joined to a batch."""

STRUCTURES_PER_SLICE = 1 << 14
"""Largest number of structures of a given batch that are passed on at once."""


def iter_structures(source: StructureSource) -> Iterator[tuple[list[str], Structures]]:
    """Yield the structures of a source in batches, with their names.

    A source is a batch of `Structures`, a file that ASE reads (extxyz, traj, cif ...), an ASE
    database (.db), or any list of ASE's Atoms, pymatgen's structures, molecules or entries. Names
    are those in `atoms.info["name"]`, in the database, or of entries; else "structure 17", counted
    from 0.

    Raises:
        InputError: a structure is empty or invalid, or the source cannot be read.
    """
    if isinstance(source, Structures):
        bare = source.without_results()
        for start in range(0, len(bare), STRUCTURES_PER_SLICE):
            stop = min(start + STRUCTURES_PER_SLICE, len(bare))
            yield [f"structure {index}" for index in range(start, stop)], bare[start:stop]
        return
    names: list[str] = []
    structures: list[Structures] = []
    for index, (name, item) in enumerate(_iter_items(source)):
        names.append(name or f"structure {index}")
        structures.append(_convert_item(names[-1], item))
        if len(structures) == STRUCTURES_PER_BATCH:
            yield names, Structures.cat(structures)
            names, structures = [], []
    if structures:
        yield names, Structures.cat(structures)


def _iter_items(
    source: str | Path | Iterable[Atoms | Structure | Any],
) -> Iterator[tuple[str, Any]]:
    """Yield the name of each structure, if it has one, and the structure as given."""
    if isinstance(source, str | Path):
        yield from _iter_file(Path(source))
        return
    if not isinstance(source, Iterable):
        condition = "be a list of structures, a file or a database"
        raise InputError(error_message("source", condition, type(source).__name__))
    for item in source:
        yield _item_name(item), getattr(item, "structure", item)


def _iter_file(path: Path) -> Iterator[tuple[str, Any]]:
    if not path.is_file():
        raise InputError(error_message("source", "be a file that exists", f"{path}"))
    if path.suffix == ".db":
        from ase.db import connect

        for row in connect(path).select():
            yield row.get("name", f"id {row.id}"), row_to_atoms(row)
        return
    from ase.io import iread

    try:
        yield from ((_item_name(atoms), atoms) for atoms in iread(path, index=":"))
    except (ValueError, KeyError, IndexError, OSError) as error:
        value = f"{path} ({error})"
        raise InputError(error_message("source", "be a file that ASE reads", value)) from error


def _item_name(item: Any) -> str:  # noqa: ANN401  of ASE or pymatgen
    info = getattr(item, "info", None) or {}
    return str(info.get("name") or getattr(item, "entry_id", None) or "")


def _convert_item(name: str, item: Any) -> Structures:  # noqa: ANN401  of ASE or pymatgen
    """Return one structure, or raise an error with its name."""
    if isinstance(item, Structures):
        return item
    if not (hasattr(item, "get_atomic_numbers") or hasattr(item, "cart_coords")):
        condition = "hold ASE's Atoms, or pymatgen's structures or entries"
        raise InputError(error_message("source", condition, type(item).__name__))
    if not len(item):
        value = f"{name!r}, which has no atoms"
        raise InputError(error_message("source", "hold no empty structure", value))
    convert = from_ase if hasattr(item, "get_atomic_numbers") else from_pymatgen
    try:
        return convert(item).without_results()
    except InputError as error:
        condition = "hold structures that can be used"
        raise InputError(error_message("source", condition, f"{name!r}: {error}")) from error
