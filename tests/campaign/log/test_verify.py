import json
import random
import sqlite3

import pytest

from bostruct.campaign import records
from bostruct.campaign.log.hash_chain import MUTABLE_COLUMNS
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.verify import verify_log
from bostruct.errors import LogError
from bostruct.runtime.canonical_json import to_canonical_json
from tests.campaign.standin import GP, Box, Fitted, campaign


def change(folder, *queries):
    connection = sqlite3.connect(folder / "campaign.db", isolation_level=None)
    for query in queries:
        connection.execute(query)
    connection.close()


def test_a_good_log(log):
    found = verify_log(log)
    assert found.is_valid
    assert (found.n_trials, found.n_posteriors, found.n_rebuilt) == (8, 4, 4)


def test_every_row_is_decoded_a_fixed_number_of_times(folder, tmp_path, monkeypatch):
    """So the time of a verification is linear in the number of evaluations."""
    campaign(n=24).run(tmp_path / "long")
    decoded, queries = [], []
    original, query = records.trial_from_row, Log.query

    def counting(row, *arguments):
        decoded.append(row["number"])
        return original(row, *arguments)

    monkeypatch.setattr(records, "trial_from_row", counting)
    monkeypatch.setattr(Log, "query", lambda *a: queries.append(a[1]) or query(*a))
    n_queries = []
    for path, n in ((folder, 8), (tmp_path / "long", 24)):
        decoded.clear()
        queries.clear()
        found = verify_log(Log(path, Box(), GP()))
        assert found.is_valid
        assert len(decoded) == 2 * n
        n_queries.append(len(queries) - found.n_posteriors)
    assert n_queries[0] == n_queries[1]


def test_a_campaign_may_go_on_while_its_log_is_verified(folder, monkeypatch):
    """All tables are read in one state, before the posteriors are."""
    original, told = Log.read_posterior, []

    def slow(self, step):
        if not told:
            told.append(step)
            campaign(n=10).run(folder)
        return original(self, step)

    monkeypatch.setattr(Log, "read_posterior", slow)
    found = verify_log(Log(folder, Box(), GP()))
    assert told
    assert found.is_valid, found
    assert found.n_trials == 8


def test_any_byte_of_a_posterior_matters(log):
    places = random.Random(0)
    for step in (1, 2, 3, 4):
        path = log.posterior_path(step)
        data = bytearray(path.read_bytes())
        data[places.randrange(len(data))] ^= 1 << places.randrange(8)
        path.write_bytes(data)
    found = verify_log(log)
    assert len(found.problems) == 4
    assert all("its sha256 differs" in problem for problem in found.problems)


@pytest.mark.parametrize("end", [0, 1, -1])
def test_posteriors_that_were_cut_or_lost(log, end):
    path = log.posterior_path(3)
    path.write_bytes(path.read_bytes()[:end])
    assert "sha256 differs" in verify_log(log).problems[0]
    path.unlink()
    assert "could not read" in verify_log(log).problems[0]


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        (
            "UPDATE bostruct_trial SET energy = energy + 1e-9 WHERE number = 3",
            "trial 3",
        ),
        ("UPDATE bostruct_trial SET x = zeroblob(72) WHERE number = 5", "trial 5"),
        ("UPDATE bostruct_trial SET mean = 0 WHERE number = 5", "trial 5 is not what"),
        (
            "UPDATE bostruct_step SET training_trials = '[]' WHERE number = 2",
            "step 2 is not what",
        ),
        ("DELETE FROM bostruct_trial WHERE number = 2", "trial 2 is missing"),
        ("DELETE FROM bostruct_trial WHERE number = 7", "chose 1 candidates and has 0"),
        ("DELETE FROM bostruct_posterior WHERE step = 2", "step 2 has lost its post"),
        ("UPDATE systems SET energy = 0 WHERE id = 2", "trial 1: the energy in ase.db"),
        ("DELETE FROM systems WHERE id = 2", "trial 1: the structure"),
        ("UPDATE systems SET positions = zeroblob(72) WHERE id = 2", "the positions"),
    ],
)
def test_what_was_changed_in_the_tables(log, folder, query, problem):
    change(folder, query)
    found = verify_log(log)
    assert not found.is_valid
    assert problem in " ".join(found.problems)


