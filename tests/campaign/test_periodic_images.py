import math

import pytest
import torch
from ase.build import bulk, fcc111, molecule

from bostruct.campaign.periodic_images import image_gap, is_isolated
from bostruct.structures import from_ase


def boxed(length, pbc=True):
    atoms = molecule("H2O")
    atoms.set_cell([length] * 3)
    atoms.center()
    atoms.pbc = pbc
    return from_ase(atoms)


def test_a_molecule_in_a_box():
    free = from_ase(molecule("H2O"))
    gap = image_gap(boxed(12.0), free)
    width = float(boxed(12.0).positions[:, 1].max() - boxed(12.0).positions[:, 1].min())
    assert gap == pytest.approx(12.0 - width)
    assert image_gap(free, boxed(12.0)) == gap
    assert image_gap(free, free) == math.inf
    radii = torch.tensor([0.66, 0.31])
    assert is_isolated(gap, radii)
    assert not is_isolated(image_gap(boxed(4.0), free), radii)


def test_a_crystal_is_no_cluster():
    crystal = from_ase(bulk("Cu", cubic=True))
    free = bulk("Cu", cubic=True)
    free.pbc = False
    assert image_gap(crystal, from_ase(free)) == pytest.approx(3.61 / math.sqrt(2), abs=0.01)


def test_slabs_repeat_along_the_normal_or_not():
    slab = fcc111("Cu", (2, 2, 2), vacuum=6.0)
    repeated, flake = slab.copy(), slab.copy()
    repeated.pbc = True
    assert image_gap(from_ase(repeated), from_ase(slab)) == pytest.approx(12.0, abs=0.1)
    flake.pbc = False
    assert image_gap(from_ase(flake), from_ase(slab)) < 2.6
    assert image_gap(from_ase(slab), from_ase(slab)) == math.inf


def test_slabs_with_another_vacuum():
    slab = fcc111("Cu", (2, 2, 2), vacuum=6.0)
    slab.pbc = True
    near = slab.copy()
    near.set_cell([slab.cell[0], slab.cell[1], slab.cell[2] - [0, 0, 9.0]])
    assert image_gap(from_ase(near), from_ase(slab)) < 3.5
    assert image_gap(from_ase(slab), from_ase(slab)) == math.inf
