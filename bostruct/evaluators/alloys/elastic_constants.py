"""Elastic constants by finite strains, and the moduli derived from them.

Notation
    C     [6, 6]  eV/Å³  stiffness, Voigt order xx yy zz yz xz xy as in ASE
    e     [6]     1      strain; the last three are twice the tensor's components

C is the slope of the stress, by central differences at +-`STRAIN_AMPLITUDE`. Cubic crystals need
two strains. For others, the nearest cubic stiffness is (Moakher and Norris, J. Elasticity 85, 215
(2006), doi:10.1007/s10659-006-9082-0)

    C11 = (C11 + C22 + C33) / 3
    C12 = (C12 + C13 + C23) / 3
    C44 = (C44 + C55 + C66) / 3

in the axes of the coordinates, which must then be those of the parent's cube.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, final

import numpy as np

from bostruct.evaluators.alloys.relaxation import apply_strain, relax_ions
from bostruct.structures.convert import suppress_spglib_warnings
from bostruct.structures.strain import VOIGT

if TYPE_CHECKING:
    from ase import Atoms

Symmetry = Literal["cubic", "average"]

STRAIN_AMPLITUDE = 0.005
SYMPREC = 0.01
"""Distance of an atom from a symmetric position that spglib tolerates, Å."""

LAST_SPACE_GROUPS = {
    "triclinic": 2,
    "monoclinic": 15,
    "orthorhombic": 74,
    "tetragonal": 142,
    "trigonal": 167,
    "hexagonal": 194,
    "cubic": 230,
}
"""Last space-group number of each crystal system."""


@final
@dataclass(frozen=True)
class ElasticConstants:
    """Cubic elastic constants, eV/Å³; NaN where there are none.

    Attributes:
        c11: Stiffness along an edge of the cube.
        c12: Stress along one edge per strain along another.
        c44: Stiffness against shear in a face.
        symmetry_error: Largest deviation of C from a symmetric matrix, or from cubic symmetry.
        nonlinearity: Largest part of the stress that is even in the strain, over the strain:
            opposite strains have opposite stresses, up to third-order elasticity.
        reason: Explanation why there are no constants; empty where there are.
    """

    c11: float = np.nan
    c12: float = np.nan
    c44: float = np.nan
    symmetry_error: float = np.nan
    nonlinearity: float = 0.0
    reason: str = ""

    @property
    def bulk_modulus(self) -> float:
        """The bulk modulus (C11 + 2 C12) / 3."""
        return (self.c11 + 2 * self.c12) / 3

    @property
    def shear_modulus(self) -> float:
        """The shear modulus of a polycrystal: Hill's mean of Voigt's and Reuss'.

        R. Hill, Proc. Phys. Soc. A 65, 349 (1952), doi:10.1088/0370-1298/65/5/307.
        """
        difference = self.c11 - self.c12
        voigt = (difference + 3 * self.c44) / 5
        reuss = 5 * difference * self.c44 / (4 * self.c44 + 3 * difference)
        return (voigt + reuss) / 2

    @property
    def violated_born_criteria(self) -> str:
        """Born's stability conditions that the crystal violates; empty where it is stable."""
        conditions = {
            "C11 > C12": self.c11 > self.c12,
            "C11 + 2 C12 > 0": self.bulk_modulus > 0,
            "C44 > 0": self.c44 > 0,
        }
        return ", ".join(name for name, holds in conditions.items() if not holds)