def test_a_byte_of_the_database_that_holds_coordinates(log, folder):
    file = folder / "campaign.db"
    data = bytearray(file.read_bytes())
    place = data.index(log.trials()[4].X.numpy().tobytes())
    data[place + 20] ^= 4
    file.write_bytes(data)
    assert any("trial 4" in problem for problem in verify_log(log).problems)


def test_a_database_that_was_cut(folder):
    file = folder / "campaign.db"
    data = file.read_bytes()
    for length in range(0, len(data), len(data) // 16):
        file.write_bytes(data[:length])
        try:
            found = verify_log(Log(folder, Box(), GP()))
        except LogError:
            continue
        assert not found.is_valid


def test_a_surrogate_that_predicts_otherwise(folder):
    class Other(GP):
        def restore(self, tensors, space=None):
            return Fitted(tensors["features"], tensors["energies"] + 1e-8)

    found = verify_log(Log(folder, Box(), Other()))
    assert len(found.problems) == 8
    assert (
        "step 1: the rebuilt posterior's mean at the probe differs by up to 1.0e-08"
        in (found.problems[0])
    )


def test_a_surrogate_that_cannot_be_rebuilt(folder):
    class Other(GP):
        def restore(self, tensors, space=None):
            return Fitted(tensors["absent"], tensors["energies"])

    found = verify_log(Log(folder, Box(), Other()))
    assert "step 1: could not be rebuilt: KeyError: 'absent'" in found.problems


def test_without_the_parts_it_says_what_was_not_compared(folder):
    found = verify_log(Log(folder))
    assert found.problems == ()
    assert not found.is_valid
    assert "give the campaign file" in found.skipped[0]


def test_unreferenced_files_are_named(log, folder):
    (folder / "posteriors" / "step-000099.safetensors").touch()
    assert "step-000099.safetensors belongs to no step" in verify_log(log).skipped[0]


def test_steps_of_versions_that_corrected_nothing_are_right(folder):
    """The chain tells of the change, and nothing else is amiss."""
    connection = sqlite3.connect(folder / "campaign.db", isolation_level=None)
    connection.row_factory = sqlite3.Row
    (row,) = connection.execute("SELECT * FROM bostruct_step WHERE number = 3")
    numbers = json.loads(row["hyperparameters"])
    kept = {k: v for k, v in numbers.items() if not k.startswith("recalibration_")}
    assert len(kept) == len(numbers) - 2
    new = dict(row) | {"hyperparameters": to_canonical_json(kept)}
    new["checksum"] = records.row_checksum(new, MUTABLE_COLUMNS["step"])
    query = "UPDATE bostruct_step SET hyperparameters = ?, checksum = ? WHERE number = 3"
    connection.execute(query, (new["hyperparameters"], new["checksum"]))
    connection.close()
    found = verify_log(Log(folder, Box(), GP())).problems
    assert found == ("step 3 is not what was written: the hash chain differs",)


def test_a_calibration_that_knew_more_than_its_step_is_seen(folder):
    """Rows whose checksums are right: what was logged does not follow from the rest."""
    connection = sqlite3.connect(folder / "campaign.db", isolation_level=None)
    connection.row_factory = sqlite3.Row
    (row,) = connection.execute("SELECT * FROM bostruct_step WHERE number = 3")
    numbers = json.loads(row["hyperparameters"])
    for changed in (
        {"calibration_factor": 1.5},
        {"calibration_tested": 4.0},
        {"calibration_more": 1.0},
        {"recalibration_scale": 7.0},
    ):
        new = dict(row) | {"hyperparameters": to_canonical_json(numbers | changed)}
        new["checksum"] = records.row_checksum(new, MUTABLE_COLUMNS["step"])
        query = "UPDATE bostruct_step SET hyperparameters = ?, checksum = ? "
        connection.execute(f"{query} WHERE number = 3", (new["hyperparameters"], new["checksum"]))
        found = verify_log(Log(folder, Box(), GP())).problems
        assert found == (
            "step 3 is not what was written: the hash chain differs",
            "step 3: its calibration is not that of the energies it was planned from",
        )
    connection.close()
