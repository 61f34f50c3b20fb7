"""Contact distances: how close atoms of different molecules come, and how close they may.

Atoms that are not bonded are a sum of van der Waals radii apart, hydrogen and the acceptor of a
hydrogen bond 0.7 of it (1.9 Å in water). A free atom of another element than the noble gases is
bonded to what it touches. Notation: `[a, a]` tables over all atoms of a structure.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces.molecules.molecular_graph import BOND_FACTOR
from bostruct.structures import covalent_radii, van_der_waals_radii

HYDROGEN_BOND_FACTOR = 0.7
"""Length of a hydrogen bond, in sums of the van der Waals radii."""

MIN_CONTACT_FACTOR = 0.6
"""Least distance of atoms of different molecules, in sums of the van der Waals radii."""

MIN_HYDROGEN_BOND_FACTOR = 0.5
"""Least length of a hydrogen bond, in sums of the van der Waals radii: 1.35 Å in water."""

HETEROATOMS = (7, 8, 9, 16, 17, 34, 35, 53)
"""Elements that give and accept hydrogen bonds: N, O, F, S, Cl, Se, Br, I."""

NOBLE_GASES = (2, 10, 18, 36, 54, 86)


def is_hydrogen_bond(numbers: Tensor, neighbors: list[list[int]]) -> Tensor:
    """Return the pairs that may be hydrogen and acceptor of a hydrogen bond, `[a, a]` bool.

    Args:
        numbers: `[a]` atomic numbers.
        neighbors: atoms that each atom is bonded to.
    """
    acceptor = torch.isin(numbers, torch.tensor(HETEROATOMS))
    donors = [
        number == 1 and any(bool(acceptor[j]) for j in atoms)
        for number, atoms in zip(numbers.tolist(), neighbors, strict=True)
    ]
    pairs = torch.tensor(donors).unsqueeze(1) & acceptor.unsqueeze(0)
    return pairs | pairs.T


def contact_lengths(
    numbers: Tensor, atomic_radii: Tensor, neighbors: list[list[int]], is_free: Tensor
) -> tuple[Tensor, Tensor]:
    """Return at which distance atoms touch, and the least one, two `[a, a]` Å.

    Custom radii scale those of van der Waals as they do the covalent ones. Of atoms that may be
    bonded, the least distance is zero: minimum distances of atoms hold.

    Args:
        numbers: `[a]` atomic numbers.
        atomic_radii: `[a]` Å.
        neighbors: atoms that each atom is bonded to.
        is_free: `[a]` bool, atoms that belong to no molecule.
    """
    radii = van_der_waals_radii(numbers) * (atomic_radii / covalent_radii(numbers))
    far = radii.unsqueeze(0) + radii.unsqueeze(1)
    near = atomic_radii.unsqueeze(0) + atomic_radii.unsqueeze(1)
    hydrogen_bond = is_hydrogen_bond(numbers, neighbors)
    reactive = is_free & ~torch.isin(numbers, torch.tensor(NOBLE_GASES))
    bonding = reactive.unsqueeze(0) | reactive.unsqueeze(1)
    least = torch.where(hydrogen_bond, MIN_HYDROGEN_BOND_FACTOR, MIN_CONTACT_FACTOR) * far
    least = torch.maximum(least, BOND_FACTOR * near).masked_fill(bonding, 0.0)
    length = torch.where(hydrogen_bond, HYDROGEN_BOND_FACTOR, 1.0) * far
    return torch.where(bonding, near, torch.maximum(length, 1.05 * least)), least