def compute_elastic_constants(
    atoms: Atoms, symmetry: Symmetry, *, ion_fmax: float | None = None, max_steps: int = 0
) -> ElasticConstants:
    """Return the cubic elastic constants of a crystal.

    Args:
        atoms: Relaxed crystal with a calculator that has stresses; not changed.
        symmetry: Treatment of a crystal that is not cubic: "cubic" returns a reason, "average" the
            nearest cubic stiffness.
        ion_fmax: Force tolerance of the relaxation of the ions in each strained cell, eV/Å; None
            keeps their fractional coordinates.
        max_steps: Largest number of steps of that relaxation.
    """
    system, rotation = crystal_system_and_rotation(atoms)
    is_cubic = rotation is not None
    if rotation is None and symmetry == "cubic":
        return ElasticConstants(
            reason=f"the crystal is {system}, not cubic; elastic='average' gives the "
            "nearest cubic constants"
        )
    rotated = atoms
    if rotation is not None:
        rotated = atoms.copy()
        rotated.set_cell(np.asarray(atoms.cell) @ rotation.T, scale_atoms=True)
        rotated.calc = atoms.calc
    unstrained_stress = rotated.get_stress()
    columns, nonlinearity = {}, 0.0
    for voigt_index in (0, 3) if is_cubic else range(6):
        stresses = _stresses_under_strain(rotated, voigt_index, ion_fmax, max_steps)
        if isinstance(stresses, str):
            return ElasticConstants(reason=stresses)
        columns[voigt_index] = (stresses[1] - stresses[0]) / (2 * STRAIN_AMPLITUDE)
        even = stresses.mean(axis=0) - unstrained_stress
        nonlinearity = max(nonlinearity, float(np.abs(even).max()) / STRAIN_AMPLITUDE)
    constants = (
        _cubic_constants(columns[0], columns[3]) if is_cubic else _nearest_cubic_constants(columns)
    )
    return replace(constants, nonlinearity=nonlinearity)


def crystal_system_and_rotation(atoms: Atoms) -> tuple[str, np.ndarray | None]:
    """Return the crystal system, and the rotation `[3, 3]` to a cube's axes if it is cubic."""
    import spglib

    positions, numbers = atoms.get_scaled_positions(), atoms.get_atomic_numbers()
    cell = (atoms.cell.tolist(), positions.tolist(), numbers.tolist())
    symmetry = None
    with suppress_spglib_warnings(), suppress(spglib.SpglibError):
        symmetry = spglib.get_symmetry_dataset(cell, symprec=SYMPREC)
    if symmetry is None:
        return "of unknown symmetry", None
    system = next(name for name, last in LAST_SPACE_GROUPS.items() if symmetry.number <= last)
    return system, np.asarray(symmetry.std_rotation_matrix) if system == "cubic" else None


def _stresses_under_strain(
    atoms: Atoms, voigt_index: int, ion_fmax: float | None, max_steps: int
) -> np.ndarray | str:
    """Return the stresses under two opposite strains, `[2, 6]` eV/Å³, or why there are none."""
    row, column = VOIGT[voigt_index]
    stresses = []
    for sign in (-1, 1):
        strain = np.zeros((3, 3))
        # One normal component of e, or two halves of a shear one.
        strain[row, column] += sign * STRAIN_AMPLITUDE / 2
        strain[column, row] += sign * STRAIN_AMPLITUDE / 2
        strained = apply_strain(atoms, strain)
        if ion_fmax is not None and (reason := relax_ions(strained, ion_fmax, max_steps)):
            return reason
        stresses.append(strained.get_stress())
    return np.stack(stresses) if np.isfinite(stresses).all() else "a stress is not finite"


def _cubic_constants(column_xx: np.ndarray, column_yz: np.ndarray) -> ElasticConstants:
    """Return the constants from the columns of e_xx and e_yz."""
    zeros = [abs(column_xx[1] - column_xx[2]), *np.abs(column_xx[3:])]
    zeros += [*np.abs(column_yz[:3]), *np.abs(column_yz[4:])]
    c12 = (column_xx[1] + column_xx[2]) / 2
    return ElasticConstants(float(column_xx[0]), float(c12), float(column_yz[3]), float(max(zeros)))


def _nearest_cubic_constants(columns: dict[int, np.ndarray]) -> ElasticConstants:
    """Return the cubic constants nearest to a full stiffness matrix."""
    stiffness = np.stack([columns[i] for i in range(6)], axis=1)
    error = float(np.abs(stiffness - stiffness.T).max())
    symmetric = (stiffness + stiffness.T) / 2
    diagonal = np.diagonal(symmetric)
    c12 = (symmetric[0, 1] + symmetric[0, 2] + symmetric[1, 2]) / 3
    return ElasticConstants(
        float(diagonal[:3].mean()), float(c12), float(diagonal[3:].mean()), error
    )
