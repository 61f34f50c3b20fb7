"""Volume that molecules take, and whether they fit into a space at all."""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces.molecules.fragments import Fragments

PACKING_COEFFICIENT = 0.77
"""Largest part of a crystal that its molecules fill: A. I. Kitaigorodskii, Molecular Crystals and
Molecules, Academic Press (1973)."""

N_POINTS = 4096
"""Points of a low-discrepancy sequence by which a volume is measured."""


def molecular_volume(P: Tensor, radii: Tensor) -> float:
    """Return the volume of the union of the spheres of atoms, Å³, within some per cent.

    Args:
        P: `[a, 3]` Å.
        radii: `[a]` Å.
    """
    low, high = (P - radii.unsqueeze(-1)).amin(0), (P + radii.unsqueeze(-1)).amax(0)
    engine = torch.quasirandom.SobolEngine(3, scramble=True, seed=0)
    points = low + (high - low) * engine.draw(N_POINTS, dtype=torch.float64)
    inside = (torch.cdist(points, P) <= radii).any(-1)
    return float(inside.double().mean() * (high - low).prod())


def packed_volume(fragments: Fragments, radii: Tensor) -> float:
    """Return the least volume of a dense packing of molecules and free atoms, Å³.

    Args:
        fragments: the molecules and free atoms.
        radii: `[a]` Å of all atoms, half the distances at which those of different units touch.
    """
    total = float((4 / 3 * torch.pi * radii[: len(fragments.free_numbers)].pow(3)).sum())
    first = len(fragments.free_numbers)
    for molecule, count in zip(fragments.molecules, fragments.counts, strict=True):
        own = radii[first : first + len(molecule)]
        total += count * molecular_volume(molecule.positions, own)
        first += count * len(molecule)
    return total / PACKING_COEFFICIENT
