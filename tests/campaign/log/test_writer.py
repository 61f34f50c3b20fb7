import contextlib
import errno
import io
import resource
import shutil
import sqlite3
import time
from dataclasses import replace

import pytest
import torch

from bostruct.campaign.log import database
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.verify import verify_log
from bostruct.campaign.log.writer import LogWriter
from bostruct.campaign.records import PlannedStep
from bostruct.campaign.report.summary import summarize
from bostruct.errors import InputError, LogError
from bostruct.evaluators import Evaluation, Failure, evaluate
from bostruct.runtime import atomic_write
from tests.campaign import processes
from tests.campaign.standin import GP, Box, campaign, counting


def open_ledger(folder):
    description = campaign().description()
    parts = {"space": Box(), "surrogate": GP(), "device": "cpu"}
    return LogWriter(folder, description, 0, **parts)


def step(number=0, count=2):
    X = torch.rand(count, 9, dtype=torch.float64)
    return PlannedStep(number, "random", X, ["random"] * count)


def test_a_new_ledger(tmp_path):
    ledger = open_ledger(tmp_path / "a" / "run")
    assert ledger.trials() == []
    assert ledger.steps() == []
    assert summarize(ledger).status == "running"
    ledger.close("finished", "it was time")
    ledger.close()
    log = Log(tmp_path / "a" / "run")
    assert summarize(log).status == "finished"
    assert log.sessions()[0]["versions"]["torch"]
    assert {path.name for path in log.folder.iterdir()} == {
        "campaign.db",
        "campaign.lock",
        "posteriors",
    }


def test_what_is_written_is_read(tmp_path):
    ledger = open_ledger(tmp_path)
    planned = step()
    first, second = ledger.write_step(planned)
    assert torch.equal(first.X, planned.X[0])
    assert first.state == "planned"
    ledger.mark_running([first, second])
    ledger.mark_running(ledger.trials())  # none is planned any more
    forces = torch.rand(3, 3, dtype=torch.float64)
    found = Evaluation(1.25, forces, {"gap": 2.0}, 3.0, {"code": "x"})
    ledger.write_result(0, found)
    ledger.write_result(1, Failure("no", retryable=True, seconds=1.0))
    done, failed = ledger.trials()
    assert (done.energy, done.seconds, done.state) == (1.25, 3.0, "done")
    assert torch.equal(done.forces, forces)
    assert (done.properties, done.provenance) == ({"gap": 2.0}, {"code": "x"})
    assert (failed.reason, failed.retryable, failed.state) == ("no", True, "failed")
    assert ledger.steps()[0].seconds["log"] > 0
    ledger.close()
    assert verify_log(Log(tmp_path, Box(), GP())).is_valid


def test_steps_come_in_order(tmp_path):
    ledger = open_ledger(tmp_path)
    with pytest.raises(InputError, match="`step` must be the next step, 0, got 3"):
        ledger.write_step(step(3))
    ledger.close()


def test_a_closed_ledger_writes_nothing(tmp_path):
    ledger = open_ledger(tmp_path)
    ledger.close()
    with pytest.raises(LogError, match="is closed: open it again"):
        ledger.write_step(step())


def test_what_was_running_is_planned_again(tmp_path):
    ledger = open_ledger(tmp_path)
    ledger.mark_running(ledger.write_step(step()))
    keys = [trial.key for trial in ledger.trials()]
    ledger.close()
    ledger = open_ledger(tmp_path)
    assert [trial.attempt for trial in ledger.trials("planned")] == [2, 2]
    assert not set(keys) & {trial.key for trial in ledger.trials()}
    ledger.close()


def test_unreferenced_files_are_swept(folder):
    posteriors = folder / "posteriors"
    kept = sorted(path.name for path in posteriors.iterdir())
    (posteriors / "step-000099.safetensors").write_bytes(b"x")
    (posteriors / "step-000001.safetensors.tmp").write_bytes(b"x")
    campaign(n=8).run(folder)
    assert sorted(path.name for path in posteriors.iterdir()) == kept


def test_a_newer_format_is_refused(folder):
    change(folder, "UPDATE bostruct_campaign SET format = 99")
    with pytest.raises(LogError, match="has log format 99, this bostruct reads"):
        Log(folder)


def change(folder, *queries):
    connection = sqlite3.connect(folder / "campaign.db", isolation_level=None)
    for query in queries:
        connection.execute(query)
    connection.close()


def test_an_error_while_opening_frees_the_folder(tmp_path, monkeypatch):
    def broken(*_):
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(database, "set_journal_mode", broken)
        with pytest.raises(LogError, match=r"could not open .*: disk I/O error"):
            open_ledger(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(database, "AseRows", broken)
        with pytest.raises(LogError, match=r"could not write .*new: disk I/O error"):
            open_ledger(tmp_path / "new")
    open_ledger(tmp_path).close()


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(LogError, match="could not write in"):
        open_ledger(tmp_path / "file" / "run")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic_write, "fsync_folder", full)
    with pytest.raises(LogError, match="No space left on device"):
        open_ledger(tmp_path / "run")


