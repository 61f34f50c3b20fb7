"""Deviations fitted to data that tell no scale, and given ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from bostruct.spaces import Cluster
from bostruct.structures import Structures, from_ase, to_ase
from bostruct.surrogates import LocalGP, PairRepulsion
from tests.surrogates.dense import energies_only, labelled


def apart(distances, with_forces):
    """Return dimers of copper with the energies of EMT."""
    dimers = []
    for d in distances:
        atoms = Atoms("Cu2", [(0, 0, 0), (float(d), 0, 0)], calculator=EMT())
        energy = torch.tensor([atoms.get_potential_energy()], dtype=torch.float64)
        forces = torch.from_numpy(atoms.get_forces()) if with_forces else None
        atoms.calc = None
        dimers.append(replace(from_ase(atoms), energy=energy, forces=forces))
    return Structures.cat(dimers)


@pytest.mark.parametrize("with_forces", [True, False])
@pytest.mark.parametrize("start", [8.0, 6.0, 5.0, 4.9, 4.8, 4.5])
@pytest.mark.parametrize(("count", "step"), [(4, 0.1), (2, 0.1), (4, 0.01), (3, 0.0)])
def test_data_that_are_all_alike_tell_no_scale(start, count, step, with_forces):
    """Atoms out of each other's reach: the deviation of a tetrahedron is that of some bonds."""
    r = torch.tensor([(0, 0, 0), (2.4, 0, 0), (1.2, 2.1, 0), (1.2, 0.7, 2.0)])
    atoms = Atoms("Cu4", r.numpy(), calculator=EMT())
    flat = apart(start + step * torch.arange(count), with_forces)
    found = LocalGP().fit(flat).predict(from_ase(Atoms("Cu4", r.numpy())))
    sigma = found.variance.sqrt()
    assert (found.mean - atoms.get_potential_energy()).abs() < 30 * sigma
    assert sigma < 100


@pytest.mark.parametrize("displacement", [0.0, 0.001, 0.01])
def test_energies_of_near_copies_tell_no_scale(data, displacement):
    """Terms explain how four of them differ, and know nothing of other structures."""
    generator = torch.Generator().manual_seed(0)
    copies = []
    for _ in range(4):
        atoms = to_ase(data[:1])[0]
        noise = torch.randn(6, 3, dtype=torch.float64, generator=generator)
        atoms.positions += displacement * noise.numpy()
        atoms.calc = EMT()
        atoms.get_potential_energy()
        copies.append(atoms)
    found = LocalGP().fit(energies_only(from_ase(copies))).predict(data[1:20])
    z2 = (found.mean - data[1:20].energy).square() / found.variance
    assert z2.mean() < 4


@pytest.mark.parametrize("displacement", [0.0, 0.001])
@pytest.mark.parametrize("formula", ["Cu8", "Au4Cu4"])
def test_copies_of_a_minimum_tell_no_scale(formula, displacement):
    """Forces vanish there whatever the scale is."""
    space = Cluster(formula)
    X = space.sample(9, torch.Generator().manual_seed(0))
    minimum = to_ase(labelled(X[:1], space, steps=300, shake=0.0))[0]
    rng = np.random.default_rng(0)
    copies = []
    for _ in range(4):
        copies.append(minimum.copy())
        copies[-1].positions += displacement * rng.normal(size=(8, 3))
        copies[-1].calc = EMT()
        copies[-1].get_forces()
    others = labelled(X[1:], space, steps=20)
    found = LocalGP().fit(from_ase(copies), space).predict(others)
    z2 = (found.mean - others.energy).square() / found.variance
    assert z2.mean() < 4


def test_copies_of_argon_are_as_uncertain_as_argon_binds():
    """Not as a metal does: of dispersion in eV, and of a potential of keV by its forces."""
    space = Cluster("Ar5", atomic_radii={"Ar": 1.9})
    X = space.sample(9, torch.Generator().manual_seed(0))

    def with_energies(X, unit):
        found = []
        for atoms in to_ase(space.decode(X)):
            atoms.calc = LennardJones(sigma=3.4, epsilon=0.0104 * unit, rc=20.0)
            atoms.get_forces()
            found.append(atoms)
        return from_ase(found)

    sigmas = {}
    for unit in (1.0, 1e5):
        copies = with_energies(X[:1].expand(3, -1), unit)
        found = LocalGP().fit(copies, space).predict(with_energies(X[1:], unit))
        sigmas[unit] = float(found.variance.sqrt().median())
    assert 0.02 < sigmas[1.0] < 1.0
    assert sigmas[1e5] > 1e3 * sigmas[1.0]


@pytest.mark.parametrize("count", [2, 3])
def test_a_few_energies_of_different_structures_tell_the_scale(count):
    """σ is mostly of the size of their spread, not that of unknown chemical bonds."""
    space = Cluster("Cu5")
    data = energies_only(labelled(space.sample(40, torch.Generator().manual_seed(0)), space))
    draws = [data[start : start + count] for start in range(0, 40 - count, 5)]
    variances = torch.stack([LocalGP().fit(few, space).predict(data).variance for few in draws])
    assert 0.05 < float(variances.median().sqrt() / data.energy.std()) < 1


def test_given_hyperparameters_and_no_pair_prior_stay_as_they_are():
    flat = apart(torch.arange(6.0, 9.0), with_forces=True)
    given = LocalGP(hyperparameters=(0.1, 0.01, 0.02)).fit(flat).fitted.signal_std
    assert float(given) == pytest.approx(0.1)
    assert LocalGP(pair_repulsion=None).fit(flat).fitted.signal_std < 0.1
    stiff, soft = (LocalGP(pair_repulsion=PairRepulsion(strength=s)).fit(flat) for s in (20, 2))
    assert float(stiff.fitted.signal_std) == pytest.approx(10 * float(soft.fitted.signal_std))
