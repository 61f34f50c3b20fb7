"""Volumes of molecules."""

from __future__ import annotations

import math

import pytest
import torch

from bostruct.spaces.molecules.fragments import Fragments
from bostruct.spaces.molecules.molecular_volume import (
    PACKING_COEFFICIENT,
    molecular_volume,
    packed_volume,
)


@pytest.mark.parametrize("d", [0.0, 0.7, 1.5, 5.0])
def test_volume_of_two_spheres(d: float) -> None:
    """Two spheres less the lens in which they overlap."""
    P = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, d]], dtype=torch.float64)
    r = 1.2
    lens = math.pi * (4 * r + d) * (2 * r - d) ** 2 / 12 if d < 2 * r else 0.0
    expected = 2 * 4 / 3 * math.pi * r**3 - lens
    assert molecular_volume(P, torch.tensor([r, r], dtype=torch.float64)) == pytest.approx(
        expected, rel=0.05
    )


def test_molecules_and_free_atoms_add_up() -> None:
    """Each molecule counts once, free atoms as spheres."""
    radii = torch.tensor([1.0, 1.5, 1.2, 1.2], dtype=torch.float64)
    one = Fragments.from_counts({"Na": 1, "H2O": 1})
    water = molecular_volume(one.molecules[0].positions, radii[1:])
    found = packed_volume(one, radii)
    assert found == pytest.approx((4 / 3 * math.pi + water) / PACKING_COEFFICIENT)
    two = Fragments.from_counts({"H2O": 2})
    doubled = packed_volume(two, torch.cat((radii[1:], radii[1:])))
    assert doubled == pytest.approx(2 * water / PACKING_COEFFICIENT)
