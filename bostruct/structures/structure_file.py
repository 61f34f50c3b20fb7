"""Structure file: a file that ASE reads, by its path, and perhaps which of its structures.

A file of exactly that name comes first, whatever its name holds (`cu@300K.xyz`). Only without one
`data.xyz@0:10` means the first ten structures of `data.xyz`, as ASE writes it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bostruct.errors import InputError, error_message
from bostruct.structures.partial_occupancy import OCCUPANCY_NAMES

if TYPE_CHECKING:
    from ase import Atoms
    from ase.db.row import AtomsRow

SQLITE_HEADER = b"SQLite format 3\0"
"""First bytes of an SQLite file, such as a database of ASE."""

SERVER_SCHEMES = ("postgresql://", "postgres://", "mysql://", "mariadb://")
"""Beginnings of addresses of databases that are no files."""

CONDITION = "be a file of structures that ASE can read"


def read_structure_file(argument: str, name: str | os.PathLike[str]) -> Iterator[tuple[str, Atoms]]:
    """Yield the structures of a file with their names, "" where the file gives none.

    Args:
        argument: name of the argument, for the error message.
        name: path of a file, from the home folder if it begins with `~`. After `@` the index or
            the slice of the structures that are meant, or of a database a query, as "Cu>3", may
            follow, unless there is a file of the whole name.

    Raises:
        InputError: there is no such file, ASE cannot read it, or no structure is selected.
    """
    path, selection = _find_file(argument, os.fsdecode(os.fspath(name)))
    index = _parse_index(selection)
    is_database = _is_database(path)
    if index is None and not is_database:
        condition = "have an index or a slice of structures after the @"
        value = f"{selection!r} after {path}, and there is no file of the whole name"
        hint = f"Try {path.name}@0:10."
        raise InputError(error_message(argument, condition, value, hint))
    is_empty = True
    try:
        found = _iter_database(path, index, selection) if is_database else _iter_file(path, index)
        for item in found:
            is_empty = False
            yield item
    except Exception as error:  # foreign code, and a file of any content
        reason = f"{type(error).__name__}: {error}"
        value = f"{path} ({reason.rstrip('.')})"
        raise InputError(error_message(argument, CONDITION, value)) from error
    if is_empty:
        value = f"none in {path}" + (f" at {selection}" if selection else "")
        raise InputError(error_message(argument, "hold at least one structure", value))


def row_to_atoms(row: AtomsRow) -> Atoms:
    """Return a row of an ASE database as atoms, with what is kept beside them in `info`.

    That is its key-value pairs; of its data, which may be anything, charge, spin and occupancies.
    """
    atoms: Atoms = row.toatoms()
    names = ("charge", "spin", *OCCUPANCY_NAMES)
    atoms.info |= {name: row.data[name] for name in names if name in row.data}
    # A row's own `charge` is the sum of initial charges and hides the key of that name.
    atoms.info |= {name: vars(row)[name] for name in row.key_value_pairs}
    return atoms


def _find_file(argument: str, text: str) -> tuple[Path, str]:
    """Return the absolute path that a name means, and what selects structures of the file.

    Raises:
        InputError: there is no such file.
    """
    stem, at, selection = text.rpartition("@")
    names = {text: ""} | ({stem: selection} if at and os.path.basename(stem) else {})
    for path, chosen in names.items():
        for place in dict.fromkeys((path, os.path.expanduser(path))):
            if _is_file(place):
                return Path(place).absolute(), chosen
    value, hint = f"{' or '.join(names)}, which is no file", ""
    if text.startswith(SERVER_SCHEMES):
        value = f"{text}, the address of a server"
        hint = f"Give [row.toatoms() for row in ase.db.connect({text!r}).select()]."
    elif os.path.isdir(os.path.expanduser(text)):
        database = Path(text, "campaign.db")
        value = f"{text}, which is a folder"
        hint = f"Give {database}." if _is_file(str(database)) else "Give a file in it."
    elif not os.path.isabs(text):
        hint = f"The working folder is {Path.cwd()}."
    raise InputError(error_message(argument, CONDITION, value, hint))


def _iter_file(path: Path, index: slice | None) -> Iterator[tuple[str, Atoms]]:
    from ase.io import iread

    # an absolute path: ASE takes "-" and "postgres.xyz" for something else
    found = iread(str(path), index, _format_name(path), do_not_split_by_at_sign=True)
    for atoms in found:
        yield str(atoms.info.get("name") or ""), atoms


def _iter_database(path: Path, index: slice | None, query: str) -> Iterator[tuple[str, Atoms]]:
    from ase.db import connect

    with connect(str(path), type="db") as database:
        chosen = range(database.count())[index] if index is not None else None
        for number, row in enumerate(database.select(query if chosen is None else None)):
            if chosen is None or number in chosen:
                yield str(row.get("name", f"id {row.id}")), row_to_atoms(row)


def _format_name(path: Path) -> str:
    """Return the name of ASE's format; a file called `data.xyz@0` has that of `data.xyz`."""
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    stem = path.name.rpartition("@")[0]
    try:
        name: str = filetype(str(path))
    except UnknownFileTypeError:
        if not stem:
            raise
    else:
        if name in ioformats or not stem:
            return name
    guessed: str = filetype(stem, read=False)
    return guessed


def _parse_index(text: str) -> slice | None:
    """Return an index or a slice in ASE's notation as a slice, None if it is neither."""
    from ase.io.formats import string2index

    try:
        index = string2index(text or ":")
    except ValueError:
        return None
    if isinstance(index, int):
        return slice(index, (index + 1) or None)
    return index if isinstance(index, slice) else None


def _is_database(path: Path) -> bool:
    """Return whether a file is an SQLite database, whatever its name."""
    with path.open("rb") as file:
        return file.read(len(SQLITE_HEADER)) == SQLITE_HEADER


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long, or with a zero byte
        return False
