"""Neighbor vectors of a batch, and environments that fixed atoms form among themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.structures import (
    FixedAtoms,
    Structures,
    all_pairs,
    changed_neighbor_table,
    neighbor_table,
)


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
class LatticeShifts:
    """Whole lattice vectors to the neighbors, for gradients by the cell.

    Attributes:
        shift: `[r, k, 3]`, whole lattice vectors from the atom to its image.
        index: `[r]`, structure of each row.
        n_structures: number b of structures.
    """

    shift: Tensor
    index: Tensor
    n_structures: int

    def cell_gradient(self, by_vector: Tensor) -> Tensor:
        """Return the gradient by the lattice vectors, `[b, 3, 3]`.

        Args:
            by_vector: `[r, k, 3]`, gradient by the vectors to the neighbors.
        """
        rows = self.shift.mT @ by_vector  # [r, 3, 3]
        return rows.new_zeros(self.n_structures, 3, 3).index_add(0, self.index, rows)


@final
@dataclass(frozen=True, eq=False)
class NeighborVectors:
    """Padded neighbor table with a row for each of r atoms, by default for all.

    Attributes:
        neighbor: `[r, k]`, index of the atom that a neighbor is an image of.
        offset: `[r, k, 3]` Å, lattice translation to the image, differentiable in the cell; None if
            there are no images.
        mask: `[r, k]`, true for entries that hold a neighbor.
        species_index: `[n]`, index of the species of each atom.
        fixed_environment: environment of fixed atoms, whose pairs are not listed.
        center: `[r]`, index of the atom of each row; None if all atoms have one.
        shifts: Whole lattice vectors to the neighbors, where the cell requires a gradient; or None.
    """

    neighbor: Tensor
    offset: Tensor | None
    mask: Tensor
    species_index: Tensor
    fixed_environment: FixedEnvironment | None = None
    center: Tensor | None = None
    shifts: LatticeShifts | None = None

    @classmethod
    def from_structures(
        cls,
        structures: Structures,
        cutoff: float,
        species_index: Tensor,
        fixed_environment: FixedEnvironment | None = None,
        *,
        changed_only: bool = False,
    ) -> NeighborVectors:
        """Return at least all neighbors within the cutoff.

        Args:
            structures: batch with n atoms in total.
            cutoff: cutoff radius, Å.
            species_index: `[n]`, index of the species of each atom.
            fixed_environment: environment of the fixed atoms of these structures.
            changed_only: True to leave out the rows of fixed atoms without other neighbors.
        """
        dense = all_pairs(structures) if fixed_environment is None else None
        if dense is not None:
            return cls(dense, None, torch.ones_like(dense, dtype=torch.bool), species_index)
        center, index = None, structures.index
        if changed_only and fixed_environment is not None:
            center, neighbor, shift, mask = changed_neighbor_table(structures, cutoff)
            index = index[center]
        else:
            neighbor, shift, mask = neighbor_table(
                structures, cutoff, skip_fixed_pairs=fixed_environment is not None
            )
        cell, shifts = structures.cell, None
        if cell.requires_grad:
            shifts = LatticeShifts(shift, index, len(structures))
        same_cell = shifts is None and bool((cell == cell[:1]).all())
        offset = shift @ (cell[0] if same_cell else cell[index])
        return cls(neighbor, offset, mask, species_index, fixed_environment, center, shifts)

    @property
    def neighbor_species(self) -> Tensor:
        """Species indices of the neighbors, `[r, k]`; -1 for padding."""
        return torch.where(self.mask, self.species_index[self.neighbor], -1)

    @property
    def center_species(self) -> Tensor:
        """Species indices of the atoms with a row, `[r]`."""
        return self.species_index if self.center is None else self.species_index[self.center]

    def center_fixed_index(self) -> Tensor:
        """Return the index of each row's atom among the fixed ones, `[r]`; -1 for others."""
        n = len(self.species_index)
        if self.fixed_environment is None:
            return self.species_index.new_full((len(self.neighbor),), -1)
        fixed_index = self.fixed_environment.fixed_index(n)
        return fixed_index if self.center is None else fixed_index[self.center]

    def vectors(self, positions: Tensor) -> Tensor:
        """Return the vectors to the neighbors, `[r, k, 3]` Å; zero for padding."""
        centers = positions if self.center is None else positions[self.center]
        vectors = positions[self.neighbor] - centers.unsqueeze(1)
        return vectors if self.offset is None else vectors + self.offset
