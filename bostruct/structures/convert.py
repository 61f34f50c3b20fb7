"""Conversion to and from the structure classes of ASE and pymatgen.

Species, positions, cell, pbc, fixed atoms, tags, initial magnetic moments and charges, and the
total charge and spin survive a round trip. Energies, forces and stresses are read only where a
calculator has already stored them for exactly these positions: reading never starts a calculation.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from bostruct.errors import InputError, error_message
from bostruct.structures.elements import SYMBOLS
from bostruct.structures.energy_labels import EnergyLabels
from bostruct.structures.partial_occupancy import partial_occupancy
from bostruct.structures.structures import OPTIONAL_FIELDS, STRUCTURE_FIELDS, Structures

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Molecule, Structure

UNKNOWN_RADIUS = 0.2
"""Å. ASE's value for elements of unknown covalent radius."""

VAN_DER_WAALS_EXCESS = 0.9
"""Å. Mean excess of van der Waals radii over covalent ones (Alvarez 2013)."""

ONE_PER_ATOM, VECTOR_HINT = (
    "be one number for each atom",
    "Set vectors in the evaluator, in a Function.",
)
"""Condition on initial moments and charges, and the way out."""

MIN_CELL_VOLUME = 1e-6
"""Å³. Cells of less volume have no reciprocal cell."""


