"""The scale is that of the data: in any unit, and whatever a few of them say."""

import math
from dataclasses import replace

import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc100
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from bostruct.spaces import Cluster
from bostruct.structures import Structures, from_ase, problem_scale, to_ase
from bostruct.structures.problem_scale import (
    BOND_ENERGY,
    ENERGY_RATIO,
    ProblemScale,
    few_values_factor,
    unknown_energy,
)
from bostruct.surrogates import LocalGP, PairRepulsion

RADIUS = 0.56


def cluster(s=1.0):
    return Cluster("Ar7", atomic_radii={"Ar": s * RADIUS})


@pytest.fixture(scope="module")
def structures():
    """Fourteen random clusters with Lennard-Jones energies and forces."""
    found = cluster().decode(cluster().sample(14, torch.Generator().manual_seed(1)))
    energies, forces = [], []
    for atoms in to_ase(found):
        atoms.calc = LennardJones(sigma=1.0, epsilon=1.0, rc=100.0, smooth=False)
        energies.append(atoms.get_potential_energy())
        forces.append(torch.from_numpy(atoms.get_forces()))
    energy = torch.tensor(energies, dtype=torch.float64)
    return replace(found, energy=energy, forces=torch.cat(forces))


def scale_of(structures, s=1.0):
    radii = torch.full(structures.positions.shape[:1], s * RADIUS, dtype=torch.float64)
    return ProblemScale.from_structures(structures, radii)


def scaled(structures, c, s):
    """Return structures of energies c E and lengths s."""
    return replace(
        structures,
        positions=s * structures.positions,
        energy=c * structures.energy,
        forces=c / s * structures.forces,
    )


def test_it_follows_the_units(structures):
    scale = scale_of(structures)
    assert scale.length == pytest.approx(2 * RADIUS)
    found = scale_of(scaled(structures, 2.0**-9, 4.0), 4.0)
    assert found == ProblemScale(2.0**-9 * scale.energy, 4.0 * scale.length)
    assert found.force == 2.0**-11 * scale.force
    without = replace(structures, forces=None)
    assert scale_of(replace(without, energy=100 * structures.energy)).energy == pytest.approx(
        100 * scale_of(without).energy
    )


def test_no_zero_of_energies_matters(structures):
    shifted = replace(structures, energy=structures.energy - 1e6)
    for forces in (structures.forces, None):
        mine, other = (replace(s, forces=forces) for s in (structures, shifted))
        assert scale_of(other).energy == pytest.approx(scale_of(mine).energy, rel=1e-7)


def test_one_exploded_structure_and_many_relaxed_ones_do_not_set_it(structures):
    scale = scale_of(structures)
    forces, energy = structures.forces.clone(), structures.energy.clone()
    forces[:7] *= 1e6
    energy[0] += 1e6
    burst = scale_of(replace(structures, forces=forces, energy=energy))
    assert burst.energy < 3 * scale.energy
    calm = replace(structures, forces=1e-3 * structures.forces)
    both = scale_of(Structures.cat([structures, *[calm] * 3]))
    assert both.energy > scale.energy / 3


def test_forces_and_energies_of_random_clusters_say_about_the_same(structures):
    with_forces = replace(structures, energy=None)
    without = replace(structures, forces=None)
    assert 0.2 < scale_of(without).energy / scale_of(with_forces).energy < 5


def test_a_long_campaign_takes_its_scale_from_some_of_its_structures(structures, monkeypatch):
    some = scale_of(structures[1::2])
    assert scale_of(structures) != some
    monkeypatch.setattr(problem_scale, "MAX_STRUCTURES", 7)
    assert scale_of(structures) == some


def test_only_atoms_that_move_count():
    slab = fcc100("Au", (2, 2, 2), vacuum=6.0)
    structures = from_ase(slab + Atoms("Ni", [(0, 0, slab.positions[:, 2].max() + 1.8)]))
    forces = torch.full((9, 3), 7.0, dtype=torch.float64)
    forces[8] = 0.5
    fixed = torch.arange(9) < 8
    radii = torch.where(fixed, 1.4, 1.2).double()
    mine = replace(structures, forces=forces, fixed=fixed)
    scale = ProblemScale.from_structures(mine, radii)
    assert scale == ProblemScale(pytest.approx(0.5 * 2.4), pytest.approx(2.4))
    free = ProblemScale.from_structures(replace(mine, fixed=fixed & False), radii)
    assert free.length == pytest.approx(2 * (8 * 1.4 + 1.2) / 9)


