"""Parent lattice: the structure whose sites are decorated, from ASE or pymatgen."""

from __future__ import annotations

import logging
from contextlib import suppress
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from bostruct.errors import InputError, error_message
from bostruct.structures.convert import suppress_spglib_warnings as suppress_spglib_warnings

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure


log = logging.getLogger(__name__)


def parent_atoms(parent: Atoms | Structure) -> Atoms:
    """Return a copy of a parent as ASE's atoms: species, positions, cell, pbc, tags, fixed atoms.

    A site of a disordered pymatgen structure keeps the element with the largest occupancy. Initial
    moments and charges belong to the parent's elements, not to its sites: they are left out, which
    the log says.

    Raises:
        InputError: the parent is neither ASE's nor pymatgen's, has no sites, or a constraint that
            is not `FixAtoms`.
    """
    from ase import Atoms as ASEAtoms

    if isinstance(parent, ASEAtoms):
        numbers, positions = parent.get_atomic_numbers(), parent.get_positions()
        atoms = ASEAtoms(
            numbers,
            positions=positions,
            cell=parent.cell.array,
            pbc=parent.pbc,
            tags=parent.get_tags(),
            constraint=_fix_atoms_constraints(parent),
        )
        _warn_about_state(parent)
    elif hasattr(parent, "lattice") and hasattr(parent, "cart_coords"):
        atoms = ASEAtoms(
            [str(max(site.species.items(), key=itemgetter(1))[0].symbol) for site in parent],
            positions=parent.cart_coords,
            cell=np.array(parent.lattice.matrix),
            pbc=parent.lattice.pbc,
        )
    else:
        condition = "be ASE's Atoms or pymatgen's Structure"
        raise InputError(error_message("parent", condition, type(parent).__name__))
    if not len(atoms):
        raise InputError(error_message("parent", "have at least one site", 0))
    return atoms


def parent_supercell(parent: Atoms | Structure | None) -> Atoms:
    """Return a parent that is periodic along all axes, by default 32 sites of fcc.

    Raises:
        InputError: the parent is not periodic, has constraints, or is invalid, see `parent_atoms`.
    """
    from ase.build import bulk

    if parent is None:
        return bulk("Cu", cubic=True) * (2, 2, 2)
    atoms = parent_atoms(parent)
    atoms.set_tags(0)
    if atoms.constraints:
        condition, hint = "have no constraints", "Structures have other cells than the parent."
        raise InputError(error_message("parent", condition, "fixed atoms", hint))
    if not atoms.pbc.all():
        value = f"pbc {atoms.pbc.tolist()}"
        raise InputError(error_message("parent", "repeat along three axes", value))
    return atoms


def primitive_cell(atoms: Atoms) -> Atoms:
    """Return a primitive cell of a crystal, neither rotated nor idealized.

    Raises:
        InputError: spglib finds none.
    """
    import spglib
    from ase import Atoms as ASEAtoms

    cell: Any = (atoms.cell.array, atoms.get_scaled_positions(), atoms.get_atomic_numbers())
    primitive = None
    # Depending on a global switch that other packages set, it raises or returns None.
    with suppress_spglib_warnings(), suppress(spglib.SpglibError):
        primitive = spglib.standardize_cell(cell, to_primitive=True, no_idealize=True)
    if primitive is None:
        condition = "have a primitive cell that spglib finds"
        raise InputError(error_message("parent", condition, atoms.get_chemical_formula()))
    lattice, positions, numbers = primitive
    return ASEAtoms(numbers, scaled_positions=positions, cell=lattice, pbc=True)


def _fix_atoms_constraints(parent: Atoms) -> list[Any]:
    """Return the constraints of a parent, which must fix whole atoms."""
    from ase.constraints import FixAtoms

    for constraint in parent.constraints:
        if not isinstance(constraint, FixAtoms):
            name, hint = type(constraint).__name__, "Set it where the evaluator relaxes."
            raise InputError(error_message("parent", "have FixAtoms constraints only", name, hint))
    return [FixAtoms(constraint.get_indices()) for constraint in parent.constraints]


def _warn_about_state(parent: Atoms) -> None:
    names = [
        text
        for text, values in (
            ("initial magnetic moments", parent.get_initial_magnetic_moments()),
            ("initial charges", parent.get_initial_charges()),
            ("info['charge']", parent.info.get("charge", 0)),
            ("info['spin']", parent.info.get("spin", 0)),
        )
        if np.any(values)
    ]
    if names:
        log.warning(
            "the %s of the parent %s are not those of its decorations: they are left out. Set "
            "them for the calculator, Calculator(..., magnetic_moments={...}, info={...}).",
            " and ".join(names),
            parent.get_chemical_formula(),
        )
