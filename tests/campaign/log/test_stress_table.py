import shutil
import sqlite3

import ase.db
import numpy as np
import pytest
import torch
from ase.calculators.emt import EMT

from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.stress_table import read_stresses
from bostruct.campaign.log.verify import verify_log
from bostruct.errors import LogError
from bostruct.evaluators import Calculator
from tests.campaign import crystals


@pytest.fixture(scope="module")
def _run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crystal") / "run"
    crystals.campaign().run(folder)
    return folder


@pytest.fixture
def folder(_run, tmp_path):
    return shutil.copytree(_run, tmp_path / "run")


def execute(folder, query, *values):
    connection = sqlite3.connect(folder / "campaign.db", isolation_level=None)
    connection.execute(query, values)
    connection.close()


def test_a_log_keeps_the_stress_of_each_trial(folder):
    log = crystals.campaign().read(folder)
    trials = log.trials("done")
    assert len(trials) == 8
    for trial in trials:
        atoms = trial.atoms
        atoms.calc = EMT()
        assert np.allclose(trial.stress, atoms.get_stress(), rtol=0, atol=1e-12)
    stresses = torch.stack([trial.stress for trial in trials])
    assert torch.equal(log.structures().stress, stresses)
    assert verify_log(log).is_valid


def test_ase_reads_the_stress(folder):
    trials = crystals.campaign().read(folder).trials("done")
    with ase.db.connect(folder / "campaign.db") as db:
        for row, trial in zip(db.select(), trials, strict=True):
            assert np.array_equal(row.toatoms().get_stress(), trial.stress)


def test_a_log_without_stresses_has_no_table(tmp_path, folder):
    without = crystals.campaign(evaluator=Calculator(EMT, with_stress=False))
    without.run(tmp_path / "without")
    log = Log(tmp_path / "without")
    assert not log.query("SELECT name FROM sqlite_master WHERE name LIKE '%stress%'")
    assert read_stresses(log.query) == {}
    assert all(trial.stress is None for trial in log.trials("done"))
    assert without.read(tmp_path / "without").structures().stress is None


def test_resumed_campaigns_have_the_same_fingerprint(tmp_path, folder):
    campaign = crystals.campaign(n=6)
    campaign.run(tmp_path / "other")
    campaign.run(tmp_path / "other", stop=crystals.campaign().stop)
    assert Log(tmp_path / "other").fingerprint() == Log(folder).fingerprint()


def test_the_fingerprint_sees_stresses(folder):
    before = Log(folder).fingerprint()
    execute(folder, "UPDATE bostruct_stress SET stress = ? WHERE trial = 3", bytes(48))
    assert Log(folder).fingerprint() != before


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("DELETE FROM bostruct_stress WHERE trial = 3", "the stress of trial 3 is missing"),
        ("DROP TABLE bostruct_stress", "the stress of trial 3 is missing"),
        ("UPDATE bostruct_stress SET trial = 30 WHERE trial = 3", "the stress of trial 30"),
        (
            "UPDATE bostruct_stress SET stress = zeroblob(48) WHERE trial = 3",
            "the stress of trial 3 is not what was written",
        ),
    ],
)
def test_verify_sees_changed_stresses(folder, query, problem):
    execute(folder, query)
    problems = verify_log(crystals.campaign().read(folder)).problems
    assert any(problem in found for found in problems), problems
    with pytest.raises(LogError, match="not as it was written"):
        crystals.campaign(n=9).run(folder)


def test_a_stress_of_the_wrong_size_is_refused(folder):
    execute(folder, "UPDATE bostruct_stress SET stress = zeroblob(40) WHERE trial = 3")
    with pytest.raises(LogError, match="1 rows of bostruct_stress whose stress is not"):
        Log(folder)


def test_a_retracted_stress_is_not_read(folder):
    campaign = crystals.campaign()
    with campaign.open(folder):
        campaign.retract(3, "wrong setup")
    assert Log(folder).trials()[3].stress is None
    assert verify_log(campaign.read(folder)).is_valid
