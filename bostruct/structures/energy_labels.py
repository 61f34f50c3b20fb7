"""Energy labels: energies and forces that ASE's atoms carry, and the names they carry them under.

A calculator's results are `energy`, `forces` and `stress`. Training sets keep labels in `info` and
`arrays` under names of their own, as `REF_energy`, `REF_forces` and `REF_stress`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from bostruct.errors import InputError, error_message
from bostruct.structures.constrained_forces import mask_constrained_forces

if TYPE_CHECKING:
    from ase import Atoms

ENERGY, FORCES, STRESS = "energy", "forces", "stress"
"""Names of a calculator's results."""

VIRIAL = "virial"
"""Name of minus the stress times the volume."""


@final
@dataclass(frozen=True)
class EnergyLabels:
    """Names under which energies and forces are read.

    Args:
        energy_key: name of the energy in a calculator's results or in `info`, eV; "" reads none. In
            `info` alone, "energy" is not read: it would outlive a change of the positions.
        forces_key: name of the forces in a calculator's results or in `arrays`, eV/Å; "" reads
            none. None takes the name of the energy with "forces" in place of "energy", and
            "forces" for a free energy.
        stress_key: name of the stress in a calculator's results or in `info`, eV/Å³, or of the
            virial, which is minus the stress times the volume, eV, where "virial" is in it; ""
            reads none. None takes the name of the energy with "stress" or "virial" in its place.
    """

    energy_key: str = ENERGY
    forces_key: str | None = None
    stress_key: str | None = None

    def read(self, atoms: Atoms) -> tuple[float | None, Any]:
        """Return the energy and the forces `[a, 3]` of atoms, None where there are none.

        Components of forces that a constraint may have removed are NaN.
        """
        results = _current_results(atoms)
        energy = results.get(self.energy_key)
        if energy is None and self.energy_key != ENERGY:
            energy = atoms.info.get(self.energy_key)
        name = self._resolved_forces_key()
        forces = results.get(name)
        if forces is None and name != FORCES:
            forces = atoms.arrays.get(name)
        if forces is not None and np.shape(forces) == (len(atoms), 3):
            forces = mask_constrained_forces(atoms, forces)
        return energy, forces

    def read_stress(self, atoms: Atoms) -> Any:  # noqa: ANN401  an array
        """Return the stress of atoms as six numbers in Voigt's order, eV/Å³, None without one.

        Raises:
            InputError: it is neither six numbers nor a matrix of 3 x 3.
        """
        results = _current_results(atoms)
        for name in self._stress_keys(is_current=bool(results)):
            stress = results.get(name)
            if stress is None and name != STRESS:
                stress = atoms.info.get(name)
            if stress is not None and (VIRIAL not in name.lower() or atoms.cell.rank == 3):
                return self._six_numbers(name, stress, atoms)
        return None

    def _six_numbers(self, name: str, stress: Any, atoms: Atoms) -> Any:  # noqa: ANN401  an array
        """Return a stress or virial of any shape as a stress in Voigt's order, eV/Å³."""
        array = np.asarray(stress, dtype=np.float64)
        if array.shape not in ((6,), (9,), (3, 3)):
            condition, hint = "be six numbers or 3 x 3", "In eV/Å³, as ASE's calculators give it."
            shape = f"shape {list(array.shape)}"
            raise InputError(error_message(name, condition, shape, hint))
        array = array if array.size == 6 else array.reshape(9)[[0, 4, 8, 5, 2, 1]]
        return -array / atoms.get_volume() if VIRIAL in name.lower() else array

    def unread(self, atoms: Atoms) -> str:
        """Return the name of an energy or of forces that `read` leaves out, "" for none.

        An energy that is read leaves out no other; forces matter only beside an energy.
        """
        if not self.energy_key:
            return ""
        energy, forces = self.read(atoms)
        results = _current_results(atoms)
        if energy is None:
            named = {**results, **atoms.info}
            return next((name for name, x in named.items() if _is_label(name, x, ())), "")
        if forces is not None or self.forces_key == "":
            return ""
        named, shape = {**results, **atoms.arrays}, (len(atoms), 3)
        return next((name for name, x in named.items() if _is_label(name, x, shape)), "")

    def _resolved_forces_key(self) -> str:
        return self._name_beside_energy(FORCES) if self.forces_key is None else self.forces_key

    def _stress_keys(self, is_current: bool) -> list[str]:
        """Return the names of a stress, those of `info` where the energy is known to be of now."""
        if self.stress_key is not None:
            return [self.stress_key]
        kinds = (STRESS, VIRIAL) if is_current or self.energy_key != ENERGY else (STRESS,)
        names = map(self._name_beside_energy, kinds)
        return [name for name in names if name != self.energy_key]

    def _name_beside_energy(self, name: str) -> str:
        """Return the name of the forces or the stress that belong to the energy."""
        if self.energy_key == "free_energy":
            return name
        return self.energy_key.replace("energy", name).replace("Energy", name.capitalize())


def _current_results(atoms: Atoms) -> dict[str, Any]:
    """Return the results that a calculator has stored for exactly these atoms."""
    results = getattr(atoms.calc, "results", None)
    check = getattr(atoms.calc, "check_state", None)
    if not results or (check is not None and check(atoms)):
        return {}
    return dict(results)


def _is_label(name: str, value: object, shape: tuple[int, ...]) -> bool:
    """Return whether a value is an energy (shape ()) or forces by its name and kind."""
    if ("force" if shape else "energy") not in name.lower():
        return False
    array = np.asarray(value)
    if array.dtype.kind not in "fiu" or array.shape != shape:
        return False
    return bool(shape) or math.isfinite(float(array))
