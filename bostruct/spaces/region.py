"""Default regions: how far apart the atoms of a formula may be, from their radii alone.

Two lengths bound them. Randomly packed spheres fill 64 % of a volume, which gives the size of a
compact cluster. The longest structure is a straight chain of all atoms, whose length with bonds
stretched by a quarter is

    L = 1.25 · 2 Σ_i r_i

half a bond beyond either end included. A ring of the same bonds has a diameter of about L / π, and
a chain of molecules that hydrogen bonds hold together is no longer: a molecule of water takes
3.2 Å of it, and is 2.8 Å from the next.
"""

from __future__ import annotations

from torch import Tensor

BOND_STRETCH = 1.25
"""Length of the bonds in the longest chain, in sums of the radii."""

RANDOM_PACKING_FRACTION = 0.64
"""Fraction of the volume that randomly packed spheres fill."""


def packed_radius(atomic_radii: Tensor) -> float:
    """Return the radius of a sphere that randomly packed atoms fill, Å.

    Args:
        atomic_radii: `[a]` Å.
    """
    return float((atomic_radii.pow(3).sum() / RANDOM_PACKING_FRACTION) ** (1 / 3))


def chain_length(atomic_radii: Tensor) -> float:
    """Return the length of a straight chain of all atoms with stretched bonds, Å.

    Args:
        atomic_radii: `[a]` Å.
    """
    return BOND_STRETCH * 2 * float(atomic_radii.sum())
