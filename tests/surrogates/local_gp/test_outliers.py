"""Holes: energies far too low are told apart, and deep minima are not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.emt import EMT
from ase.calculators.morse import MorsePotential

from bostruct.errors import InputError
from bostruct.structures import Structures, from_ase
from bostruct.surrogates import LocalGP
from bostruct.surrogates.local_gp import outliers as module
from bostruct.surrogates.local_gp.outliers import in_units_of_spread, isolated_energies
from bostruct.surrogates.training_data import species_counts

N = 14


def counts(structures):
    species, species_index = structures.numbers.unique(return_inverse=True)
    return species_counts(structures, species_index, len(species))


def shifted(structures, shifts):
    energy = structures.energy.clone()
    for row, shift in shifts.items():
        energy[row] += shift
    return replace(structures, energy=energy)


def labelled(images, calculator):
    """Return structures with their energies and forces."""
    rows = []
    for atoms in images:
        atoms.calc = calculator()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = None
        one = from_ase(atoms)
        energy = torch.tensor([energy], dtype=torch.float64)
        rows.append(replace(one, energy=energy, forces=torch.from_numpy(forces)))
    return Structures.cat(rows)


def displaced(base, amplitude, n, seed=0):
    r = np.random.default_rng(seed)
    return [Atoms(f"Cu{len(base)}", base + r.normal(0, amplitude, base.shape)) for _ in range(n)]


TETRAHEDRON = np.array([(0, 0, 0), (2.4, 0, 0), (1.2, 2.1, 0), (1.2, 0.7, 2.0)])


@pytest.fixture(scope="module")
def rattled():
    return labelled(displaced(TETRAHEDRON, 0.1, 15), EMT)


@pytest.fixture(scope="module")
def clusters(data):
    return data[:15]


@pytest.mark.parametrize("kind", ["rattled", "clusters"])
@pytest.mark.parametrize("with_forces", [True, False])
@pytest.mark.parametrize("depth", [5.0, 100.0, 1e4])
def test_a_hole_is_contradicted(kind, with_forces, depth, request):
    structures = request.getfixturevalue(kind)
    if not with_forces:
        structures = replace(structures, forces=None)
    holes = {2: -depth, 7: -2 * depth, 11: -2 * depth}
    for shifts in ({7: -depth}, holes):
        found = LocalGP().contradicted_energies(shifted(structures, shifts))
        assert found.tolist() == sorted(shifts)


def test_right_energies_are_not(rattled, clusters, mixed):
    for structures in (rattled, clusters, mixed):
        assert not len(LocalGP().contradicted_energies(structures))


@pytest.mark.parametrize("unit", [1e-6, 0.01, 1e4])
def test_depends_on_no_unit_and_no_zero(mixed, unit):
    """Energies in another unit, with another energy of each element."""
    holes = shifted(mixed, {5: -60.0})
    mine = counts(mixed) @ torch.tensor([-1234.5, 17.0], dtype=torch.float64)
    other = replace(holes, energy=unit * (holes.energy + mine), forces=unit * holes.forces)
    assert LocalGP().contradicted_energies(other).tolist() == [5]


def test_varying_compositions_are_compared_less_their_elements(data, mixed):
    """The energies of 6 and 12 atoms are not isolated from each other, one 60 eV lower is."""
    both = Structures.cat([data[:12], mixed[:12]])
    elements = counts(both) @ torch.tensor([-500.0, -3000.0], dtype=torch.float64)
    both = replace(both, energy=both.energy + elements)
    assert not len(isolated_energies(both.energy, counts(both)))
    hole = shifted(both, {15: -60.0})
    assert isolated_energies(hole.energy, counts(both)).tolist() == [15]


def minimum(seed=1):
    """Return the octahedron of six atoms in a Morse potential, displaced a little."""
    corners = np.array([(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)])
    return displaced(1.81 * corners, 0.03, 1, seed)


@pytest.mark.parametrize("with_forces", [True, False])
def test_a_deep_minimum_is_believed_when_a_second_one_confirms_it(with_forces):
    """Data around another, high structure, so alike that they tell a scale 100 times too small."""
    angle = np.arange(6) * np.pi / 3
    ring = 3.64 * np.stack((np.cos(angle), np.sin(angle), 0 * angle), -1)
    high = displaced(ring, 0.02, N)
    potential = lambda: MorsePotential(epsilon=1.0, r0=2.6, rho0=6.0)  # noqa: E731
    found = labelled([*high, *minimum(1), *minimum(2)], potential)
    if not with_forces:
        found = replace(found, forces=None)
    depth = found.energy[:N].min() - found.energy[N]
    assert depth > 100 * found.energy[:N].std()
    assert not len(LocalGP().contradicted_energies(found))


def test_a_second_hole_among_the_data_confirms_nothing(rattled):
    holes = shifted(rattled, {3: -100.0, 8: -100.0, 9: -100.0})
    assert LocalGP().contradicted_energies(holes).tolist() == [3, 8, 9]


def test_trusted_ones_are_not_judged(rattled):
    trusted = torch.zeros(15, dtype=torch.bool)
    trusted[7] = True
    hole = shifted(rattled, {7: -100.0})
    assert not len(LocalGP().contradicted_energies(hole, trusted=trusted))


def test_few_or_flat_data_contradict_nothing(rattled):
    few = shifted(rattled[: module.MIN_OTHERS], {1: -100.0})
    assert not len(LocalGP().contradicted_energies(few))
    flat = replace(rattled, energy=torch.full_like(rattled.energy, 7.02))
    assert not len(LocalGP().contradicted_energies(shifted(flat, {1: -3.0})))


def test_many_others_are_thinned_to_the_most_similar(data):
    far = replace(data, positions=3 * data.positions)
    many = Structures.cat([far[:30], data[:30], far[30:], data[30:]])
    rows = module._most_similar(LocalGP().descriptor(many)[0], many, [33])
    assert len(rows) == module.MAX_OTHERS < len(many)
    assert 33 not in rows
    assert rows == sorted(rows)
    near = set(range(30, 60)) | set(range(70, 80))
    assert near - {33} <= set(rows)


def test_fit_leaves_them_out(rattled):
    hole = shifted(rattled, {7: -100.0})
    kept = [row for row in range(15) if row != 7]
    without = LocalGP().fit(rattled[kept])
    assert torch.equal(LocalGP().fit(hole).fitted.weights, without.fitted.weights)
    believed = LocalGP().fit(hole, screen=False).predict(rattled).mean
    assert (believed - rattled.energy).abs().max() > 1.0


def test_fit_of_right_energies_is_the_same_to_the_last_bit(clusters):
    screened, believed = LocalGP().fit(clusters), LocalGP().fit(clusters, screen=False)
    assert torch.equal(screened.fitted.weights, believed.fitted.weights)
    assert torch.equal(screened.fitted.signal_std, believed.fitted.signal_std)


def test_energies_of_which_most_are_equal_have_a_unit(rattled):
    energy = torch.tensor([-100.0] + [2.0] * 9 + [3.0] * 5, dtype=torch.float64)
    scaled = in_units_of_spread(replace(rattled, energy=energy), counts(rattled))
    assert torch.allclose(scaled.energy, energy - 2.0)
    found = LocalGP().contradicted_energies(replace(rattled, energy=energy, forces=None))
    assert found.tolist() == [0]
    equal = torch.full_like(energy, 2.0)
    scaled = in_units_of_spread(replace(rattled, energy=equal), counts(rattled))
    assert bool(scaled.energy.isnan().all())


def test_a_fit_without_energies_is_refused(rattled):
    bare = rattled.without_results()
    assert not len(LocalGP().contradicted_energies(bare))
    with pytest.raises(InputError, match="`energy` must be known and finite"):
        LocalGP().fit(bare)
