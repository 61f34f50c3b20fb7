"""Matching of equal structures, and of the atoms of one structure to those of another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bostruct.spaces import Space
from bostruct.structures import Structures

MATCH_TOLERANCE = 0.2
"""Å. Largest distance of matching atoms; different atoms are farther apart."""


def is_duplicate(space: Space, x: Tensor, others: Sequence[Tensor]) -> bool:
    """Return whether a structure `[d]` is the same as one of the others."""
    return bool(others) and bool(space.is_duplicate(x, torch.stack(list(others))).any())


def match_atoms(structure: Structures, reference: Structures) -> Tensor | None:
    """Return the index in `structure` of each atom of `reference`, `[a]`; None if ambiguous.

    Both hold one structure of the same species. Periodic images are equivalent; a structure without
    periodicity may be translated.
    """
    P, Q = structure.positions, reference.positions
    if not reference.pbc.any():
        P = P - P.mean(0) + Q.mean(0)
    V = minimum_image(P.unsqueeze(0) - Q.unsqueeze(1), reference.cell[0], reference.pbc[0])
    unlike = reference.numbers.unsqueeze(1) != structure.numbers
    distances, indices = V.norm(dim=2).masked_fill(unlike, torch.inf).min(1)
    is_clear = bool((distances < MATCH_TOLERANCE).all()) and len(indices.unique()) == len(P)
    return indices if is_clear else None


def minimum_image(V: Tensor, cell: Tensor, pbc: Tensor) -> Tensor:
    """Return the minimum images of vectors, `[..., 3]`; exact for vectors short against the cell.

    Args:
        V: Vectors, Å.
        cell: `[3, 3]` Å, rows are lattice vectors; may be zero where not periodic.
        pbc: `[3]` bool.
    """
    n_cells = (V @ torch.linalg.pinv(cell)).round() * pbc
    image: Tensor = V - n_cells @ cell
    return image


def unwrap(structures: Structures) -> Tensor:
    """Return the positions `[a, 3]` of one structure without breaks at the cell's faces.

    Each atom is moved to the image nearest to those placed before, the nearest atom first: a
    molecule in a periodic box becomes contiguous.
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
