"""Reading of named structures from lists, files and ASE databases, in batches."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from bostruct.errors import InputError, error_message
from bostruct.structures import Structures, from_ase, from_pymatgen
from bostruct.structures.structure_file import read_structure_file

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

    StructureSource = Structures | str | os.PathLike[str] | Iterable[Atoms | Structure | Any]

STRUCTURES_PER_BATCH = 1024
"""Number of single structures that are joined to a batch."""

STRUCTURES_PER_SLICE = 1 << 14
"""Largest number of structures of a given batch that are passed on at once."""

MATERIAL_KEYS = ("material_id", "mp_id")
"""Names under which structures of the Materials Project carry their number."""


def iter_structures(source: StructureSource) -> Iterator[tuple[list[str], Structures]]:
    """Yield the structures of a source in batches, with their names.

    A source is a batch of `Structures`, a file that ASE reads (extxyz, traj, cif ...), an ASE
    database, or any list of ASE's Atoms, pymatgen's structures, molecules or entries. Names
    are those in `atoms.info["name"]`, in the database, or of entries, or their `material_id`; else
    "structure 17", counted from 0.

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
    source: str | os.PathLike[str] | Iterable[Atoms | Structure | Any],
) -> Iterator[tuple[str, Any]]:
    """Yield the name of each structure, if it has one, and the structure as given."""
    if isinstance(source, str | os.PathLike):
        yield from read_structure_file("source", source)
        return
    if not isinstance(source, Iterable):
        condition = "be a list of structures, a file or a database"
        raise InputError(error_message("source", condition, type(source).__name__))
    for item in source:
        yield _item_name(item), getattr(item, "structure", item)


def _item_name(item: Any) -> str:  # noqa: ANN401  of ASE or pymatgen
    """Return the name of a structure: its own, else its number in a database of materials."""
    info = {**(getattr(item, "info", None) or {}), **(getattr(item, "properties", None) or {})}
    names = [info.get("name"), getattr(item, "entry_id", None)]
    names += [info.get(key, getattr(item, key, None)) for key in MATERIAL_KEYS]
    return next((str(name) for name in names if name), "")


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