def test_atoms_out_of_reach_and_equal_energies_tell_nothing(structures):
    unknown = unknown_energy(structures.numbers)
    assert scale_of(replace(structures, energy=None, forces=None)).energy == unknown
    equal = torch.full_like(structures.energy, -1e6)
    assert scale_of(replace(structures, energy=equal, forces=None)).energy == unknown
    apart = replace(structures, positions=3.0 * structures.positions)
    assert scale_of(apart).energy == unknown


def test_what_is_unknown_is_of_the_size_of_cohesion():
    """Trouton's rule gives those of rare gases: 20, 80, 116, 160 meV measured, Kittel, table 1."""
    for z, measured in {10: 0.020, 18: 0.080, 36: 0.116, 54: 0.16}.items():
        assert unknown_energy(torch.tensor([z])) == pytest.approx(measured, rel=0.25)
    assert unknown_energy(torch.tensor([2, 18])) == unknown_energy(torch.tensor([18]))
    assert unknown_energy(torch.tensor([18, 29])) == unknown_energy(torch.tensor([])) == BOND_ENERGY


@pytest.mark.parametrize("unit", [1.0, 1e3])
def test_stresses_tell_the_scale_where_forces_vanish_by_symmetry(unit):
    """As a random crystal of more atoms does by its forces, in any unit of energies."""
    copper = bulk("Cu", a=3.2)
    copper.calc = EMT()
    copper.get_stress()
    bare = from_ase(copper)
    crystals = replace(
        bare,
        energy=unit * torch.tensor([copper.get_potential_energy()], dtype=torch.float64),
        forces=torch.zeros_like(bare.positions),
        stress=unit * torch.from_numpy(copper.get_stress()).unsqueeze(0),
    )
    radii = torch.full((1,), 1.28, dtype=torch.float64)
    found = ProblemScale.from_structures(crystals, radii).energy
    assert BOND_ENERGY < found / unit < 4 * BOND_ENERGY
    relaxed = replace(crystals, stress=1e-6 * crystals.stress / unit)
    assert ProblemScale.from_structures(relaxed, radii).energy == BOND_ENERGY
    missing = replace(crystals, stress=torch.full_like(crystals.stress, torch.nan))
    assert ProblemScale.from_structures(missing, radii).energy == BOND_ENERGY


def test_energies_alone():
    radii, numbers = torch.full((4,), 1.0, dtype=torch.float64), torch.full((4,), 29)
    energies = torch.tensor([-3.0, -1.0, 1.0], dtype=torch.float64)
    found = ProblemScale.from_energies(energies, radii, numbers)
    assert found == ProblemScale(pytest.approx(ENERGY_RATIO * 2.0 / 2.0), 2.0)
    nothing = ProblemScale.from_energies(energies[:0], radii, numbers)
    assert nothing == ProblemScale(BOND_ENERGY, 2.0)


