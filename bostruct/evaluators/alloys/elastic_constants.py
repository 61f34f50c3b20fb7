"""Elastic constants by finite strains, and what is made of them.

Notation
    C     [6, 6]  eV/Å³  stiffness, Voigt order xx yy zz yz xz xy as in ASE
    e     [6]     1      strain; the last three are twice the tensor's components

C is the slope of the stress, by central differences at +-`STRAIN`. Cubic crystals need
two strains. For others, the nearest cubic stiffness is (Moakher and Norris, J.
Elasticity 85, 215 (2006), doi:10.1007/s10659-006-9082-0)

    C11 = (C11 + C22 + C33) / 3
    C12 = (C12 + C13 + C23) / 3
    C44 = (C44 + C55 + C66) / 3

in the axes of the coordinates, which must then be those of the parent's cube.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, final

import numpy as np

from bostruct.evaluators.alloys.relaxation import apply_strain, relax_ions

if TYPE_CHECKING:
    from ase import Atoms

Symmetry = Literal["cubic", "average"]

STRAIN_AMPLITUDE = 0.005
SYMPREC = 0.01
"""Å. How far atoms may be from a symmetric place."""

FIRST_CUBIC_SPACE_GROUP = 195
"""Space groups from this number on are cubic."""

VOIGT_INDICES = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@final
@dataclass(frozen=True)
class ElasticConstants:
    """Cubic elastic constants, eV/Å³; NaN where there are none.

    Attributes:
        c11: Stiffness along an edge of the cube.
        c12: Stress across the edge.
        c44: Stiffness against shear in a face.
        symmetry_error: Largest violation of what symmetry demands, that C is symmetric or that
            of a cube.
        nonlinearity: Largest part of the stress that is even in the strain, over the strain:
            opposite strains have opposite stresses, up to third-order elasticity.
        reason: Why there are none; nothing where there are.
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
        across = self.c11 - self.c12
        voigt = (across + 3 * self.c44) / 5
        reuss = 5 * across * self.c44 / (4 * self.c44 + 3 * across)
        return (voigt + reuss) / 2

    @property
    def violated_born_criteria(self) -> str:
        """Which of Born's conditions a crystal violates; nothing where it is stable."""
        conditions = {
            "C11 > C12": self.c11 > self.c12,
            "C11 + 2 C12 > 0": self.bulk_modulus > 0,
            "C44 > 0": self.c44 > 0,
        }
        return ", ".join(name for name, holds in conditions.items() if not holds)


def compute_elastic_constants(
    atoms: Atoms,
    symmetry: Symmetry,
    *,
    ion_fmax: float | None = None,
    max_steps: int = 0,
) -> ElasticConstants:
    """Return the cubic elastic constants of a crystal.

    Args:
        atoms: With a calculator that has stresses, at rest; not changed.
        symmetry: What to do with a crystal that is not cubic: "cubic" gives a reason,
            "average" the nearest cubic stiffness.
        ion_fmax: Where atoms are to come to rest in each strained cell, what may be left
            on one, eV/Å; None keeps their fractional coordinates.
        max_steps: Most steps for it.
    """
    system, rotation = crystal_system_and_rotation(atoms)
    cubic = rotation is not None
    if rotation is None and symmetry == "cubic":
        return ElasticConstants(
            reason=f"the crystal is {system}, not cubic; elastic='average' gives the "
            "nearest cubic constants"
        )
    turned = atoms
    if rotation is not None:
        turned = atoms.copy()
        turned.set_cell(np.asarray(atoms.cell) @ rotation.T, scale_atoms=True)
        turned.calc = atoms.calc
    rest = turned.get_stress()
    columns, bend = {}, 0.0
    for which in (0, 3) if cubic else range(6):
        stresses = _stresses_under_strain(turned, which, ion_fmax, max_steps)
        if isinstance(stresses, str):
            return ElasticConstants(reason=stresses)
        columns[which] = (stresses[1] - stresses[0]) / (2 * STRAIN_AMPLITUDE)
        even = stresses.mean(axis=0) - rest
        bend = max(bend, float(np.abs(even).max()) / STRAIN_AMPLITUDE)
    found = _cubic_constants(columns[0], columns[3]) if cubic else _nearest_cubic_constants(columns)
    return replace(found, nonlinearity=bend)


def crystal_system_and_rotation(atoms: Atoms) -> tuple[str, np.ndarray | None]:
    """Return the crystal system, and the rotation `[3, 3]` to a cube's axes if any."""
    import spglib

    places, numbers = atoms.get_scaled_positions(), atoms.get_atomic_numbers()
    cell = (atoms.cell.tolist(), places.tolist(), numbers.tolist())
    with warnings.catch_warnings():
        # That spglib will raise some day where it returns None today.
        warnings.simplefilter("ignore", DeprecationWarning)
        found = spglib.get_symmetry_dataset(cell, symprec=SYMPREC)
    if found is None:
        return "of unknown symmetry", None
    limits = {2: "triclinic", 15: "monoclinic", 74: "orthorhombic", 142: "tetragonal"}
    limits |= {167: "trigonal", 194: "hexagonal", 230: "cubic"}
    system = next(name for last, name in limits.items() if found.number <= last)
    if found.number < FIRST_CUBIC_SPACE_GROUP:
        return system, None
    return system, np.asarray(found.std_rotation_matrix)


def _stresses_under_strain(
    atoms: Atoms, voigt_index: int, ion_fmax: float | None, max_steps: int
) -> np.ndarray | str:
    """Return the stresses of two opposite strains, `[2, 6]` eV/Å³, or why not."""
    row, column = VOIGT_INDICES[voigt_index]
    stresses = []
    for sign in (-1, 1):
        strain = np.zeros((3, 3))
        # One normal component of e, or two halves of a shear one.
        strain[row, column] += sign * STRAIN_AMPLITUDE / 2
        strain[column, row] += sign * STRAIN_AMPLITUDE / 2
        moved = apply_strain(atoms, strain)
        if ion_fmax is not None and (reason := relax_ions(moved, ion_fmax, max_steps)):
            return reason
        stresses.append(moved.get_stress())
    found = np.stack(stresses)
    return found if np.isfinite(found).all() else "a stress is not finite"


def _cubic_constants(first: np.ndarray, fourth: np.ndarray) -> ElasticConstants:
    """Return the constants from the columns of e_xx and e_yz."""
    zeros = [abs(first[1] - first[2]), *np.abs(first[3:])]
    zeros += [*np.abs(fourth[:3]), *np.abs(fourth[4:])]
    middle = (first[1] + first[2]) / 2
    return ElasticConstants(float(first[0]), float(middle), float(fourth[3]), float(max(zeros)))


def _nearest_cubic_constants(columns: dict[int, np.ndarray]) -> ElasticConstants:
    """Return the cubic constants nearest to a whole stiffness."""
    whole = np.stack([columns[which] for which in range(6)], axis=1)
    error = float(np.abs(whole - whole.T).max())
    even = (whole + whole.T) / 2
    diagonal = np.diagonal(even)
    across = (even[0, 1] + even[0, 2] + even[1, 2]) / 3
    return ElasticConstants(
        float(diagonal[:3].mean()), float(across), float(diagonal[3:].mean()), error
    )
