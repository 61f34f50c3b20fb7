"""The fixed atoms that all structures of a batch share.

What they do to each other is the same in all of them, however the others move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.structures.structures import Structures


@final
@dataclass(frozen=True, eq=False)
class FixedAtoms:
    """Fixed atoms that stand in the same places in every structure.

    Attributes:
        atoms: these g atoms alone, one structure.
        fixed_index: `[a]` int64, which of them each atom of a structure is, -1 for none.
    """

    atoms: Structures
    fixed_index: Tensor

    def is_identical(self, other: FixedAtoms) -> bool:
        """Return whether both are one, to the last bit."""
        one, two = (
            (x.fixed_index, x.atoms.positions, x.atoms.numbers, x.atoms.cell, x.atoms.pbc)
            for x in (self, other)
        )
        alike = [a.dtype == b.dtype and a.device == b.device for a, b in zip(one, two, strict=True)]
        return all(alike) and all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def shared_fixed_atoms(structures: Structures) -> FixedAtoms | None:
    """Return the fixed atoms that the structures share.

    None where they have none, or do not agree on which and where these are, or in which cell.
    """
    b, n = len(structures), len(structures.numbers)
    a = n // b if b else 0
    if not a or a * b != n or not bool(structures.fixed.any()):
        return None
    index = structures.index.view(b, a)
    fixed = structures.fixed.view(b, a)
    numbers = structures.numbers.view(b, a)
    cell, pbc = structures.cell.detach(), structures.pbc
    each = (index[:, :1], fixed[:1], numbers[:1], cell[:1], pbc[:1])
    batch = (index, fixed, numbers, cell, pbc)
    if not all(bool((x == y).all()) for x, y in zip(batch, each, strict=True)):
        return None
    which = fixed[0]
    P = structures.positions.detach().view(b, a, 3)[:, which]
    if not bool((P[:1] == P).all()):
        return None
    g = P.shape[1]
    rows = torch.where(which, which.cumsum(0) - 1, -1)
    atoms = Structures.unchecked(
        positions=P[0].clone(),
        numbers=numbers[0, which],
        cell=cell[:1].clone(),
        pbc=pbc[:1].clone(),
        index=torch.zeros(g, dtype=torch.int64, device=P.device),
        fixed=torch.ones(g, dtype=torch.bool, device=P.device),
        tags=structures.tags.view(b, a)[0, which],
    )
    return FixedAtoms(atoms, rows)
