import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms

from bostruct.errors import InputError
from bostruct.structures.energy_labels import EnergyLabels

FORCES = np.arange(6.0).reshape(2, 3) + 1


def pair(info=(), arrays=(), **results):
    atoms = Atoms("Cu2", [(0, 0, 0), (0, 0, 2.4)])
    atoms.info.update(dict.fromkeys(info, -1.5))
    for name in arrays:
        atoms.set_array(name, FORCES)
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def read(labels, atoms):
    energy, forces = labels.read(atoms)
    return energy, None if forces is None else forces.tolist()


def test_results_of_a_calculator():
    atoms = pair(energy=2.0, forces=FORCES)
    assert read(EnergyLabels(), atoms) == (2.0, FORCES.tolist())
    assert read(EnergyLabels(""), atoms) == (None, None)
    assert read(EnergyLabels("energy", ""), atoms) == (2.0, None)
    atoms.positions[1] += 0.1  # they are of other positions
    assert read(EnergyLabels(), atoms) == (None, None)


def test_reading_starts_no_calculation():
    atoms = pair()
    atoms.calc = EMT()
    assert EnergyLabels().read(atoms) == (None, None)


@pytest.mark.parametrize(
    ("key", "forces"),
    [("REF_energy", "REF_forces"), ("dft_energy", "dft_forces"), ("Energy", "Forces")],
)
def test_names_of_training_sets(key, forces):
    atoms = pair([key], [forces])
    assert read(EnergyLabels(key), atoms) == (-1.5, FORCES.tolist())
    assert read(EnergyLabels(key, ""), atoms) == (-1.5, None)
    assert EnergyLabels(key).unread(atoms) == ""
    assert EnergyLabels().unread(atoms) == key


def test_forces_of_a_free_energy():
    atoms = pair(free_energy=3.0, forces=FORCES)
    assert read(EnergyLabels("free_energy"), atoms) == (3.0, FORCES.tolist())
    assert EnergyLabels().unread(atoms) == "free_energy"
    assert EnergyLabels().read(atoms)[0] is None


def test_forces_of_another_method_are_not_mixed_in():
    atoms = pair(["REF_energy"], energy=2.0, forces=FORCES)
    assert read(EnergyLabels("REF_energy"), atoms) == (-1.5, None)
    assert EnergyLabels("REF_energy").unread(atoms) == "forces"
    assert EnergyLabels("REF_energy", "forces").unread(atoms) == ""


def test_unread_forces_beside_an_energy():
    atoms = pair([], ["REF_forces"], energy=2.0)
    assert EnergyLabels().unread(atoms) == "REF_forces"
    assert EnergyLabels("energy", "REF_forces").unread(atoms) == ""
    assert EnergyLabels("energy", "").unread(atoms) == ""
    assert EnergyLabels().unread(pair([], ["REF_forces"])) == ""  # of no use without an energy


def test_info_alone_is_unread_under_the_default_name():
    atoms = pair(["energy"])
    assert EnergyLabels().read(atoms)[0] is None
    assert EnergyLabels().unread(atoms) == "energy"


def test_what_is_no_energy():
    atoms = pair()
    atoms.info |= {
        "energy_unit": "eV",
        "energies": [1.0, 2.0],
        "my_energy": np.nan,
        "has_energy": True,
    }
    atoms.set_array("force_mask", np.ones(2))
    assert EnergyLabels().unread(atoms) == ""
    assert EnergyLabels("").unread(pair(["REF_energy"])) == ""


def test_forces_of_fixed_atoms_are_unknown():
    atoms = pair(["REF_energy"], ["REF_forces"])
    atoms.arrays["REF_forces"][0] = 0.0
    atoms.set_constraint(FixAtoms([0]))
    forces = EnergyLabels("REF_energy").read(atoms)[1]
    assert np.isnan(forces[0]).all()
    assert forces[1].tolist() == [4, 5, 6]


def test_stress_has_the_name_of_the_energy():
    atoms = pair(["REF_energy"], energy=2.0, stress=np.arange(6.0))
    assert EnergyLabels().read_stress(atoms).tolist() == [0, 1, 2, 3, 4, 5]
    assert EnergyLabels("").read_stress(atoms) is None
    assert EnergyLabels("REF_energy").read_stress(atoms) is None
    atoms.info["REF_stress"] = [[1, 6, 5], [6, 2, 4], [5, 4, 3]]
    assert EnergyLabels("REF_energy").read_stress(atoms).tolist() == [1, 2, 3, 4, 5, 6]
    atoms.positions[1] += 0.1
    assert EnergyLabels().read_stress(atoms) is None


def test_refuses_what_is_no_stress():
    atoms = pair(energy=2.0)
    atoms.info["REF_stress"] = [1.0, 2.0]
    with pytest.raises(InputError, match=r"`REF_stress` must be six numbers or 3 x 3, got shape"):
        EnergyLabels("REF_energy").read_stress(atoms)


def test_a_virial_is_minus_the_stress_times_the_volume():
    atoms = bulk("Cu")
    atoms.calc = SinglePointCalculator(atoms, energy=2.0)
    six = np.arange(1.0, 7.0)
    matrix = six[[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3)
    atoms.info["virial"] = -atoms.get_volume() * matrix
    assert EnergyLabels().read_stress(atoms) == pytest.approx(six)
    assert EnergyLabels(stress_key="").read_stress(atoms) is None
    atoms.info["REF_energy"], atoms.info["dft_virial"] = 2.0, -atoms.get_volume() * six
    assert EnergyLabels("REF_energy", stress_key="dft_virial").read_stress(atoms) == pytest.approx(
        six
    )
    atoms.positions += 0.1  # `info` outlives a change of the positions
    assert EnergyLabels().read_stress(atoms) is None


def test_an_energy_is_no_stress():
    atoms = pair(energy=2.0)
    atoms.info["E_dft"] = 2.0
    assert EnergyLabels("E_dft").read_stress(atoms) is None


def test_a_cluster_has_no_virial():
    atoms = pair()
    atoms.info["REF_virial"] = np.ones(6)
    assert EnergyLabels("REF_energy").read_stress(atoms) is None
