"""The embedding process itself: what its features say of atoms."""

import math

import numpy as np
import pytest
import torch
from ase import Atoms

from bostruct.structures import from_ase
from bostruct.surrogates.local_gp.embedding_term import (
    Densities,
    EmbeddingTerm,
    FittedEmbeddingTerm,
)

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
    """It is less certain than that of an atom in a crystal, and differs from it."""
    K = kernel(EmbeddingTerm(isolated_factor=3.0).build(RADII), [Atoms("Cu"), crystal(2.55)])
    std = K.diagonal().sqrt()
    assert 2.5 < std[0] < 3.2
    assert (std[1] - 1).abs() < 0.1
    assert 0.3 < K[0, 1] / std.prod() < 0.7


def test_energies_change_most_with_the_first_neighbors():
    """The isolated atom, the dimer, and three distances of a crystal around its own."""
    dimer = Atoms("Cu2", [(0, 0, 0), (0, 0, 2.4)])
    term = EmbeddingTerm(isolated_factor=1.0).build(RADII)
    K = kernel(term, [Atoms("Cu"), dimer, crystal(2.7), crystal(2.55), crystal(2.4)])
    correlation = K / torch.outer(K.diagonal().sqrt(), K.diagonal().sqrt())
    steps = correlation.diagonal(1)
    assert 0.6 < steps[0] < 0.9
    assert 0.6 < steps[1] < 0.9
    assert (steps[2:] > 0.98).all()


LOGARITHMIC = EmbeddingTerm(length_scale=0.4, half_density=600, crossover=4, isolated_factor=10)


def test_energies_change_with_the_root_of_small_densities_and_the_logarithm_of_large_ones():
    term = LOGARITHMIC.build(RADII)
    small = term._coordinate(torch.tensor([0.25, 1.0], dtype=torch.float64))
    assert float(small[1] / small[0]) == pytest.approx(2.2, abs=0.3)
    steps = term._coordinate(torch.tensor([10.0, 20.0, 40.0, 80.0], dtype=torch.float64)).diff()
    assert torch.allclose(steps, steps.mean(), rtol=0.15)


def test_more_is_unknown_the_more_a_crystal_is_pressed():
    """Scaled by 0.95, 0.9 and 0.85, given energy and slope near its own lattice constant."""
    term = LOGARITHMIC.build(RADII)
    known = [crystal(2.5), crystal(2.55), crystal(2.6)]
    K = kernel(term, [*known, *(crystal(2.55 * scale) for scale in (0.95, 0.9, 0.85))])
    A = K[:3, :3] + 1e-6 * K[0, 0] * torch.eye(3, dtype=torch.float64)
    left = K.diagonal()[3:] - (K[3:, :3] @ torch.linalg.solve(A, K[:3, 3:])).diagonal()
    fraction = (left / K.diagonal()[3:]).sqrt()
    assert (fraction.diff() > 0).all()
    assert fraction[0] > 0.002
    assert fraction[-1] > 0.05


def test_a_state_of_an_earlier_version_keeps_its_coordinate():
    """The root of x alone, with the density at which x is 1/2 as the second number."""
    state = EmbeddingTerm().build(RADII).state()
    numbers = torch.tensor([state["embedding_term_numbers"][0], 6.0], dtype=torch.float64)
    term = FittedEmbeddingTerm.from_state({**state, "embedding_term_numbers": numbers})
    density = torch.tensor([0.0, 0.3, 6.0, 50.0], dtype=torch.float64)
    root = ((density / (density + 6) + 0.01).sqrt() - 0.1) / (math.sqrt(1.01) - 0.1)
    assert torch.allclose(term._coordinate(density) / term.n_intervals, root, rtol=1e-12)
    term = LOGARITHMIC.build(RADII)
    again = FittedEmbeddingTerm.from_state(term.state())
    assert torch.equal(again._coordinate(density), term._coordinate(density))


def test_a_density_of_one_is_that_of_a_neighbor_at_the_bond_length():
    term = EmbeddingTerm(range_factor=1e3).build(RADII)
    q = torch.tensor([2.64**2, 4 * 2.64**2], dtype=torch.float64)
    zero = torch.zeros(2, dtype=torch.int64)
    found = term._neighbor_density(q, zero, zero)
    assert float(found[0]) == pytest.approx(1.0, rel=1e-5)
    reference = math.sqrt(1 + 0.35**2)
    expected = math.exp(-6 * (math.sqrt(4 + 0.35**2) - reference))
    assert float(found[1]) == pytest.approx(expected, rel=1e-4)


def test_each_pair_of_species_has_its_densities():
    decay = torch.tensor([[5.0, 6.0], [6.0, 8.0]], dtype=torch.float64)
    weight = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    radii = torch.tensor([1.32, 1.36], dtype=torch.float64)
    term = EmbeddingTerm(range_factor=1e3).build(radii, Densities(decay, weight))
    d = radii + radii.unsqueeze(-1)
    for a, b in ((0, 0), (0, 1), (1, 0), (1, 1)):
        pair = (torch.tensor([x]) for x in (a, b))
        at_bond = term._neighbor_density(d[a, b].square().view(1), *pair)
        assert float(at_bond) == pytest.approx(float(weight[a, b]), rel=1e-5)
        pair = (torch.tensor([x]) for x in (a, b))
        far = term._neighbor_density((2 * d[a, b]).square().view(1), *pair)
        gap = math.sqrt(4 + 0.35**2) - math.sqrt(1 + 0.35**2)
        ratio = math.exp(-float(decay[a, b]) * gap)
        assert float(far / at_bond) == pytest.approx(ratio, rel=1e-4)
