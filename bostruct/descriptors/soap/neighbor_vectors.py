"""Neighbor vectors of a batch, and environments that fixed atoms form among themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.structures import FixedAtoms, Structures, all_pairs, neighbor_table


@final
@dataclass(frozen=True, eq=False)
class FixedEnvironment:
    """Density expansion of fixed atoms in the absence of all others, computed once.

    Features do not depend on its use. Their gradients with respect to the positions of fixed atoms
    lack the contributions of pairs of fixed atoms.

    Attributes:
        fixed_atoms: the g fixed atoms that the structures share.
        expansion: `[g, s, m]`, C before species are mixed.
        features: `[g, f]`, P of fixed atoms without other neighbors.
    """

    fixed_atoms: FixedAtoms
    expansion: Tensor
    features: Tensor

    def fixed_index(self, n_atoms: int) -> Tensor:
        """Return the index of each of n atoms among the g fixed ones, -1 for other atoms."""
        return self.fixed_atoms.fixed_index.repeat(n_atoms // len(self.fixed_atoms.fixed_index))


@final
@dataclass(frozen=True, eq=False)
class NeighborVectors:
    """Padded neighbor table of all atoms.

    Attributes:
        neighbor: `[n, k]`, index of the atom that a neighbor is an image of.
        offset: `[n, k, 3]` Å, lattice translation to the image; None if there are no images.
        mask: `[n, k]`, true for entries that hold a neighbor.
        species_index: `[n]`, index of the species of each atom.
        fixed_environment: environment of fixed atoms, whose pairs are not listed.
    """

    neighbor: Tensor
    offset: Tensor | None
    mask: Tensor
    species_index: Tensor
    fixed_environment: FixedEnvironment | None = None

    @classmethod
    def from_structures(
        cls,
        structures: Structures,
        cutoff: float,
        species_index: Tensor,
        fixed_environment: FixedEnvironment | None = None,
    ) -> NeighborVectors:
        """Return at least all neighbors within the cutoff.

        Args:
            structures: batch with n atoms in total.
            cutoff: cutoff radius, Å.
            species_index: `[n]`, index of the species of each atom.
            fixed_environment: environment of the fixed atoms of these structures.
        """
        dense = all_pairs(structures) if fixed_environment is None else None
        if dense is not None:
            return cls(dense, None, torch.ones_like(dense, dtype=torch.bool), species_index)
        neighbor, shift, mask = neighbor_table(
            structures, cutoff, skip_fixed_pairs=fixed_environment is not None
        )
        cell = structures.cell
        same_cell = bool((cell == cell[:1]).all())
        offset = shift @ (cell[0] if same_cell else cell[structures.index])
        return cls(neighbor, offset, mask, species_index, fixed_environment)

    @property
    def neighbor_species(self) -> Tensor:
        """Species indices of the neighbors, `[n, k]`; -1 for padding."""
        return torch.where(self.mask, self.species_index[self.neighbor], -1)

    def vectors(self, positions: Tensor) -> Tensor:
        """Return the vectors to the neighbors, `[n, k, 3]` Å; zero for padding."""
        vectors = positions[self.neighbor] - positions.unsqueeze(1)
        return vectors if self.offset is None else vectors + self.offset
