import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from bostruct.bench.multi_objective.emt_lattice import RigidLatticeEMT, energy_at_best_volume
from bostruct.structures import from_ase


def test_an_element_by_itself_has_no_enthalpy_whatever_its_cell():
    for a in (3.4, 3.6, 3.9):
        atoms = bulk("Cu", cubic=True, a=a)
        found = RigidLatticeEMT()(from_ase(atoms)).properties["mixing_enthalpy_eV_per_atom"]
        assert found == pytest.approx(0.0, abs=2e-4)


def test_the_energy_is_the_lowest_of_all_volumes():
    atoms = bulk("Cu", cubic=True, a=3.7)
    atoms.symbols[0] = "Au"
    energies = []
    for a in [3.6 + 0.005 * i for i in range(40)]:
        copy = atoms.copy()
        copy.set_cell([a, a, a], scale_atoms=True)
        copy.calc = EMT()
        energies.append(copy.get_potential_energy())
    assert energy_at_best_volume(atoms.copy()) == pytest.approx(min(energies), abs=2e-3)
    assert RigidLatticeEMT()(from_ase(atoms)).energy == pytest.approx(energy_at_best_volume(atoms))


def test_it_says_what_it_is():
    assert RigidLatticeEMT().description()["calculator"] == "EMT"
