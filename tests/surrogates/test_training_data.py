"""What a fit is told: less the prior, and how much it is trusted."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import add_adsorbate, fcc100
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms

from bostruct.errors import InputError
from bostruct.structures import Structures, from_ase
from bostruct.structures.problem_scale import ProblemScale
from bostruct.surrogates import LocalGP, PairRepulsion
from bostruct.surrogates import training_data as module
from bostruct.surrogates.training_data import (
    MIN_FORCE_SCALE,
    OUTLIER_RATIO,
    Observations,
    prepare_observations,
)


def radii(structures):
    return torch.full(structures.positions.shape[:1], 1.32, dtype=torch.float64)


def told(structures, repulsion=None):
    return prepare_observations(structures, repulsion, radii(structures))


@pytest.fixture
def squeezed(data):
    """Clusters so tight that the wall is felt."""
    few = data[:6]
    return replace(few, positions=0.8 * few.positions)


def test_takes_off_the_pair_prior(squeezed):
    wall = PairRepulsion(strength=30.0, range_factor=0.9)
    found = told(squeezed, wall)
    positions = squeezed.positions.clone().requires_grad_()
    moved = replace(squeezed, positions=positions)
    energy = wall(moved, radii(squeezed))
    (slope,) = torch.autograd.grad(energy.sum(), positions)
    assert (energy > 0.1).all()
    torch.testing.assert_close(found.energy + energy.detach(), squeezed.energy)
    torch.testing.assert_close(found.forces - slope, squeezed.forces)
    assert not found.energy.requires_grad
    assert found.structures.energy is None
    assert found.structures.forces is None


def test_without_a_prior_nothing_changes(squeezed):
    found = told(squeezed)
    assert torch.equal(found.energy, squeezed.energy)
    assert torch.equal(found.forces, squeezed.forces)


def test_works_without_gradients_around_it(squeezed):
    with torch.no_grad():
        found = told(squeezed, PairRepulsion())
    torch.testing.assert_close(found.forces, told(squeezed, PairRepulsion()).forces)


def test_missing_forces_are_marked(data):
    found = told(replace(data[:3], forces=None), PairRepulsion())
    assert found.forces.isnan().all()
    assert found.forces.shape == (18, 3)
    some = Structures.cat([data[:2], replace(data[2:3], forces=None)])
    found = told(some, PairRepulsion())
    assert found.forces[:12].isfinite().all()
    assert found.forces[12:].isnan().all()


def test_atoms_of_known_composition_have_their_energies(data, mixed):
    """Energies that are sums over species are explained to the last digit."""
    true = torch.tensor([3.25, -1.5], dtype=torch.float64)
    both = Structures.cat([data[:4], mixed[:4]])
    place = (both.numbers == 79).long()
    energy = torch.zeros(8, dtype=torch.float64).index_add(0, both.index, true[place])
    found, means = told(replace(both, energy=energy)).subtract_species_energies(place, 2)
    torch.testing.assert_close(means, true, rtol=1e-12, atol=1e-12)
    assert found.energy.abs().max() < 1e-12


def test_one_composition_shares_its_energy_evenly(mixed):
    """Three of each: nothing tells gold from copper."""
    found, means = told(mixed[:5]).subtract_species_energies((mixed[:5].numbers == 79).long(), 2)
    torch.testing.assert_close(means[0], means[1])
    trust = told(mixed[:5]).noise_factor
    weighed = (found.energy / trust.square()).sum()
    assert weighed.abs() < 1e-10


def test_species_that_does_not_occur_has_no_energy(data):
    found, means = told(data[:5]).subtract_species_energies(torch.ones(30, dtype=torch.int64), 3)
    assert means[0] == means[2] == 0
    assert means[1] != 0
    assert found.energy.abs().max() < data[:5].energy.abs().max()


def test_distrusted_structures_hardly_move_the_means(data):
    place = torch.zeros(len(data.numbers), dtype=torch.int64)
    burst = replace(data, energy=data.energy.index_fill(0, torch.tensor([3]), 1e6))
    _, clean = told(data).subtract_species_energies(place, 1)
    _, dirty = told(burst).subtract_species_energies(place, 1)
    torch.testing.assert_close(dirty, clean, atol=0.5, rtol=0)
    naive = burst.energy.mean() / 6
    assert (naive - clean).abs() > 1e3


def test_ordinary_structures_are_trusted_fully(data):
    found = told(data)
    assert (found.noise_factor >= 1).all()
    assert (found.noise_factor == 1).sum() > len(data) // 2


def test_trust_falls_with_forces_and_with_energy(data):
    """In proportion to how many times three medians they are."""
    few = data[:9]
    sizes = torch.linalg.vector_norm(few.forces, dim=-1).view(9, 6)
    calm = replace(
        few,
        energy=torch.linspace(0, 2.4, 9, dtype=torch.float64),
        forces=few.forces / sizes.amax(-1).repeat_interleave(6).unsqueeze(-1),
    )
    assert torch.equal(told(calm).noise_factor, torch.ones(9, dtype=torch.float64))
    forces = calm.forces.clone()
    forces[12:18] *= 4 * OUTLIER_RATIO
    found = told(replace(calm, forces=forces)).noise_factor
    assert found[2] == pytest.approx(4.0)
    assert (found[torch.arange(9) != 2] == 1).all()
    energy = calm.energy.clone()
    energy[5] = 4 * OUTLIER_RATIO * 1.2  # the median is 1.2, of six atoms
    assert told(replace(calm, energy=energy)).noise_factor[5] == pytest.approx(4.0)


def test_an_exploded_structure_is_as_good_as_left_out(data):
    burst = data.energy.clone()
    burst[3] = 1e4
    assert told(replace(data, energy=burst)).noise_factor[3] > 1e6


def test_force_scale():
    one = told_of(torch.tensor([1.0]), torch.tensor([[3.0, 4.0, 0.0]]))
    assert one.force_scale() == pytest.approx((25 / 3) ** 0.5)
    gap = told_of(torch.tensor([1.0]), torch.tensor([[3.0, torch.nan, 4.0]]))
    assert gap.force_scale() == pytest.approx(12.5**0.5)


def told_of(energy, forces, atoms=1):
    """Return observations of one structure, fully trusted."""
    n = forces.shape[0]
    structures = Structures(
        positions=torch.arange(3.0 * n, dtype=torch.float64).view(n, 3),
        numbers=torch.full((n,), 29),
        cell=torch.zeros(1, 3, 3, dtype=torch.float64),
        pbc=torch.zeros(1, 3, dtype=torch.bool),
        index=torch.zeros(n, dtype=torch.int64),
        fixed=torch.zeros(n, dtype=torch.bool),
        tags=torch.zeros(n, dtype=torch.int64),
    )
    trust = torch.ones(1, dtype=torch.float64)
    scale = ProblemScale(energy=6.0, length=3.0)
    return Observations(structures, energy.double(), forces.double(), trust, scale, None)


def test_force_scale_without_forces_is_that_of_the_energies():
    nan = torch.full((4, 3), torch.nan)
    found = told_of(torch.tensor([5.0]), nan)
    assert found.force_scale() == pytest.approx(2.5 / found.length_scale())
    least = MIN_FORCE_SCALE * 2.0
    assert told_of(torch.tensor([0.0]), nan).force_scale() == least
    assert told_of(torch.tensor([5.0]), torch.zeros(4, 3)).force_scale() == least


@pytest.mark.parametrize("size", [1, 40, 100])
def test_chunks_are_the_whole(data, mixed, monkeypatch, size):
    both = Structures.cat([data[:3], mixed[:4], data[3:5][0]])
    found = told(both, PairRepulsion())
    monkeypatch.setattr(module, "PAIRS_PER_CHUNK", size)
    parts = list(found.chunks())
    assert len(parts) > 1
    together = Structures.cat([part.structures for part in parts])
    assert torch.equal(together.positions, both.positions)
    assert torch.equal(together.index, both.index)
    for name in ("energy", "forces", "noise_factor"):
        joined = torch.cat([getattr(part, name) for part in parts])
        assert torch.equal(joined, getattr(found, name))


def test_one_chunk_when_small(data):
    assert len(list(told(data[:5]).chunks())) == 1


@pytest.mark.parametrize(
    "energy",
    [None, [1.0, float("nan"), 2.0], [1.0, float("inf"), 2.0]],
)
def test_refuses_missing_energies(data, energy):
    energy = None if energy is None else torch.tensor(energy, dtype=torch.float64)
    with pytest.raises(InputError, match=r"`energy` must be known and finite.*Leave"):
        told(replace(data[:3], energy=energy))


def test_refuses_nothing(data):
    with pytest.raises(InputError, match="`structures` must hold at least one"):
        told(data[:0])


def test_shaken_structures_among_relaxed_ones_are_trusted():
    """More than half relaxed, so that the median force is nearly zero."""
    forces = torch.zeros(10, 3, dtype=torch.float64)
    forces[7:] = 1.5
    energy = torch.zeros(10, dtype=torch.float64)
    energy[7:] = 0.25
    structures = replace(from_ase([Atoms("Cu")] * 10), energy=energy, forces=forces)
    found = prepare_observations(structures, None, torch.ones(10))
    assert torch.equal(found.noise_factor, torch.ones(10, dtype=torch.float64))


def test_relaxed_structures_still_have_a_scale_of_forces():
    structures = from_ase([Atoms("Cu")] * 3)
    zero = torch.zeros(3, dtype=torch.float64)
    structures = replace(structures, energy=zero, forces=torch.zeros(3, 3).double())
    found = prepare_observations(structures, None, torch.ones(3))
    assert found.force_scale() == MIN_FORCE_SCALE * found.scale.force


def slabs(n, apply_constraint, seed=0):
    """Return an adatom on a slab with a fixed layer, with forces as `get_forces` returns them."""
    base = fcc100("Cu", (2, 2, 2), vacuum=7)
    add_adsorbate(base, "Au", 2.0, "hollow")
    base.set_constraint(FixAtoms(range(4)))
    rng, images = np.random.default_rng(seed), []
    for _ in range(n):
        image = base.copy()
        positions = image.get_positions()
        positions[4:] += rng.normal(0, 0.12, (5, 3))
        positions[-1] += (*rng.uniform(-1.3, 1.3, 2), rng.uniform(0, 0.5))
        image.set_positions(positions, apply_constraint=False)
        image.calc = EMT()
        energy, forces = image.get_potential_energy(), image.get_forces(apply_constraint)
        image.calc = SinglePointCalculator(image, energy=energy, forces=forces)
        images.append(image)
    return from_ase(images)


def test_zeros_that_a_constraint_leaves_on_fixed_atoms_are_not_learnt():
    judge = slabs(12, False, seed=1)

    def error(apply_constraint):
        model = LocalGP(embedding_term=None).fit(slabs(7, apply_constraint))
        return float((model.predict(judge).mean - judge.energy).abs().mean())

    assert error(True) < 1.3 * error(False)
