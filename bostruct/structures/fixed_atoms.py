"""Fixed atoms that all structures of a batch share.

Their interactions with each other are the same in all structures, wherever the other atoms are.
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
    """Fixed atoms that have the same positions in every structure.

    Attributes:
        atoms: the g fixed atoms alone, one structure.
        fixed_index: `[a]` int64, index of each atom of a structure among the g fixed ones, -1 for
            others.
    """

    atoms: Structures
    fixed_index: Tensor

    def is_identical(self, other: FixedAtoms) -> bool:
        """Return whether both have bitwise equal tensors."""
        names = ("positions", "numbers", "cell", "pbc")
        pairs = [(getattr(self.atoms, name), getattr(other.atoms, name)) for name in names]
        return all(
            a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
            for a, b in [(self.fixed_index, other.fixed_index), *pairs]
        )


def shared_fixed_atoms(structures: Structures) -> FixedAtoms | None:
    """Return the fixed atoms that the structures share.

    None where there are none, or their indices, positions or cells differ between structures, or
    the cell requires a gradient, since it moves them.
    """
    if structures.cell.requires_grad:
        return None
    b, n = len(structures), len(structures.numbers)
    a = n // b if b else 0
    if not a or a * b != n or not bool(structures.fixed.any()):
        return None
    index = structures.index.view(b, a)
    fixed = structures.fixed.view(b, a)
    numbers = structures.numbers.view(b, a)
    cell, pbc = structures.cell.detach(), structures.pbc
    same_in_all = all(bool((x == x[:1]).all()) for x in (fixed, numbers, cell, pbc))
    if not same_in_all or not bool((index == index[:, :1]).all()):
        return None
    mask = fixed[0]
    P = structures.positions.detach().view(b, a, 3)[:, mask]
    if not bool((P[:1] == P).all()):
        return None
    g = P.shape[1]
    fixed_index = torch.where(mask, mask.cumsum(0) - 1, -1)
    atoms = Structures.unchecked(
        positions=P[0].clone(),
        numbers=numbers[0, mask],
        cell=cell[:1].clone(),
        pbc=pbc[:1].clone(),
        index=torch.zeros(g, dtype=torch.int64, device=P.device),
        fixed=torch.ones(g, dtype=torch.bool, device=P.device),
        tags=structures.tags.view(b, a)[0, mask],
    )
    return FixedAtoms(atoms, fixed_index)