@pytest.mark.parametrize("count", [2, 3, 6])
def test_few_energies_give_a_scale_that_is_right_in_the_mean(count):
    """Of its logarithm, over many draws."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(4000, count, generator=generator, dtype=torch.float64)
    deviations = draws - draws.mean(-1, keepdim=True)
    found = deviations.square().mean(-1).sqrt() * few_values_factor(draws.new_ones(count, 1))
    assert found.log().mean().abs() < 4 * found.log().std() / math.sqrt(len(found))


def test_energies_fitted_by_the_composition_tell_no_scale():
    assert few_values_factor(torch.eye(3, dtype=torch.float64)) == 1
    assert few_values_factor(torch.ones(0, 1, dtype=torch.float64)) == 1
    assert few_values_factor(torch.ones(400, 1, dtype=torch.float64)) == pytest.approx(1, abs=3e-3)


@pytest.mark.parametrize(
    ("repulsion", "with_forces"), [(PairRepulsion(), True), (PairRepulsion(), False), (None, True)]
)
def test_a_fit_in_another_unit_is_the_same_fit(structures, repulsion, with_forces):
    """To the last bit where the factors are powers of two."""
    surrogate = LocalGP(pair_repulsion=repulsion)

    def prediction(c, s):
        mine = scaled(structures, c, s)
        if not with_forces:
            mine = replace(mine, forces=None)
        model = surrogate.fit(mine[:10], cluster(s))
        return model.predict(mine[10:], force_variance=True)

    found = prediction(1.0, 1.0)
    for c, s in ((2.0**-7, 1.0), (1.0, 0.25), (100.0, 1.0)):
        other = prediction(c, s)
        rtol = 1e-4 if c in (0.01, 100.0) else 0.0
        for name, unit in (
            ("mean", c),
            ("variance", c**2),
            ("noise_variance", c**2),
            ("forces", c / s),
            ("force_variance", (c / s) ** 2),
        ):
            expected, value = unit * getattr(found, name), getattr(other, name)
            size = float(expected.abs().max())
            torch.testing.assert_close(value, expected, rtol=rtol, atol=rtol * size)


def test_a_fit_does_not_depend_on_the_zero_of_energies(structures):
    for shift in (-1300.0 * 7, -1e6):
        shifted = replace(structures, energy=structures.energy + shift)
        model, other = (LocalGP().fit(s[:10], cluster()) for s in (structures, shifted))
        found, moved = (m.predict(structures[10:]) for m in (model, other))
        torch.testing.assert_close(moved.mean - shift, found.mean, rtol=0, atol=1e-7)
        torch.testing.assert_close(moved.variance, found.variance, rtol=1e-6, atol=0)


def test_energies_of_the_elements_change_no_fit():
    """Total energies of all electrons: gold is no less trusted than copper."""
    rows = []
    for k, formula in enumerate(("Cu4", "Au4", "Cu2Au2", "Cu3Au", "Cu5", "Cu3Au2")):
        space = Cluster(formula)
        for atoms in to_ase(space.decode(space.sample(4, torch.Generator().manual_seed(k)))):
            atoms.calc = EMT()
            energy = torch.tensor([atoms.get_potential_energy()], dtype=torch.float64)
            forces = torch.from_numpy(atoms.get_forces())
            atoms.calc = None
            rows.append(replace(from_ase(atoms), energy=energy, forces=forces))
    mixed = Structures.cat(rows)
    constants = torch.where(mixed.numbers == 79, -900.0, -1300.0).double()
    shift = torch.zeros(len(mixed), dtype=torch.float64).index_add(0, mixed.index, constants)
    shifted = replace(mixed, energy=mixed.energy + shift)
    model, other = (LocalGP(species_similarity=0.5).fit(s) for s in (mixed, shifted))
    found, moved = (m.predict(mixed) for m in (model, other))
    torch.testing.assert_close(moved.forces, found.forces, rtol=0, atol=1e-4)
    torch.testing.assert_close(moved.mean - shift, found.mean, rtol=0, atol=1e-4)
    torch.testing.assert_close(moved.variance, found.variance, rtol=1e-3, atol=0)


def test_the_same_energies_are_doubted_in_any_unit(structures):
    """A hole of a deep, isolated energy."""
    energy = structures.energy.clone()
    energy[3] -= 300.0
    hole = replace(structures, energy=energy)
    doubted = LocalGP().contradicted_energies(hole, cluster())
    assert doubted.tolist() == [3]
    for c, s, shift in ((0.01, 1.0, 0.0), (100.0, 1.0, 0.0), (1.0, 4.0, 0.0), (1.0, 1.0, -1e6)):
        other = scaled(hole, c, s)
        other = replace(other, energy=other.energy + shift)
        assert LocalGP().contradicted_energies(other, cluster(s)).tolist() == [3]
        clean = scaled(structures, c, s)
        clean = replace(clean, energy=clean.energy + shift)
        assert not len(LocalGP().contradicted_energies(clean, cluster(s)))


@pytest.mark.parametrize("rounding", [1e-14, 1e-7])
def test_forces_that_vanish_by_symmetry_tell_nothing(structures, rounding):
    """Cells of one atom: of four forces two are rounding errors."""
    few = structures[:4]
    forces = few.forces.clone()
    forces[few.index < 2] *= rounding
    found = scale_of(replace(few, forces=forces)).energy
    exact = scale_of(replace(few, forces=forces * (forces.abs() > 1e-4))).energy
    assert found == pytest.approx(exact)


def test_energies_that_the_constants_of_the_species_explain_tell_nothing():
    """Of elements and compounds the scale is not the error of the fit of the constants."""
    images = [
        Atoms(symbols, positions=[[2.6 * i, 0, 0] for i in range(len(symbols))])
        for symbols in (["Cu"] * 2, ["Au"] * 2, ["Cu"] * 3, ["Cu", "Au", "Au"])
    ]
    energy = torch.tensor([0.4, 0.9, 0.92, 0.90], dtype=torch.float64)
    pairs = replace(from_ase(images), energy=energy)
    radii = torch.full((10,), 1.3, dtype=torch.float64)
    scale = ProblemScale.from_structures(pairs, radii).energy
    # No choice of constants leaves less than the smaller one of the two deviations.
    assert 0.1 < scale < 10
    shifted = energy + torch.tensor([-8.0, 4.0, -12.0, 0.0], dtype=torch.float64)
    again = ProblemScale.from_structures(replace(pairs, energy=shifted), radii).energy
    assert again == pytest.approx(scale, rel=1e-2)
