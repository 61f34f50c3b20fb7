"""Who sees whom in a batch, and what fixed atoms see of each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.structures import FixedAtoms, Structures, all_pairs, neighbor_table


@final
@dataclass(frozen=True, eq=False)
class FixedEnvironment:
    """What fixed atoms see of each other, in structures that share them.

    Features with it are those without it. Their slopes with the positions of fixed
    atoms lack what fixed atoms do to each other.

    Attributes:
        fixed_atoms: the g fixed atoms.
        expansion: `[g, s, m]`, C before species mix.
        features: `[g, f]`, P where nothing else is near.
    """

    fixed_atoms: FixedAtoms
    expansion: Tensor
    features: Tensor

    def fixed_index(self, n_atoms: int) -> Tensor:
        """Return which of the g each of n atoms is, -1 for none."""
        return self.fixed_atoms.fixed_index.repeat(n_atoms // len(self.fixed_atoms.fixed_index))


@final
@dataclass(frozen=True, eq=False)
class NeighborVectors:
    """The neighbors of all atoms.

    Attributes:
        neighbor: `[n, k]`, the atom that a neighbor is or is an image of.
        offset: `[n, k, 3]` Å, lattice vectors to the image; None if there are none.
        mask: `[n, k]`, which places are taken.
        species_index: `[n]` species.
        fixed_environment: pairs that it accounts for are not listed.
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
        """Return the neighbors closer than a cut-off in Å, and perhaps others.

        Args:
            structures: n atoms in total.
            cutoff: Å.
            species_index: `[n]` species.
            fixed_environment: of these structures.
        """
        dense = all_pairs(structures) if fixed_environment is None else None
        if dense is not None:
            return cls(dense, None, torch.ones_like(dense, dtype=torch.bool), species_index)
        other, shift, mask = neighbor_table(
            structures, cutoff, skip_fixed_pairs=fixed_environment is not None
        )
        cell = structures.cell
        one = bool((cell == cell[:1]).all())
        offset = shift @ (cell[0] if one else cell[structures.index])
        return cls(other, offset, mask, species_index, fixed_environment)

    @property
    def neighbor_species(self) -> Tensor:
        """The species of the neighbors, `[n, k]`; -1 for none."""
        return torch.where(self.mask, self.species_index[self.neighbor], -1)

    def vectors(self, positions: Tensor) -> Tensor:
        """Return the vectors to the neighbors, `[n, k, 3]` Å; of none: zero."""
        vectors = positions[self.neighbor] - positions.unsqueeze(1)
        return vectors if self.offset is None else vectors + self.offset
