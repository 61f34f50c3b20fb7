"""Energies of structures less those of their composition, so that no zero of energies matters.

The constants of the species are those of least absolute deviations: a few energies that are far
off do not change those of the others.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.structures.structures import Structures

N_REWEIGHTINGS = 30
"""Number of least-squares fits that approach the least absolute deviations."""

ROUNDING = 1e-12
"""Relative size of the differences of energies that are rounding errors."""


def species_counts(structures: Structures, species_index: Tensor, n_species: int) -> Tensor:
    """Return the number of atoms of each species, `[b, species]`.

    Args:
        structures: b structures of n atoms in total.
        species_index: Species of each atom, `[n]`.
        n_species: Number of species.
    """
    rows = torch.nn.functional.one_hot(species_index, n_species).to(structures.positions)
    counts = rows.new_zeros(len(structures), n_species)
    return counts.index_add(0, structures.index, rows)


def composition_residuals(energy: Tensor, counts: Tensor) -> Tensor:
    """Return energies less those of their composition, by least absolute deviations, `[b]`.

    Args:
        energy: `[b]`, in any unit.
        counts: `[b, species]` numbers of atoms of each species.
    """
    if bool((counts == counts[0]).all()):
        return energy - energy.median()
    weight = torch.ones_like(energy)
    residual = energy
    for _ in range(N_REWEIGHTINGS):
        weighted = counts * weight.unsqueeze(-1)
        normal = torch.linalg.pinv(weighted.T @ weighted, hermitian=True)
        residual = residual - counts @ (normal @ (weighted.T @ (residual * weight)))
        size = residual.abs()
        weight = (size + ROUNDING * energy.abs().max() + 1e-3 * size.median()).rsqrt()
        weight = weight / weight.max()
    return residual
