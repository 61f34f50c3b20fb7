"""The embedding process itself: what its features say of atoms."""

import math

import numpy as np
import pytest
import torch
from ase import Atoms

from bostruct.structures import from_ase
from bostruct.surrogates import EmbeddingTerm

RADII = torch.tensor([1.32], dtype=torch.float64)


def crystal(distance):
    """Return face-centred cubic copper with this distance of neighbors, Å."""
    cell = distance * (np.ones((3, 3)) - np.eye(3)) / math.sqrt(2)
    return Atoms("Cu", cell=cell, pbc=True)


def kernel(term, images):
    structures = from_ase(images)
    species = torch.zeros(len(structures.numbers), dtype=torch.int64)
    F = term.features(structures, species, structures.index, len(structures))
    F = F / structures.counts.unsqueeze(-1)
    return F @ F.T


def test_an_isolated_atom_has_an_embedding_energy_of_its_own():
    """It has little to do with that of an atom in a crystal, and is less certain."""
    K = kernel(EmbeddingTerm(isolated_factor=3.0).build(RADII), [Atoms("Cu"), crystal(2.55)])
    std = K.diagonal().sqrt()
    assert 2.5 < std[0] < 3.2
    assert (std[1] - 1).abs() < 0.1
    assert K[0, 1].abs() < 0.02 * std.prod()


def test_energies_change_most_with_the_first_neighbors():
    """The isolated atom, the dimer, and three distances of a crystal around its own."""
    dimer = Atoms("Cu2", [(0, 0, 0), (0, 0, 2.4)])
    term = EmbeddingTerm(isolated_factor=1.0).build(RADII)
    K = kernel(term, [Atoms("Cu"), dimer, crystal(2.7), crystal(2.55), crystal(2.4)])
    correlation = K / torch.outer(K.diagonal().sqrt(), K.diagonal().sqrt())
    steps = correlation.diagonal(1)
    assert 0.1 < steps[0] < 0.6
    assert steps[1] < 0.35
    assert (steps[2:] > 0.9).all()


def test_a_density_of_one_is_that_of_a_neighbor_at_the_bond_length():
    term = EmbeddingTerm(range_factor=1e3).build(RADII)
    q = torch.tensor([2.64**2, 4 * 2.64**2], dtype=torch.float64)
    zero = torch.zeros(2, dtype=torch.int64)
    found = term._neighbor_density(q, zero, zero)
    assert float(found[0]) == pytest.approx(1.0, rel=1e-5)
    reference = math.sqrt(1 + 0.35**2)
    expected = math.exp(-5 * (math.sqrt(4 + 0.35**2) - reference))
    assert float(found[1]) == pytest.approx(expected, rel=1e-4)
