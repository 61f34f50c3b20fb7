"""To and from the structure classes of ASE and pymatgen.

Species, positions, cell, pbc, fixed atoms and tags survive a round trip. Energies and
forces are read only where a calculator has already stored them for exactly these
positions: reading never starts a calculation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from bostruct.errors import InputError, error_message
from bostruct.structures.elements import SYMBOLS
from bostruct.structures.structures import Structures

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Molecule, Structure

UNKNOWN_RADIUS = 0.2
"""Å. ASE's value for elements whose covalent radius is not known."""

MIN_CELL_VOLUME = 1e-6
"""Å³. A cell of less volume has no reciprocal cell to speak of."""


def covalent_radii(numbers: Tensor) -> Tensor:
    """Return the covalent radius of each atom, in the shape of `numbers`, in Å.

    Raises:
        InputError: an element has no known radius.
    """
    from ase.data import covalent_radii as table

    radii = torch.from_numpy(np.array(table, dtype=np.float64))
    radii[torch.tensor(table == UNKNOWN_RADIUS)] = torch.nan
    found = radii[numbers.cpu()].to(numbers.device)
    missing = found.isnan()
    if missing.any():
        symbol = SYMBOLS[int(numbers[missing].flatten()[0])]
        condition = "be elements whose covalent radius is known"
        raise InputError(error_message("numbers", condition, symbol, "Give its radius."))
    return found


def from_ase(
    atoms: Atoms | Sequence[Atoms],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
) -> Structures:
    """Return ASE's atoms as one batch.

    Energies and forces come from the results that an attached calculator has stored.

    Args:
        atoms: one `Atoms` or a sequence of them.
        device: where the tensors go.
        dtype: of the real tensors.

    Raises:
        InputError: there are no atoms, or a constraint is not `FixAtoms`.
    """
    parts = []
    for image in _as_list(atoms, "get_atomic_numbers"):
        energy, forces = _stored_results(image)
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
            }
        )
    return _build_batch(parts, device, dtype)


def to_ase(structures: Structures) -> list[Atoms]:
    """Return each structure as ASE's `Atoms`.

    Known energies and forces go into a `SinglePointCalculator`, fixed atoms into a
    `FixAtoms` constraint.
    """
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.constraints import FixAtoms

    images = []
    for one in _to_arrays(structures):
        atoms = Atoms(
            numbers=one["numbers"],
            positions=one["positions"],
            cell=one["cell"],
            pbc=one["pbc"],
            tags=one["tags"],
        )
        if one["fixed"].any():
            atoms.set_constraint(FixAtoms(indices=np.flatnonzero(one["fixed"])))
        known = {name: one[name] for name in ("energy", "forces") if one[name] is not None}
        if known:
            atoms.calc = SinglePointCalculator(atoms, **known)
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
    property "forces", as `to_pymatgen` writes them. Oxidation states are dropped.

    Args:
        objects: one `Structure` or `Molecule`, or a sequence of them.
        device: where the tensors go.
        dtype: of the real tensors.

    Raises:
        InputError: there are no atoms, a site is disordered or no element, or an atom
            may move in some directions only.
    """
    parts = []
    for item in _as_list(objects, "cart_coords"):
        a = len(item)
        lattice = getattr(item, "lattice", None)
        site = item.site_properties
        parts.append(
            {
                "positions": item.cart_coords,
                "numbers": [_site_atomic_number(one) for one in item],
                "cell": np.zeros((3, 3)) if lattice is None else lattice.matrix,
                "pbc": (False,) * 3 if lattice is None else lattice.pbc,
                "fixed": _fixed_from_selective_dynamics(site.get("selective_dynamics", [None] * a)),
                "tags": [tag or 0 for tag in site.get("tags", [0] * a)],
                "energy": item.properties.get("energy"),
                "forces": site.get("forces"),
            }
        )
    return _build_batch(parts, device, dtype)


def to_pymatgen(structures: Structures) -> list[Structure | Molecule]:
    """Return each structure as pymatgen's `Structure`, or `Molecule` without a cell.

    Raises:
        InputError: a structure holds the placeholder X, or a cell that spans no volume,
            which pymatgen cannot represent.
    """
    from pymatgen.core import Lattice, Molecule, Structure

    found: list[Structure | Molecule] = []
    for one in _to_arrays(structures):
        numbers = one["numbers"].tolist()
        if 0 in numbers:
            raise InputError(error_message("numbers", "be elements for pymatgen", "X (0)"))
        species = [SYMBOLS[number] for number in numbers]
        site: dict[str, Any] = {"tags": one["tags"].tolist()}
        if one["fixed"].any():
            site["selective_dynamics"] = [[not fixed] * 3 for fixed in one["fixed"]]
        if one["forces"] is not None:
            site["forces"] = one["forces"].tolist()
        known = {} if one["energy"] is None else {"energy": one["energy"]}
        cell = one["cell"]
        if not cell.any():
            found.append(
                Molecule(species, one["positions"], site_properties=site, properties=known)
            )
            continue
        if abs(np.linalg.det(cell)) < MIN_CELL_VOLUME:
            condition = "span a volume, or be zero, for pymatgen"
            way_out = "Complete the cell along the directions without periodicity."
            raise InputError(error_message("cell", condition, cell.tolist(), way_out))
        found.append(
            Structure(
                Lattice(cell, pbc=tuple(one["pbc"].tolist())),
                species,
                one["positions"],
                coords_are_cartesian=True,
                site_properties=site,
                properties=known,
            )
        )
    return found


def _as_list(objects: Any, marker_attribute: str) -> list[Any]:  # noqa: ANN401  theirs, or lists
    """Return one object, known by an attribute, or a sequence of them, as a list."""
    return [objects] if hasattr(objects, marker_attribute) else list(objects)


def _site_atomic_number(site: Any) -> int:  # noqa: ANN401  pymatgen's PeriodicSite or Site
    """Return the atomic number of a site."""
    condition = "be ordered sites of one element"
    if not site.is_ordered:
        way_out = "Choose one of its orderings."
        raise InputError(error_message("objects", condition, site.species_string, way_out))
    number = getattr(site.specie, "Z", 0)
    if not site.specie.symbol.isalpha() or not 0 < number < len(SYMBOLS):
        raise InputError(error_message("objects", condition, site.species_string))
    return int(number)


def _fixed_from_selective_dynamics(selective_dynamics: Sequence[Any]) -> list[bool]:
    """Return which atoms are fixed, from pymatgen's selective dynamics."""
    fixed = []
    for moves in selective_dynamics:
        free = [True] * 3 if moves is None else [bool(move) for move in moves]
        if any(free) and not all(free):
            condition = "be all true or all false for each atom"
            way_out = "Only whole atoms can be fixed."
            raise InputError(error_message("selective_dynamics", condition, free, way_out))
        fixed.append(not any(free))
    return fixed


