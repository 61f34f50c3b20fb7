"""The structure whose sites are filled, from ASE or pymatgen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bostruct.errors import InputError, error_message
from bostruct.structures.convert import suppress_spglib_warnings as suppress_spglib_warnings

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure


def parent_atoms(parent: Atoms | Structure) -> Atoms:
    """Return a bare copy of a parent as ASE's atoms: species, positions, cell, pbc.

    Of disordered pymatgen structures each site keeps the element it holds most of.

    Raises:
        InputError: it is neither ASE's nor pymatgen's, or has no sites.
    """
    from ase import Atoms as Made

    if isinstance(parent, Made):
        made = Made(
            parent.get_atomic_numbers(),
            positions=parent.get_positions(),
            cell=parent.cell.array,
            pbc=parent.pbc,
        )
    elif hasattr(parent, "lattice") and hasattr(parent, "cart_coords"):
        made = Made(
            [_majority_element(site) for site in parent],
            positions=parent.cart_coords,
            cell=np.array(parent.lattice.matrix),
            pbc=parent.lattice.pbc,
        )
    else:
        condition = "be ASE's Atoms or pymatgen's Structure"
        raise InputError(error_message("parent", condition, type(parent).__name__))
    if not len(made):
        raise InputError(error_message("parent", "have at least one site", 0))
    return made


def parent_supercell(parent: Atoms | Structure | None) -> Atoms:
    """Return a parent that repeats along all its axes; by default 32 sites of fcc.

    Raises:
        InputError: it does not repeat, or `parent_atoms` refuses it.
    """
    from ase.build import bulk

    if parent is None:
        return bulk("Cu", cubic=True) * (2, 2, 2)
    made = parent_atoms(parent)
    if not made.pbc.all():
        condition = "repeat along three axes"
        raise InputError(error_message("parent", condition, f"pbc {made.pbc.tolist()}"))
    return made


def primitive_cell(atoms: Atoms) -> Atoms:
    """Return a primitive cell of a crystal, neither turned nor idealised.

    Raises:
        InputError: spglib finds none.
    """
    import spglib
    from ase import Atoms as Made

    cell: Any = (
        atoms.cell.array,
        atoms.get_scaled_positions(),
        atoms.get_atomic_numbers(),
    )
    with suppress_spglib_warnings():
        found = spglib.standardize_cell(cell, to_primitive=True, no_idealize=True)
    if found is None:
        condition = "have a primitive cell that spglib finds"
        raise InputError(error_message("parent", condition, atoms.get_chemical_formula()))
    lattice, positions, numbers = found
    return Made(numbers, scaled_positions=positions, cell=lattice, pbc=True)


def _majority_element(site: Any) -> str:  # noqa: ANN401  pymatgen's PeriodicSite
    shares = site.species.items()
    return str(max(shares, key=lambda pair: pair[1])[0].symbol)
