"""EMT energies of alloys whose atoms stay on lattice sites while the volume relaxes.

Effective medium theory: Jacobsen, Stoltze and Nørskov, Surf. Sci. 366, 394 (1996).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, final

import numpy as np

from bostruct.bench.single_objective.named_tasks import emt
from bostruct.evaluators import Evaluation
from bostruct.evaluators.alloys.convex_hull import MIXING_ENTHALPY
from bostruct.structures import Structures, to_ase

if TYPE_CHECKING:
    from ase import Atoms

STRAIN_STEP = 0.015
"""Strain of the lengths between the points of a parabola."""

N_PARABOLA_FITS = 3
"""Number of parabolas, each around the minimum of the one before."""


@final
class RigidLatticeEMT:
    """Mixing enthalpy of a crystal whose atoms stay on their lattice sites.

    An evaluation takes nine energies. EMT is a model potential, not data on real alloys.
    """

    def __call__(self, structures: Structures) -> Evaluation:
        """Return the energy at the best volume, and the mixing enthalpy per atom."""
        atoms = to_ase(structures)[0]
        energy = energy_at_best_volume(atoms)
        elements = sum(_element_energy(symbol) for symbol in atoms.get_chemical_symbols())
        return Evaluation(energy, properties={MIXING_ENTHALPY: (energy - elements) / len(atoms)})

    def description(self) -> dict[str, Any]:
        """Return the name and the constants that identify the evaluator, as JSON values."""
        return {
            "type": "RigidLatticeEMT",
            "calculator": "EMT",
            "strain_step": STRAIN_STEP,
            "n_parabola_fits": N_PARABOLA_FITS,
        }


def energy_at_best_volume(atoms: Atoms) -> float:
    """Return the energy at the best volume, eV; `atoms` is scaled to it."""
    atoms.calc = emt()
    strains = np.array([-STRAIN_STEP, 0.0, STRAIN_STEP])
    energy = 0.0
    for _ in range(N_PARABOLA_FITS):
        cell = atoms.cell.array.copy()
        energies = []
        for strain in strains:
            atoms.set_cell(cell * (1 + strain), scale_atoms=True)
            energies.append(float(atoms.get_potential_energy()))
        a, b, c = np.polyfit(strains, energies, 2)
        best = float(np.clip(-b / (2 * a) if a > 0 else -b, -0.05, 0.05))
        atoms.set_cell(cell * (1 + best), scale_atoms=True)
        energy = float(np.polyval((a, b, c), best))
    return energy


@cache
def _element_energy(symbol: str) -> float:
    """Return the energy of an atom in the fcc crystal of an element, eV."""
    from ase.build import bulk

    return energy_at_best_volume(bulk(symbol, "fcc", cubic=True)) / 4