@contextmanager
def suppress_spglib_warnings() -> Iterator[None]:
    """Suppress spglib's announcement of future exceptions, also where icet calls it.

    Since 2.7 each call warns that errors will be raised instead of returning None.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Set OLD_ERROR", DeprecationWarning)
        yield


def covalent_radii(numbers: Tensor) -> Tensor:
    """Return the covalent radius of each atom, in the shape of `numbers`, in Å.

    Raises:
        InputError: an element has no known radius.
    """
    from ase.data import covalent_radii as table

    radii = torch.from_numpy(np.array(table, dtype=np.float64))
    radii[torch.tensor(table == UNKNOWN_RADIUS)] = torch.nan
    radii = radii[numbers.cpu()].to(numbers.device)
    if (missing := radii.isnan()).any():
        symbol = SYMBOLS[int(numbers[missing].flatten()[0])]
        condition = "be elements whose covalent radius is known"
        raise InputError(error_message("numbers", condition, symbol, "Give its radius."))
    return radii


def van_der_waals_radii(numbers: Tensor) -> Tensor:
    """Return the van der Waals radius of each atom, in the shape of `numbers`, in Å.

    Those of Alvarez, Dalton Trans. 42, 8617 (2013); of an element that has none there it is the
    covalent radius and `VAN_DER_WAALS_EXCESS`.

    Raises:
        InputError: an element has no known covalent radius either.
    """
    from ase.data.vdw_alvarez import vdw_radii

    table = torch.from_numpy(np.array(vdw_radii, dtype=np.float64))
    listed = numbers.cpu().clamp(max=len(table) - 1)
    radii = table[listed].masked_fill(numbers.cpu() >= len(table), torch.nan).to(numbers.device)
    if bool(radii.isnan().any()):
        radii = torch.where(radii.isnan(), covalent_radii(numbers) + VAN_DER_WAALS_EXCESS, radii)
    return radii


def from_ase(
    atoms: Atoms | Sequence[Atoms],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
    *,
    energy_key: str = "energy",
    forces_key: str | None = None,
) -> Structures:
    """Return ASE's atoms as one batch.

    Energies, forces and stresses come from the results that an attached calculator has stored.
    Components of forces that a constraint has set to zero are unknown.

    Args:
        atoms: one `Atoms` or a sequence of them.
        device: device of the tensors.
        dtype: dtype of the real tensors.
        energy_key: name of the energy in a calculator's results or in `info`; "" reads none. That
            of the stress has "stress" in place of "energy".
        forces_key: name of the forces in a calculator's results or in `arrays`; None takes that
            of the energy, as in "REF_energy" and "REF_forces", "" reads none.

    Raises:
        InputError: there are no atoms, a constraint is not `FixAtoms`, a site is partly occupied,
            an initial moment or charge is not one number, or a stress is not six or 3 x 3.
    """
    parts, labels = [], EnergyLabels(energy_key, forces_key)
    for image in _as_list(atoms, "get_atomic_numbers"):
        if occupancy := partial_occupancy(image):
            condition, hint = "have one whole atom on each site", "Choose one of its orderings."
            raise InputError(error_message("atoms", condition, occupancy, hint))
        energy, forces = labels.read(image)
        parts.append(
            {
                "positions": image.get_positions(),
                "numbers": image.get_atomic_numbers(),
                "cell": np.array(image.cell),
                "pbc": np.array(image.pbc),
                "fixed": _fixed_from_constraints(image),
                "tags": image.get_tags(),
                "energy": energy,
                "forces": forces,
                "stress": labels.read_stress(image),
                "magnetic_moments": image.arrays.get("initial_magmoms"),
                "atomic_charges": image.arrays.get("initial_charges"),
                **{name: _number(image.info, "info", name) for name in ("charge", "spin")},
            }
        )
    return _build_batch(parts, device, dtype)


def to_ase(structures: Structures) -> list[Atoms]:
    """Return each structure as ASE's `Atoms`.

    Known energies, forces and stresses go into a `SinglePointCalculator`, fixed atoms into a
    `FixAtoms` constraint, moments and charges into the initial ones, the total charge and spin
    into `info`. Unknown forces on fixed atoms are zero there, as ASE writes them.
    """
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.constraints import FixAtoms

    images = []
    for arrays in _to_arrays(structures):
        geometry = ("numbers", "positions", "cell", "pbc", "tags")
        atoms = Atoms(**{name: arrays[name] for name in geometry})
        if arrays["fixed"].any():
            atoms.set_constraint(FixAtoms(indices=np.flatnonzero(arrays["fixed"])))
        if arrays["magnetic_moments"] is not None:
            atoms.set_initial_magnetic_moments(np.nan_to_num(arrays["magnetic_moments"]))
        if arrays["atomic_charges"] is not None:
            atoms.set_initial_charges(np.nan_to_num(arrays["atomic_charges"]))
        for name in ("charge", "spin"):
            if arrays[name] is not None:
                value = arrays[name]
                atoms.info[name] = int(value) if value.is_integer() else value
        if arrays["forces"] is not None:
            forces = arrays["forces"]
            unknown = np.isnan(forces) & arrays["fixed"][:, None]
            arrays["forces"] = np.where(unknown, 0.0, forces)
        names = ("energy", "forces", "stress")
        results = {name: arrays[name] for name in names if arrays[name] is not None}
        if results:
            atoms.calc = SinglePointCalculator(atoms, **results)
        images.append(atoms)
    return images


def from_pymatgen(
    objects: Structure | Molecule | Sequence[Structure | Molecule],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
) -> Structures:
    """Return pymatgen's structures and molecules as one batch.

    Atoms whose selective dynamics are false in all directions are fixed; tags are the
    site property "tags"; energies and forces are the property "energy" and the site
    property "forces", as `to_pymatgen` writes them. Initial moments are the site property
    "magmom", else the spin of a species; initial charges are the site property "charge"; the
    charge of the whole and the multiplicity of a molecule are kept where they are given.
    Oxidation states are dropped.

    Args:
        objects: one `Structure` or `Molecule`, or a sequence of them.
        device: device of the tensors.
        dtype: dtype of the real tensors.

    Raises:
        InputError: there are no atoms, a site is disordered or no element, an atom may move in
            some directions only, or an initial moment or charge is not one number.
    """
    parts = []
    for item in _as_list(objects, "cart_coords"):
        a = len(item)
        lattice = getattr(item, "lattice", None)
        site = item.site_properties
        parts.append(
            {
                "positions": item.cart_coords,
                "numbers": [_site_atomic_number(atom) for atom in item],
                "cell": np.zeros((3, 3)) if lattice is None else lattice.matrix,
                "pbc": (False,) * 3 if lattice is None else lattice.pbc,
                "fixed": _fixed_from_selective_dynamics(site.get("selective_dynamics", [None] * a)),
                "tags": [tag or 0 for tag in site.get("tags", [0] * a)],
                "energy": item.properties.get("energy"),
                "forces": site.get("forces"),
                "magnetic_moments": _site_numbers(item, "magmom", "spin"),
                "atomic_charges": _site_numbers(item, "charge"),
                **_total_charge_and_spin(item),
            }
        )
    return _build_batch(parts, device, dtype)


def to_pymatgen(structures: Structures) -> list[Structure | Molecule]:
    """Return each structure as pymatgen's `Structure`, or `Molecule` without a cell.

    Stresses are left out: pymatgen has no unit and no sign of its own for them.

    Raises:
        InputError: a structure holds the placeholder X, or a cell that spans no volume,
            which pymatgen cannot represent.
    """
    from pymatgen.core import Lattice, Molecule, Structure

    objects: list[Structure | Molecule] = []
    for arrays in _to_arrays(structures):
        numbers, positions, cell = arrays["numbers"].tolist(), arrays["positions"], arrays["cell"]
        if 0 in numbers:
            raise InputError(error_message("numbers", "be elements for pymatgen", "X (0)"))
        species = [SYMBOLS[number] for number in numbers]
        site: dict[str, Any] = {"tags": arrays["tags"].tolist()}
        if arrays["fixed"].any():
            site["selective_dynamics"] = [[not fixed] * 3 for fixed in arrays["fixed"]]
        if arrays["forces"] is not None:
            site["forces"] = arrays["forces"].tolist()
        for key, name in (("magmom", "magnetic_moments"), ("charge", "atomic_charges")):
            if arrays[name] is not None:
                site[key] = [None if np.isnan(x) else x for x in arrays[name].tolist()]
        totals = {
            name: arrays[name] for name in ("energy", "charge", "spin") if arrays[name] is not None
        }
        properties: dict[str, Any] = {"site_properties": site, "properties": totals}
        if not cell.any():
            objects.append(Molecule(species, positions, **properties))
            continue
        if abs(np.linalg.det(cell)) < MIN_CELL_VOLUME:
            condition = "span a volume, or be zero, for pymatgen"
            hint = "Complete the cell along the directions without periodicity."
            raise InputError(error_message("cell", condition, cell.tolist(), hint))
        lattice = Lattice(cell, pbc=tuple(arrays["pbc"].tolist()))
        structure = Structure(lattice, species, positions, coords_are_cartesian=True, **properties)
        objects.append(structure)
    return objects


def _as_list(objects: Any, marker_attribute: str) -> list[Any]:  # noqa: ANN401
    """Return one object, recognised by an attribute, or a sequence of them, as a list."""
    return [objects] if hasattr(objects, marker_attribute) else list(objects)


def _site_atomic_number(site: Any) -> int:  # noqa: ANN401  pymatgen's PeriodicSite or Site
    """Return the atomic number of a site."""
    condition = "be ordered sites of one element"
    if not site.is_ordered:
        hint = "Choose one of its orderings."
        raise InputError(error_message("objects", condition, site.species_string, hint))
    number = getattr(site.specie, "Z", 0)
    if not site.specie.symbol.isalpha() or not 0 < number < len(SYMBOLS):
        raise InputError(error_message("objects", condition, site.species_string))
    return int(number)


def _fixed_from_selective_dynamics(selective_dynamics: Sequence[Any]) -> list[bool]:
    """Return the mask of fixed atoms from pymatgen's selective dynamics."""
    fixed = []
    for moves in selective_dynamics:
        free = [True] * 3 if moves is None else [bool(move) for move in moves]
        if any(free) and not all(free):
            condition = "be all true or all false for each atom"
            hint = "Only whole atoms can be fixed."
            raise InputError(error_message("selective_dynamics", condition, free, hint))
        fixed.append(not any(free))
    return fixed


