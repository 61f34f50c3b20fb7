"""A cheap evaluator of alloys on a lattice: EMT, and nothing but the volume relaxes."""

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
"""Of lengths, between the energies of a parabola."""

N_PARABOLA_FITS = 3
"""Parabolas, each around the lowest point of the one before."""


@final
class RigidLatticeEMT:
    """The mixing enthalpy of a crystal whose atoms stay on their sites.

    Nine energies an evaluation. EMT is a model landscape, not data on real alloys.
    """

    def __call__(self, structures: Structures) -> Evaluation:
        """Return the energy at the best volume, and the mixing enthalpy per atom."""
        atoms = to_ase(structures)[0]
        energy = energy_at_best_volume(atoms)
        alone = sum(_element_energy(symbol) for symbol in atoms.get_chemical_symbols())
        heat = (energy - alone) / len(atoms)
        return Evaluation(energy, properties={MIXING_ENTHALPY: heat})

    def description(self) -> dict[str, Any]:
        """Return what identifies it, as JSON values."""
        return {
            "type": "RigidLatticeEMT",
            "calculator": "EMT",
            "numbers": [STRAIN_STEP, N_PARABOLA_FITS],
        }


def energy_at_best_volume(atoms: Atoms) -> float:
    """Return the energy at the best volume, eV; the atoms are scaled on the way."""
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