def _fixed_from_constraints(atoms: Atoms) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which atoms are fixed, `[a]`."""
    from ase.constraints import FixAtoms

    fixed = np.zeros(len(atoms), dtype=bool)
    for constraint in atoms.constraints:
        if not isinstance(constraint, FixAtoms):
            name = type(constraint).__name__
            way_out = "Remove it, or fix whole atoms."
            raise InputError(error_message("constraints", "be FixAtoms", name, way_out))
        fixed[constraint.get_indices()] = True
    return fixed


def _stored_results(atoms: Atoms) -> tuple[float | None, Any]:
    """Return energy and forces that are stored for exactly these atoms."""
    calc = atoms.calc
    results = getattr(calc, "results", None)
    if not results:
        return None, None
    check = getattr(calc, "check_state", None)
    if check is not None and check(atoms):
        return None, None
    return results.get("energy"), results.get("forces")


def _build_batch(
    parts: Sequence[dict[str, Any]], device: torch.device | str, dtype: torch.dtype
) -> Structures:
    """Return arrays of one structure each as a batch."""
    counts = [len(part["numbers"]) for part in parts]
    if not counts:
        raise InputError(error_message("atoms", "hold at least one structure", "none"))
    if 0 in counts:
        way_out = f"Structure {counts.index(0)} is empty."
        raise InputError(error_message("atoms", "have at least one atom each", 0, way_out))

    def tensor(arrays: Sequence[Any], kind: torch.dtype, shape: tuple[int, ...]) -> Tensor:
        joined = np.concatenate([np.asarray(array).reshape(shape) for array in arrays])
        return torch.from_numpy(joined).to(device=device, dtype=kind)

    values: dict[str, Tensor] = {
        "positions": tensor([p["positions"] for p in parts], dtype, (-1, 3)),
        "numbers": tensor([p["numbers"] for p in parts], torch.int64, (-1,)),
        "cell": tensor([p["cell"] for p in parts], dtype, (1, 3, 3)),
        "pbc": tensor([p["pbc"] for p in parts], torch.bool, (1, 3)),
        "fixed": tensor([p["fixed"] for p in parts], torch.bool, (-1,)),
        "tags": tensor([p["tags"] for p in parts], torch.int64, (-1,)),
    }
    if any(p["energy"] is not None for p in parts):
        energies = [np.nan if p["energy"] is None else p["energy"] for p in parts]
        values["energy"] = tensor([energies], dtype, (-1,))
    if any(p["forces"] is not None for p in parts):
        filled = [
            np.full((count, 3), np.nan) if p["forces"] is None else p["forces"]
            for p, count in zip(parts, counts, strict=True)
        ]
        values["forces"] = tensor(filled, dtype, (-1, 3))
    index = torch.repeat_interleave(torch.tensor(counts)).to(device)
    return Structures(index=index, **values)


def _to_arrays(structures: Structures) -> list[dict[str, Any]]:
    """Return each structure as NumPy arrays; unknown energies and forces are None."""
    found = []
    for one in structures.to("cpu", torch.float64).split():
        energy = None if one.energy is None else one.energy.item()
        forces = None if one.forces is None else one.forces.detach().numpy()
        found.append(
            {
                "positions": one.positions.detach().numpy(),
                "numbers": one.numbers.numpy(),
                "cell": one.cell[0].detach().numpy(),
                "pbc": one.pbc[0].numpy(),
                "fixed": one.fixed.numpy(),
                "tags": one.tags.numpy(),
                "energy": None if energy is None or np.isnan(energy) else energy,
                "forces": None if forces is None or np.isnan(forces).all() else forces,
            }
        )
    return found
