import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from bostruct.errors import InputError, ShapeError
from bostruct.structures import from_ase
from bostruct.surrogates import (
    PretrainedPotential,
    committee_prediction,
    read_uncertainty,
)
from bostruct.uncertainty import Prediction

RNG = np.random.default_rng(0)
M, N = 5, 3
ENERGIES = -12.0 + RNG.normal(size=M)
FORCES = RNG.normal(size=(M, N, 3))
NODES = np.array([-3.0, -4.0, ENERGIES.mean() + 7.0])


class Says(Calculator):
    """A calculator with given results."""

    implemented_properties = ("energy", "forces")

    def __init__(self, **results):
        super().__init__()
        self.said = {"energy": ENERGIES.mean(), "forces": FORCES.mean(0)} | results

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = dict(self.said)


def structure(calculator):
    positions = [[0, 0, 0], [2.4, 0, 0], [0, 2.5, 0]]
    return Atoms("Cu3", positions=positions, calculator=calculator)


def mace(unit=1.0, **results):
    """As MACE does: variances of divisor M."""
    calculator = Says(
        energy_comm=ENERGIES,
        energy_var=ENERGIES.var() * unit,
        forces_comm=FORCES,
        forces_var=FORCES.var(0),
        energies=NODES,
        node_energy=NODES + 1.0,
        **results,
    )
    calculator.num_models, calculator.energy_units_to_eV = M, unit
    return calculator


def check(found):
    assert float(found.mean) == pytest.approx(ENERGIES.mean())
    assert float(found.variance) == pytest.approx(ENERGIES.var(ddof=1))
    np.testing.assert_allclose(found.members[:, 0], ENERGIES)
    np.testing.assert_allclose(found.forces, FORCES.mean(0))
    np.testing.assert_allclose(found.force_variance, FORCES.var(0, ddof=1))
    np.testing.assert_allclose(found.member_forces, FORCES)
    assert float(found.noise_variance) == 0


@pytest.mark.parametrize("unit", [1.0, 27.2])
def test_a_committee_of_mace(unit):
    """Trap 3: divisor M, and a unit that is not squared; members tell the truth."""
    found = read_uncertainty(structure(mace(unit)))
    check(found)
    np.testing.assert_allclose(found.atomic_energies, NODES)


def test_a_committee_of_an_older_mace():
    """`energies` were members then, and there was no `energy_comm`."""
    calculator = Says(energies=ENERGIES, energy_var=ENERGIES.var(), forces_comm=FORCES)
    found = read_uncertainty(structure(calculator))
    check(found)
    assert found.atomic_energies is None


def test_energies_of_atoms_are_not_members():
    """Neither alone nor beside a variance: their mean is not the energy."""
    with pytest.raises(InputError, match="offer members or an uncertainty, got en"):
        read_uncertainty(structure(Says(energies=NODES)))
    calculator = Says(energies=NODES, energy_var=ENERGIES.var())
    calculator.num_models = M
    found = read_uncertainty(structure(calculator))
    assert found.members is None
    assert float(found.variance) == pytest.approx(ENERGIES.var(ddof=1))


def test_variances_alone_are_taken_if_divisor_and_unit_are_known():
    results = {"energy_var": ENERGIES.var(), "forces_var": FORCES.var(0)}
    calculator = Says(**results)
    calculator.num_models = M
    found = read_uncertainty(structure(calculator))
    assert float(found.variance) == pytest.approx(ENERGIES.var(ddof=1))
    np.testing.assert_allclose(found.force_variance, FORCES.var(0, ddof=1))
    calculator.energy_units_to_eV = 27.2
    for unknown in (calculator, Says(**results)):
        with pytest.raises(InputError, match="give its members where its vari"):
            read_uncertainty(structure(unknown))


class Upet(Says):
    """As upet and metatomic do: deviations, and members in the last axis."""

    def get_energy_uncertainty(self, atoms):
        assert atoms.calc is self
        return np.array(0.3)

    def get_energy_ensemble(self, atoms):
        return ENERGIES

    def get_forces_ensemble(self, atoms):
        return np.moveaxis(FORCES, 0, -1)

    def get_forces_uncertainty(self, atoms):
        raise NotImplementedError("this model has none")


def test_deviations_are_squared_and_members_come_first():
    found = read_uncertainty(structure(Upet()))
    assert float(found.variance) == pytest.approx(0.09)
    np.testing.assert_allclose(found.members[:, 0], ENERGIES)
    np.testing.assert_allclose(found.member_forces, FORCES)
    np.testing.assert_allclose(found.force_variance, FORCES.var(0, ddof=1))
    alone = read_uncertainty(structure(Says(energy_uncertainty=0.3, forces_uncertainty=FORCES[0])))
    assert float(alone.variance) == pytest.approx(0.09)
    assert alone.members is alone.member_forces is None
    np.testing.assert_allclose(alone.force_variance, FORCES[0] ** 2)


def test_without_forces_none_are_asked_for():
    found = read_uncertainty(structure(Upet()), forces=False)
    assert found.forces is found.member_forces is found.force_variance is None


