"""Who sees whom in a batch, and what fixed atoms see of each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.structures import Ground, Structures, all_pairs, table


@final
@dataclass(frozen=True, eq=False)
class Base:
    """What fixed atoms see of each other, in structures that share them.

    Features with it are those without it. Their slopes with the positions of fixed
    atoms lack what fixed atoms do to each other.

    Attributes:
        ground: the g fixed atoms.
        expansion: `[g, s, m]`, C before species mix.
        features: `[g, f]`, P where nothing else is near.
    """

    ground: Ground
    expansion: Tensor
    features: Tensor

    def rows(self, n: int) -> Tensor:
        """Return which of the g each of n atoms is, -1 for none."""
        return self.ground.rows.repeat(n // len(self.ground.rows))


@final
@dataclass(frozen=True, eq=False)
class Near:
    """The neighbors of all atoms.

    Attributes:
        other: `[n, k]`, the atom that a neighbor is or is an image of.
        offset: `[n, k, 3]` Å, lattice vectors to the image; None if there are none.
        mask: `[n, k]`, which places are taken.
        place: `[n]` species.
        base: pairs that it accounts for are not listed.
    """

    other: Tensor
    offset: Tensor | None
    mask: Tensor
    place: Tensor
    base: Base | None = None

    @classmethod
    def of(
        cls,
        structures: Structures,
        cutoff: float,
        place: Tensor,
        base: Base | None = None,
    ) -> Near:
        """Return the neighbors closer than a cut-off in Å, and perhaps others.

        Args:
            structures: n atoms in total.
            cutoff: Å.
            place: `[n]` species.
            base: of these structures.
        """
        dense = all_pairs(structures) if base is None else None
        if dense is not None:
            return cls(dense, None, torch.ones_like(dense, dtype=torch.bool), place)
        other, shift, mask = table(structures, cutoff, frozen=base is not None)
        cell = structures.cell
        one = bool((cell == cell[:1]).all())
        offset = shift @ (cell[0] if one else cell[structures.index])
        return cls(other, offset, mask, place, base)

    @property
    def kind(self) -> Tensor:
        """The species of the neighbors, `[n, k]`; -1 for none."""
        return torch.where(self.mask, self.place[self.other], -1)

    def vectors(self, positions: Tensor) -> Tensor:
        """Return the vectors to the neighbors, `[n, k, 3]` Å; of none: zero."""
        vectors = positions[self.other] - positions.unsqueeze(1)
        return vectors if self.offset is None else vectors + self.offset