def limited(size, folder, file, n):
    """Run until a file would be larger than `size`; end with 5 at a `LogError`."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # it may be a long file
            processes.run(folder, file, n)
    except LogError as error:
        raise SystemExit(5 if "could not" in str(error) else 1) from error


@pytest.mark.parametrize(
    "size", [4_000, 160_000, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 50_000))]
)
def test_a_full_disk_leaves_a_folder_to_go_on_with(tmp_path, size):
    n = 16
    whole = counting(tmp_path / "c", n).run(tmp_path / "whole").fingerprint()
    folder, calls = tmp_path / "run", tmp_path / "calls"
    assert processes.call(limited, size, folder, calls, n) == 5
    known = [t.number for t in Log(folder).trials("done")] if size > 150_000 else []
    if size > 150_000:
        assert known
    log = counting(calls, n).run(folder)
    assert log.fingerprint() == whole
    assert len(set(calls.read_text().split())) == n
    assert verify_log(log).is_valid


@pytest.mark.parametrize(("step", "is_acknowledged"), [(39, False), (41, True)])
def test_cut_anywhere_the_log_is_one_it_was(tmp_path, step, is_acknowledged):
    """After a power cut the last writes may be missing: cut the WAL at many places.

    The energy in it is not acknowledged yet; what follows its checkpoint holds none.
    """
    n = 6
    whole = counting(tmp_path / "c", n).run(tmp_path / "whole")
    code = processes.call(processes.die_at, step, tmp_path / "run", tmp_path / "d", n, {})
    assert code == processes.DIED
    wal = tmp_path / "run" / "campaign.db-wal"
    size = wal.stat().st_size
    counts = set()
    for cut in (size * i // 6 for i in range(7)):
        folder = shutil.copytree(tmp_path / "run", tmp_path / f"cut{cut}")
        (folder / "campaign.db-shm").unlink()
        with (folder / "campaign.db-wal").open("r+b") as file:
            file.truncate(cut)
        log = counting(tmp_path / "e", n).read(folder)
        counts.add(len(log.trials("done")))
        for mine, other in zip(log.trials("done"), whole.trials(), strict=False):
            assert torch.equal(mine.X, other.X)
            assert mine.energy == other.energy
        log = counting(tmp_path / "e", n).run(folder)
        assert log.fingerprint() == whole.fingerprint()
        assert verify_log(log).is_valid
    assert counts == ({3} if is_acknowledged else {2, 3})


def test_what_is_acknowledged_is_in_the_main_file(tmp_path):
    """`cp campaign.db` is a whole backup, after each energy."""
    campaign = counting(tmp_path / "calls", 5)
    with campaign.open(tmp_path / "run"):
        for count in range(1, 6):
            (trial,) = campaign.ask(1)
            campaign.tell(trial, evaluate(campaign.evaluator, trial.structures))
            assert (tmp_path / "run" / "campaign.db-wal").stat().st_size == 0
            copy = tmp_path / f"copy{count}"
            copy.mkdir()
            shutil.copy(tmp_path / "run" / "campaign.db", copy)
            assert len(Log(copy).trials("done")) == count
    whole = counting(tmp_path / "calls", 7).run(tmp_path / "run").fingerprint()
    copied = counting(tmp_path / "copied", 7).run(tmp_path / "copy3")
    assert copied.fingerprint() == whole
    assert len(lines := (tmp_path / "copied").read_text().split()) == len(set(lines)) == 4


def test_a_reader_that_stays_does_not_stall_the_run(tmp_path):
    """It prevents the checkpoint; the first one after it moves everything."""
    folder = tmp_path / "run"
    campaign = counting(tmp_path / "calls", 12)
    with campaign.open(folder):

        def evaluate_one():
            (trial,) = campaign.ask(1)
            campaign.tell(trial, evaluate(campaign.evaluator, trial.structures))

        evaluate_one()
        uri = f"{(folder / 'campaign.db').as_uri()}?mode=ro"
        reader = sqlite3.connect(uri, uri=True, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM bostruct_trial").fetchone()
        start = time.monotonic()
        evaluate_one()
        evaluate_one()
        assert time.monotonic() - start < 5
        assert (folder / "campaign.db-wal").stat().st_size > 0
        assert len(Log(folder).trials("done")) == 3
        reader.close()
        evaluate_one()
        assert (folder / "campaign.db-wal").stat().st_size == 0


def test_numbers_that_are_not_finite(tmp_path):
    ledger = open_ledger(tmp_path)
    values = {
        "candidate_index": 0,
        "mean": 1.0,
        "latent_variance": 2.0,
        "predictive_variance": 3.0,
    }
    planned = replace(
        step(0, 1),
        predictions=[{**values, "acquisition": float("nan")}],
        hyperparameters={"evidence": float("inf")},
    )
    (trial,) = ledger.write_step(planned)
    assert trial.acquisition is None
    found = summarize(ledger).to_json()["steps"][0]["hyperparameters"]
    assert found == {"evidence": None}
    ledger.close()