def test_any_calculators_are_a_committee():
    wells = [LennardJones(epsilon=e, sigma=2.2, rc=8.0) for e in (0.9, 1.0, 1.3)]
    atoms = structure(None)
    found = committee_prediction(atoms, wells)
    energies, forces = [], []
    for well in wells:
        atoms.calc = well
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
    np.testing.assert_allclose(found.members[:, 0], energies)
    assert float(found.mean) == pytest.approx(np.mean(energies))
    assert float(found.variance) == pytest.approx(np.var(energies, ddof=1))
    np.testing.assert_allclose(found.forces, np.mean(forces, 0))
    np.testing.assert_allclose(found.force_variance, np.var(forces, axis=0, ddof=1), atol=1e-12)
    with pytest.raises(InputError, match="One member has no spread"):
        committee_prediction(atoms, wells[:1], forces=False)


def well(epsilon):
    return lambda **options: LennardJones(epsilon=epsilon, sigma=2.2, **options)


def test_a_pretrained_committee_stands_where_a_surrogate_stands():
    images = [structure(None), structure(None)]
    images[1].positions[0, 0] = -0.4
    structures = from_ase(images)
    model = PretrainedPotential(well(0.9), well(1.0), well(1.3), rc=8.0)
    found = model.fit(structures).predict(structures, covariance=True)
    assert isinstance(found, Prediction)
    assert found.mean.shape == (2,)
    assert found.forces.shape == found.force_variance.shape == (6, 3)
    assert found.member_forces.shape == (3, 6, 3)
    torch.testing.assert_close(found.covariance, torch.cov(found.members.T))
    torch.testing.assert_close(found.covariance.diagonal(), found.variance)
    alone = model.predict(structures[1])
    torch.testing.assert_close(alone.variance, found.variance[1:])


def test_it_makes_its_calculator_once_and_travels_without_it():
    made = []

    def factory():
        made.append(1)
        return mace()

    structures = from_ase([structure(None)] * 3)
    model = PretrainedPotential(factory, with_forces=False)
    assert model.predict(structures).members.shape == (M, 3)
    assert len(made) == 1
    assert model.predict(structures).forces is None
    plain = PretrainedPotential(EMT, asap_cutoff=True)
    again = pickle.loads(pickle.dumps(plain))
    assert again.description() == plain.description()
    assert plain.description()["factories"] == ["ase.calculators.emt.EMT"]


def test_a_reader_of_ones_own():
    def reader(atoms):
        mean = torch.tensor([atoms.get_potential_energy()])
        return Prediction(mean, torch.ones(1), torch.zeros(1))

    structures = from_ase(structure(None))
    model = PretrainedPotential(EMT, read_uncertainty=reader)
    found = model.predict(structures)
    assert float(found.variance) == 1
    assert model.description()["read_uncertainty"].endswith("reader")
    with pytest.raises(InputError, match="offer members for a covariance, got a"):
        model.predict(structures, covariance=True)


def test_what_does_not_fit_is_refused():
    structures = from_ase(structure(None))
    with pytest.raises(InputError, match=r"offer members or an uncertainty.*Give"):
        PretrainedPotential(EMT).predict(structures)
    with pytest.raises(InputError, match="be calculator classes, or functions"):
        PretrainedPotential(EMT())
    with pytest.raises(InputError, match="be calculator classes, or functions"):
        PretrainedPotential()
    with pytest.raises(InputError, match="give a finite variance, got another"):
        read_uncertainty(structure(Says(energy_uncertainty=float("nan"))))
    with pytest.raises(ShapeError, match="give one variance of the energy, got 2"):
        read_uncertainty(structure(Says(energy_uncertainty=[0.1, 0.2])))
    broken = Says(energy_uncertainty=0.1, forces_uncertainty=FORCES[0, :2])
    with pytest.raises(ShapeError, match=r"give force_variance of shape \[3, 3\]"):
        read_uncertainty(structure(broken))


def test_zeros_of_energies_can_be_met():
    """Energies of atoms are added, and nothing else: what is left of errors stays."""
    images = [structure(None), structure(None), structure(None)]
    images[1].symbols[0] = images[2].symbols[0] = images[2].symbols[1] = "Ni"
    images[2].positions[0, 0] = -0.3
    wells = well(0.9), well(1.0), well(1.3)
    plain = PretrainedPotential(*wells, rc=8.0).predict(from_ase(images))
    truth = plain.mean + torch.tensor([3.0, 2.0, 1.0]) * 7.0
    truth = truth + torch.tensor([0.0, 1.0, 2.0]) * -4.0
    structures = replace(from_ase(images), energy=truth)
    model = PretrainedPotential(*wells, shift_species_energies=True, rc=8.0).fit(structures)
    assert model.species_shifts == pytest.approx({28: -4.0, 29: 7.0})
    found = model.predict(structures)
    torch.testing.assert_close(found.mean, truth)
    torch.testing.assert_close(found.members.mean(0), truth)
    torch.testing.assert_close(found.variance, plain.variance)
    torch.testing.assert_close(model.fit(structures).predict(structures).mean, truth)
    assert model.description()["shift_species_energies"]
    alone = PretrainedPotential(*wells, shift_species_energies=True, rc=8.0).fit(structures[0])
    with pytest.raises(InputError, match=r"of the species \[29\] it was aligned with"):
        alone.predict(structures[1])
    with pytest.raises(InputError, match="`energy` must be known where a potential"):
        model.fit(structures.without_results())
    own = PretrainedPotential(mace, shift_species_energies=True, with_forces=False)
    atoms = replace(from_ase(structure(None)), energy=torch.zeros(1).double())
    found = own.fit(atoms).predict(atoms)
    assert float(found.mean) == pytest.approx(0, abs=1e-9)
    assert float(found.atomic_energies.sum()) == pytest.approx(0, abs=1e-9)
