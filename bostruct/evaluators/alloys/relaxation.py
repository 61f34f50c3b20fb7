"""Relaxation of a crystal, and the check whether it can be computed at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, final

import numpy as np

from bostruct.errors import InputError, ShapeError, error_message
from bostruct.structures import Structures, covalent_radii, to_ase

if TYPE_CHECKING:
    from ase import Atoms

Relaxation = Literal["hydrostatic", "cell"]

FMAX_SAFETY_FACTOR = 0.8
"""Fraction of the force tolerance handed to the optimizer. ASE's cell filter measures forces in
the axes of the initial cell; in a cell whose shape has changed they are some per cent larger."""


@final
@dataclass(frozen=True)
class RelaxedCrystal:
    """Final state of a relaxation.

    Attributes:
        energy: Energy of the cell, eV.
        max_force: Largest force on an atom, eV/Å.
        residual_pressure: Largest stress that the relaxation was to remove, GPa.
        n_steps: Number of optimizer steps.
        reason: Explanation why the crystal is not relaxed; empty where it is.
    """

    energy: float
    max_force: float
    residual_pressure: float
    n_steps: int
    reason: str


def validated_crystal(structures: Structures, min_distance_factor: float) -> Atoms:
    """Return the one crystal in a batch, with no atom on a face of its cell.

    Args:
        structures: Exactly one structure, periodic in three directions.
        min_distance_factor: Least distance of two atoms, in sums of their covalent radii.

    Raises:
        ShapeError: there is not exactly one structure, or it is empty.
        InputError: it is no crystal, has fixed atoms, or atoms overlap.
    """
    if len(structures) != 1:
        condition = "hold exactly one structure"
        raise ShapeError(error_message("structures", condition, len(structures)))
    if len(structures.positions) == 0:
        raise ShapeError(error_message("structures", "have atoms", "an empty structure"))
    if not bool(structures.pbc.all()):
        condition, pbc = "be periodic in three directions", structures.pbc[0].tolist()
        way_out = "Moduli and densities are of crystals."
        raise InputError(error_message("structures", condition, pbc, way_out))
    if n_fixed := int(structures.fixed.sum()):
        way_out = "The properties are those of the relaxed crystal: remove the constraint."
        raise InputError(error_message("structures", "have no fixed atoms", n_fixed, way_out))
    _check_min_distance(structures, min_distance_factor)
    return move_off_cell_faces(to_ase(structures.without_results())[0])


def _check_min_distance(structures: Structures, min_distance_factor: float) -> None:
    from ase.neighborlist import neighbor_list

    atoms = to_ase(structures)[0]
    radii = covalent_radii(structures.numbers).numpy()
    i, j, d = neighbor_list("ijd", atoms, list(min_distance_factor * radii))
    if len(d) == 0:
        return
    k = int(np.argmin(d))
    pair = f"{atoms.symbols[i[k]]} and {atoms.symbols[j[k]]} at {d[k]:.2f} Å"
    condition = f"keep atoms {min_distance_factor:g} of the sum of their covalent radii apart"
    raise InputError(error_message("structures", condition, pair))


def move_off_cell_faces(atoms: Atoms) -> Atoms:
    """Return a crystal whose atoms are as far from the faces of the cell as can be.

    An atom exactly on a face is on one side or the other by the last bit of its coordinate, and
    changes sides as the cell is strained. Calculators have lost such atoms or counted them twice.
    Moving the origin into the middle of the widest empty slab, along each vector, changes nothing
    else.
    """
    moved = atoms.copy()
    moved.set_constraint()
    fractions = moved.get_scaled_positions(wrap=True)  # [n, 3]
    ordered = np.sort(fractions, axis=0)
    gaps = np.diff(np.vstack([ordered, ordered[:1] + 1]), axis=0)  # [n, 3]
    # Equal gaps differ by rounding; the first of them is taken everywhere.
    widest = np.argmax(gaps > gaps.max(axis=0) - 1e-6, axis=0)  # [3]
    axes = np.arange(3)
    middle = ordered[widest, axes] + gaps[widest, axes] / 2
    moved.set_scaled_positions((fractions - middle) % 1.0)
    return moved


def relax_crystal(
    atoms: Atoms, relaxation: Relaxation, fmax: float, max_steps: int
) -> RelaxedCrystal:
    """Relax a crystal that has a calculator, in place.

    Args:
        atoms: Crystal to be changed: its positions, and the volume or all cell vectors.
        relaxation: "hydrostatic" keeps the cell's shape, "cell" does not.
        fmax: Tolerance of the force on an atom and of the virial per atom, eV/Å.
        max_steps: Largest number of steps of ASE's BFGS.
    """
    from ase.filters import UnitCellFilter
    from ase.optimize import BFGS
    from ase.units import GPa

    hydrostatic = relaxation == "hydrostatic"
    optimizer = BFGS(UnitCellFilter(atoms, hydrostatic_strain=hydrostatic), logfile=None)
    optimizer.run(fmax=FMAX_SAFETY_FACTOR * fmax, steps=max_steps)
    max_force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    stress = atoms.get_stress()
    pressure = abs(float(stress[:3].mean())) if hydrostatic else float(np.abs(stress).max())
    virial = pressure * atoms.get_volume() / len(atoms)
    reason = ""
    # Not the optimizer's own verdict; NaN is not converged either.
    if not (max_force <= 1.01 * fmax and virial <= 1.01 * fmax):
        reason = (
            f"the relaxation ended after {optimizer.nsteps} steps with {max_force:.3g} eV/Å "
            f"on an atom and {pressure / GPa:.3g} GPa"
        )
    energy = float(atoms.get_potential_energy())
    return RelaxedCrystal(energy, max_force, pressure / GPa, optimizer.nsteps, reason)


def relax_ions(atoms: Atoms, fmax: float, max_steps: int) -> str:
    """Relax the atoms of a fixed cell, in place; return why they did not converge, or ""."""
    from ase.optimize import BFGS

    BFGS(atoms, logfile=None).run(fmax=fmax, steps=max_steps)
    max_force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    if max_force <= 1.01 * fmax:
        return ""
    return f"atoms of a strained cell are left with {max_force:.3g} eV/Å"


def apply_strain(atoms: Atoms, strain: np.ndarray) -> Atoms:
    """Return a crystal under a strain `[3, 3]`, with the same calculator."""
    strained = atoms.copy()
    strained.set_cell(np.asarray(atoms.cell) @ (np.eye(3) + strain).T, scale_atoms=True)
    strained.calc = atoms.calc
    return strained