def _fixed_from_constraints(atoms: Atoms) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return the mask of fixed atoms, `[a]`."""
    from ase.constraints import FixAtoms

    fixed = np.zeros(len(atoms), dtype=bool)
    for constraint in atoms.constraints:
        if not isinstance(constraint, FixAtoms):
            name = type(constraint).__name__
            hint = (
                "Structures keep no other: remove it with atoms.set_constraint(), and where the "
                "evaluator relaxes, set it there, in a Function."
            )
            raise InputError(error_message("constraints", "be FixAtoms", name, hint))
        fixed[constraint.get_indices()] = True
    return fixed


def _number(values: Mapping[str, Any], argument: str, name: str) -> float | None:
    """Return the total charge or the spin among values by name, None without one."""
    value = values.get(name)
    if value is None:
        return None
    try:
        number = np.asarray(value, dtype=np.float64).reshape(())
    except (TypeError, ValueError) as error:
        hint = "Evaluators hand it on to the calculator: rename it if it is something else."
        name = f"{argument}[{name!r}]"
        raise InputError(error_message(name, "be one number", value, hint)) from error
    return float(number)


def _site_numbers(item: Structure | Molecule, name: str, of_species: str = "") -> list[Any] | None:
    """Return a site property as numbers, else an attribute of the species, None without any."""
    values = item.site_properties.get(name)
    if values is None and of_species:
        values = [getattr(site.specie, of_species, None) for site in item]
    if values is None or all(value is None for value in values):
        return None
    try:
        return [np.nan if value is None else float(value) for value in values]
    except (TypeError, ValueError) as error:
        raise InputError(error_message(name, ONE_PER_ATOM, values, VECTOR_HINT)) from error


def _total_charge_and_spin(item: Structure | Molecule) -> dict[str, float | None]:
    """Return the charge, and the spin multiplicity of a molecule, None where none is given."""
    charge = getattr(item, "_charge", None) or None  # `charge` adds up oxidation states
    spin = getattr(item, "spin_multiplicity", None)
    if spin is not None and charge is None and spin == 1 + int(sum(item.atomic_numbers)) % 2:
        spin = None  # pymatgen's own default
    given = {"charge": charge, "spin": spin}
    values = given | item.properties
    return {name: _number(values, "properties", name) for name in given}


def _build_batch(
    parts: Sequence[dict[str, Any]], device: torch.device | str, dtype: torch.dtype
) -> Structures:
    """Return a batch from dictionaries of arrays, one for each structure."""
    counts = [len(part["numbers"]) for part in parts]
    if not counts:
        raise InputError(error_message("atoms", "hold at least one structure", "none"))
    if 0 in counts:
        hint = f"Structure {counts.index(0)} is empty."
        raise InputError(error_message("atoms", "have at least one atom each", 0, hint))
    structures = [_structure(part, dtype) for part in parts]
    return replace(Structures.cat(structures).to(device))  # which validates the whole


def _structure(part: dict[str, Any], dtype: torch.dtype) -> Structures:
    """Return one structure from arrays, None where they are missing, without validation."""
    _check_one_per_atom(part)
    kinds = dict.fromkeys(part, dtype) | {"numbers": torch.int64, "tags": torch.int64}
    kinds |= {"pbc": torch.bool, "fixed": torch.bool}
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(part, (-1,))
    shapes |= dict.fromkeys(("positions", "forces"), (-1, 3))
    shapes |= {"cell": (1, 3, 3), "pbc": (1, 3), "stress": (1, 6)}
    values = {
        name: torch.from_numpy(np.array(value).reshape(shapes[name])).to(kinds[name])
        for name, value in part.items()
        if value is not None
    }
    return Structures.unchecked(
        index=torch.zeros(len(part["numbers"]), dtype=torch.int64), **values
    )


def _check_one_per_atom(part: dict[str, Any]) -> None:
    """Refuse vectors as initial moments or charges.

    Raises:
        InputError: there is not one number for each atom.
    """
    for name in ("magnetic_moments", "atomic_charges"):
        shape = np.shape(part[name])
        if part[name] is not None and shape != (len(part["numbers"]),):
            raise InputError(error_message(name, ONE_PER_ATOM, f"shape {list(shape)}", VECTOR_HINT))


def _to_arrays(structures: Structures) -> list[dict[str, Any]]:
    """Return each structure as NumPy arrays; fields that are unknown throughout are None."""
    arrays = []
    for structure in structures.to("cpu", torch.float64).split():
        known: dict[str, Any] = dict.fromkeys(OPTIONAL_FIELDS)
        for name, value in structure.given_fields().items():
            if not (name in OPTIONAL_FIELDS and bool(value.isnan().all())):
                array = value.detach().numpy()
                row = array[0] if name in STRUCTURE_FIELDS else array
                known[name] = row if row.ndim else float(row)
        arrays.append(known)
    return arrays
