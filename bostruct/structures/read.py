"""Structures from ASE atoms and from files that ASE reads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bostruct.errors import InputError, error_message
from bostruct.structures import Structures, to_ase
from bostruct.structures.structure_file import read_structure_file

if TYPE_CHECKING:
    from ase import Atoms


def read_images(
    structures: object, argument: str = "initial_structures"
) -> list[tuple[str, Atoms]]:
    """Return each structure as ASE's atoms, with a label of its origin.

    Args:
        structures: `Structures`, `ase.Atoms`, the path of a file that ASE reads, of which
            all frames are taken or those after `@`, or a sequence of atoms and paths.
        argument: Name of the argument, for the error message.

    Raises:
        InputError: an item is of another type, or a file cannot be read.
    """
    from ase import Atoms

    if isinstance(structures, Structures):
        return [(f"index {i}", image) for i, image in enumerate(to_ase(structures))]
    alone = isinstance(structures, str | os.PathLike | Atoms)
    if not alone and not isinstance(structures, Sequence):
        raise InputError(_invalid_structures_message(structures, argument))
    items: Sequence[Any] = [structures] if alone else structures  # type: ignore[assignment]
    images: list[tuple[str, Atoms]] = []
    for i, item in enumerate(items):
        if isinstance(item, Atoms):
            images.append((f"index {i}", item))
        elif isinstance(item, str | os.PathLike):
            path = os.fspath(item)
            frames = read_structure_file(argument, path)
            images += [(f"index {j} of {path}", a) for j, (_, a) in enumerate(frames)]
        else:
            raise InputError(_invalid_structures_message(item, argument))
    return images


def _invalid_structures_message(structures: object, argument: str) -> str:
    condition = "be ase.Atoms, Structures, files that ASE reads, or a list of them"
    kind, hint = type(structures), ""
    if kind.__module__.startswith("pymatgen."):
        hint = "Convert ordered ones with bostruct.structures.from_pymatgen([...])."
    name = f"{kind.__module__}.{kind.__name__}" if hint else kind.__name__
    return error_message(argument, condition, name, hint)
