from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from bostruct.campaign.atom_matching import match_atoms
from bostruct.campaign.cell_alignment import align_cell
from bostruct.structures import from_ase


def crystal(seed=0):
    """A low-symmetry crystal."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Cu", cubic=True)
    atoms.symbols[2] = "Au"
    atoms.set_cell(atoms.cell @ (np.eye(3) + rng.uniform(-0.1, 0.1, (3, 3))), scale_atoms=True)
    atoms.positions += rng.uniform(-0.3, 0.3, (4, 3))
    return atoms


def computed(atoms):
    atoms = atoms.copy()
    atoms.calc = EMT()
    results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
    atoms.calc = SinglePointCalculator(atoms, **results, stress=atoms.get_stress())
    return from_ase(atoms)


def turned(atoms, seed):
    """The same crystal with other axes, lattice vectors, origin and order of atoms."""
    rng = np.random.default_rng(seed)
    other = make_supercell(atoms, [[1, 1, 0], [0, 1, 0], [0, -1, 1]])
    Q = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    other.set_cell(other.cell @ Q, scale_atoms=True)
    other.positions += rng.normal(size=3)
    return other[rng.permutation(len(other))]


@pytest.mark.parametrize("seed", range(4))
def test_forces_and_stress_turn_with_the_axes(seed):
    reference, given = computed(crystal()), computed(turned(crystal(), seed))
    found = align_cell(given, reference)
    order = match_atoms(found, reference)
    assert torch.equal(found.cell, reference.cell)
    assert torch.equal(found.numbers[order], reference.numbers)
    torch.testing.assert_close(found.forces[order], reference.forces, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.stress, reference.stress, rtol=0, atol=1e-10)
    assert found.energy == pytest.approx(float(reference.energy), abs=1e-10)


def test_an_equal_cell_is_left_as_it_is():
    reference = computed(crystal())
    assert align_cell(reference, reference) is reference


def test_another_crystal_is_left_as_it_is():
    given, reference = computed(crystal(0)), computed(crystal(1))
    assert align_cell(given, reference) is given


def test_of_a_symmetric_lattice_the_closest_atoms_count():
    atoms = Atoms("CuAu", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.53]], cell=[3.0] * 3, pbc=True)
    reference = computed(atoms)
    given = atoms.copy()
    given.rotate(90, "x", rotate_cell=True)
    found = align_cell(computed(given), reference)
    torch.testing.assert_close(found.forces, reference.forces, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.stress, reference.stress, rtol=0, atol=1e-10)
    without = align_cell(replace(computed(given), forces=None, stress=None), reference)
    assert without.forces is None
