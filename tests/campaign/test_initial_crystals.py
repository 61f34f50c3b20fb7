"""Initial structures of a space whose cell varies."""

import ase.io
import numpy as np
import pytest
import torch
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from bostruct.campaign.initial_structures import read_initial_structures
from bostruct.campaign.log.verify import verify_log
from bostruct.errors import InputError
from bostruct.evaluators import Calculator, Failure
from bostruct.structures import to_ase
from bostruct.structures.energy_labels import EnergyLabels
from tests.campaign import crystals

EVALUATOR = Calculator(EMT)


def image(stress=None, seed=0):
    """Return a crystal with what EMT computes of it, or another stress."""
    space = crystals.Cells()
    atoms = to_ase(space.decode(space.sample(1, torch.Generator().manual_seed(seed))))[0]
    free = atoms.copy()
    free.calc = EMT()
    results = {"energy": free.get_potential_energy(), "forces": free.get_forces()}
    results["stress"] = free.get_stress() if stress is None else stress
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def read(images, labels=None):
    return read_initial_structures(images, crystals.Cells(), EVALUATOR, (), labels)


def test_initial_data_bring_their_stress(tmp_path):
    images = [image(seed=0), image(seed=1)]
    ase.io.write(tmp_path / "data.extxyz", images)
    folder = tmp_path / "run"
    crystals.campaign(initial_structures=tmp_path / "data.extxyz", n=3).run(folder)
    log = crystals.campaign(initial_structures=tmp_path / "data.extxyz", n=3).read(folder)
    for trial, given in zip(log.trials()[:2], images, strict=True):
        assert np.allclose(trial.stress, given.get_stress(), rtol=0, atol=1e-7)
        assert np.allclose(trial.forces, given.get_forces(), rtol=0, atol=1e-7)
    assert verify_log(log).is_valid
    # A log is initial data of another campaign, with all that it knows.
    again = read([str(folder / "campaign.db")])
    assert [result.stress.tolist() for result in again.results] == [
        trial.stress.tolist() for trial in log.trials("done")
    ]


def test_names_of_energy_forces_and_stress(tmp_path):
    given, bare = image(), image()
    bare.calc = None
    bare.info["REF_energy"] = given.get_potential_energy()
    bare.arrays["REF_forces"] = given.get_forces()
    bare.info["REF_virial"] = -given.get_stress(voigt=False) * given.get_volume()
    ase.io.write(tmp_path / "data.extxyz", bare)
    (found,) = read(str(tmp_path / "data.extxyz"), EnergyLabels("REF_energy")).results
    assert np.allclose(found.stress, given.get_stress(), rtol=0, atol=1e-7)
    labels = EnergyLabels("REF_energy", stress_key="")
    assert read(str(tmp_path / "data.extxyz"), labels).results[0].stress is None


def test_stresses_are_part_of_the_identity():
    one, other = (read([image(stress=np.full(6, x))]).description() for x in (0.1, 0.2))
    assert one["sha256"] != other["sha256"]


def test_an_absurd_stress_is_a_failure():
    (found,) = read([image(stress=np.full(6, 1e7))]).results
    assert isinstance(found, Failure)
    assert "the stress is absurd" in found.reason


def test_refuses_what_is_no_stress():
    atoms = image()
    atoms.calc = None
    atoms.info["REF_energy"], atoms.info["REF_stress"] = 1.0, [1.0, 2.0]
    with pytest.raises(InputError, match=r"`initial_structures` must .* six numbers or 3 x 3"):
        read([atoms], EnergyLabels("REF_energy"))
