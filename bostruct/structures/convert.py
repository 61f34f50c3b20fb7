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

from bostruct.errors import InputError, must
from bostruct.structures.elements import SYMBOLS
from bostruct.structures.structures import Structures

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Molecule, Structure

UNKNOWN_RADIUS = 0.2
"""Å. ASE's value for elements whose covalent radius is not known."""


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
        raise InputError(must("numbers", condition, symbol, "Give its radius."))
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
    images = [atoms] if hasattr(atoms, "get_atomic_numbers") else list(atoms)
    parts = []
    for image in images:
        fixed = _fixed(image)
        energy, forces = _results(image)
        parts.append(
            {
                "positions": image.get_positions(),
                "numbers": image.get_atomic_numbers(),
                "cell": np.array(image.cell),
                "pbc": np.array(image.pbc),
                "fixed": fixed,
                "tags": image.get_tags(),
                "energy": energy,
                "forces": forces,
            }
        )
    return _batch(parts, device, dtype)


def to_ase(structures: Structures) -> list[Atoms]:
    """Return each structure as ASE's `Atoms`.

    Known energies and forces go into a `SinglePointCalculator`, fixed atoms into a
    `FixAtoms` constraint.
    """
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.constraints import FixAtoms

    images = []
    for one in _arrays(structures):
        atoms = Atoms(
            numbers=one["numbers"],
            positions=one["positions"],
            cell=one["cell"],
            pbc=one["pbc"],
            tags=one["tags"],
        )
        if one["fixed"].any():
            atoms.set_constraint(FixAtoms(indices=np.flatnonzero(one["fixed"])))
        known = {
            name: one[name] for name in ("energy", "forces") if one[name] is not None
        }
        if known:
            atoms.calc = SinglePointCalculator(atoms, **known)
        images.append(atoms)
    return images


def _fixed(atoms: Atoms) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which atoms are fixed, `[a]`."""
    from ase.constraints import FixAtoms

    fixed = np.zeros(len(atoms), dtype=bool)
    for constraint in atoms.constraints:
        if not isinstance(constraint, FixAtoms):
            name = type(constraint).__name__
            way_out = "Remove it, or fix whole atoms."
            raise InputError(must("constraints", "be FixAtoms", name, way_out))
        fixed[constraint.get_indices()] = True
    return fixed


def _results(atoms: Atoms) -> tuple[float | None, Any]:
    """Return energy and forces that are stored for exactly these atoms."""
    calc = atoms.calc
    results = getattr(calc, "results", None)
    if not results:
        return None, None
    check = getattr(calc, "check_state", None)
    if check is not None and check(atoms):
        return None, None
    return results.get("energy"), results.get("forces")


def _batch(
    parts: Sequence[dict[str, Any]], device: torch.device | str, dtype: torch.dtype
) -> Structures:
    """Return arrays of one structure each as a batch."""
    counts = [len(part["numbers"]) for part in parts]
    if not counts:
        raise InputError(must("atoms", "hold at least one structure", "none"))
    if 0 in counts:
        way_out = f"Structure {counts.index(0)} is empty."
        raise InputError(must("atoms", "have at least one atom each", 0, way_out))

    def tensor(
        arrays: Sequence[Any], kind: torch.dtype, shape: tuple[int, ...]
    ) -> Tensor:
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


def _arrays(structures: Structures) -> list[dict[str, Any]]:
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
