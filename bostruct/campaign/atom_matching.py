"""Which structure is which, and which atom in one that came from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bostruct.spaces import Space
from bostruct.structures import Structures

MATCH_TOLERANCE = 0.2
"""Å. An atom and the place the space has for it are closer; no two atoms are."""


def is_duplicate(space: Space, x: Tensor, others: Sequence[Tensor]) -> bool:
    """Return whether a structure `[d]` is the same as one of the others."""
    return bool(others) and bool(space.is_duplicate(x, torch.stack(list(others))).any())


def match_atoms(structure: Structures, reference: Structures) -> Tensor | None:
    """Return the atom of `structure` that each atom of `reference` is, `[a]`; None if unclear.

    Both are one structure of the same species. Atoms of a periodic one may stand in
    any image of the cell; one without periodicity may be shifted as a whole.
    """
    P, Q = structure.positions, reference.positions
    if not reference.pbc.any():
        P = P - P.mean(0) + Q.mean(0)
    D = minimum_image(P.unsqueeze(0) - Q.unsqueeze(1), reference.cell[0], reference.pbc[0]).norm(
        dim=2
    )
    unlike = reference.numbers.unsqueeze(1) != structure.numbers
    far, which = D.masked_fill(unlike, torch.inf).min(1)
    clear = bool((far < MATCH_TOLERANCE).all()) and len(which.unique()) == len(P)
    return which if clear else None


def minimum_image(V: Tensor, cell: Tensor, pbc: Tensor) -> Tensor:
    """Return vectors `[..., 3]` less the lattice vectors in them, the short ones exact.

    Args:
        V: Å.
        cell: `[3, 3]` Å, rows are lattice vectors; may be zero where not periodic.
        pbc: `[3]` bool.
    """
    times = (V @ torch.linalg.pinv(cell)).round() * pbc
    short: Tensor = V - times @ cell
    return short


def unwrap(structures: Structures) -> Tensor:
    """Return the positions `[a, 3]` of one structure, not cut by the cell's borders.

    Each atom is put into the image that is nearest to those before it, the nearest
    atom first: a molecule in a periodic box stays as it is, or becomes whole again.
    """
    P = structures.positions
    V = minimum_image(P.unsqueeze(0) - P.unsqueeze(1), structures.cell[0], structures.pbc[0])
    D = V.norm(dim=-1)  # [a, a], from row to column
    placed = P.clone()
    done = torch.zeros(len(P), dtype=torch.bool, device=P.device)
    done[0] = True
    for _ in range(len(P) - 1):
        gaps = D.masked_fill(~done.unsqueeze(1) | done, torch.inf)
        i, j = divmod(int(gaps.argmin()), len(P))
        placed[j] = placed[i] + V[i, j]
        done[j] = True
    return placed
