"""Structures from ASE atoms and from files that ASE reads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bostruct.errors import InputError, error_message
from bostruct.structures import Structures, to_ase
from bostruct.structures.partial_occupancy import OCCUPANCY_NAMES

if TYPE_CHECKING:
    from ase import Atoms
    from ase.db.row import AtomsRow


def read_images(structures: object) -> list[tuple[str, Atoms]]:
    """Return each structure as ASE's atoms, with a label of its origin.

    Args:
        structures: `Structures`, `ase.Atoms`, the path of a file that ASE reads, of which
            all frames are taken, or a sequence of atoms and paths.

    Raises:
        InputError: an item is of another type, or a file cannot be read.
    """
    from ase import Atoms

    if isinstance(structures, Structures):
        return [(f"index {i}", image) for i, image in enumerate(to_ase(structures))]
    alone = isinstance(structures, str | os.PathLike | Atoms)
    if not alone and not isinstance(structures, Sequence):
        raise InputError(_invalid_structures_message(structures))
    items: Sequence[Any] = [structures] if alone else structures  # type: ignore[assignment]
    images: list[tuple[str, Atoms]] = []
    for i, item in enumerate(items):
        if isinstance(item, Atoms):
            images.append((f"index {i}", item))
        elif isinstance(item, str | os.PathLike):
            path = os.fspath(item)
            images += [(f"index {j} of {path}", a) for j, a in enumerate(_read_frames(path))]
        else:
            raise InputError(_invalid_structures_message(item))
    return images


def _read_frames(path: str) -> list[Atoms]:
    import ase.io

    condition = "be a file that ASE can read"
    if not Path(path).is_file():
        raise InputError(error_message("start", condition, f"{path}, which is no file"))
    try:
        if Path(path).suffix == ".db":
            return _read_rows(path)
        images: list[Atoms] = ase.io.read(path, index=":")
    except Exception as error:  # foreign code, and a file of any content
        reason = f"{type(error).__name__}: {error}."
        raise InputError(error_message("start", condition, path, reason)) from error
    return images


def _read_rows(path: str) -> list[Atoms]:
    """Return all rows of an ASE database."""
    import ase.db

    return [row_to_atoms(row) for row in ase.db.connect(path).select()]


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


def _invalid_structures_message(structures: object) -> str:
    condition = "be ase.Atoms, Structures, files that ASE reads, or a list of them"
    return error_message("start", condition, type(structures).__name__)
