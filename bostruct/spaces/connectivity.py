"""Connectivity: whether all atoms of a structure hang together through bonds.

A surrogate has no data on atoms that have flown off, so that its uncertainty is largest there, and
a search by uncertainty would tear structures apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from bostruct.errors import check_positive
from bostruct.structures import SYMBOLS

DEFAULT_MAX_GAP_FACTOR = 1.5
"""Largest distance of connected atoms, in bond lengths."""

MOLECULAR_ELEMENTS = frozenset((1, 2, 6, 7, 8, 9, 10, 15, 16, 17, 18, 34, 35, 36, 53, 54, 85, 86))
"""Elements that form molecules, which attract each other over larger distances."""


def resolve_max_gap_factor(
    max_gap_factor: float | None, numbers: Tensor, custom_radii: Mapping[str, float] | None
) -> float:
    """Return the largest distance of connected atoms, in bond lengths, by default 1.5.

    The default is infinite where an element forms molecules and has no custom radius.

    Raises:
        InputError: `max_gap_factor` is not positive.
    """
    if max_gap_factor is not None and max_gap_factor != math.inf:
        return check_positive(
            "max_gap_factor", max_gap_factor, "It is a multiple of a bond, say 1.5."
        )
    molecular = any(
        number in MOLECULAR_ELEMENTS and SYMBOLS[number] not in (custom_radii or {})
        for number in numbers.tolist()
    )
    return math.inf if molecular or max_gap_factor == math.inf else DEFAULT_MAX_GAP_FACTOR


def is_connected(D: Tensor, max_bond_lengths: Tensor) -> Tensor:
    """Return whether all atoms are connected through bonds, `[...]` bool.

    Args:
        D: `[..., a, a]` distances of any unit, symmetric.
        max_bond_lengths: `[a, a]`, largest distances of bonded atoms, symmetric.
    """
    reached = (max_bond_lengths >= D).to(torch.float32)
    n_bonds = 1
    while n_bonds < D.shape[-1] - 1:  # paths of twice as many bonds each time
        reached = (reached @ reached > 0).to(torch.float32)
        n_bonds *= 2
    return (reached[..., 0, :] > 0).all(-1)


def widest_gap(D: Tensor) -> tuple[int, int]:
    """Return the two atoms of the longest edge of the shortest tree over all a > 1 atoms.

    All parts of a structure hang together through bonds of that length and no shorter ones; by the
    algorithm of Prim, Bell Syst. Tech. J. 36, 1389 (1957).

    Args:
        D: `[a, a]` distances of any unit, symmetric.
    """
    tree = torch.zeros(len(D), dtype=torch.int64, device=D.device)  # nearest atom of the tree
    outside = torch.zeros_like(D[0])
    nearest, widest, edge = D[0].clone(), -math.inf, (0, 0)
    outside[0] = math.inf
    for _ in range(len(D) - 1):
        atom = int((nearest + outside).argmin())
        if (length := float(nearest[atom])) > widest:
            widest, edge = length, (int(tree[atom]), atom)
        outside[atom] = math.inf
        closer = D[atom] < nearest
        tree[closer] = atom
        nearest = torch.where(closer, D[atom], nearest)
    return edge
