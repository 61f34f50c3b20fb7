import errno
import os
import sqlite3
import time

import pytest

from bostruct.campaign import FinalRelaxation
from bostruct.campaign.log.verify import verify_log
from bostruct.errors import LogError
from bostruct.runtime import atomic_write
from tests.campaign import processes
from tests.campaign.standin import counting, start


@pytest.fixture
def connection():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE t (x)")
    yield connection
    connection.close()


def rows(connection):
    return [row[0] for row in connection.execute("SELECT x FROM t")]


def test_a_file_is_written_whole(tmp_path):
    atomic_write.write_atomically(tmp_path / "a", b"first")
    atomic_write.write_atomically(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"second"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    atomic_write.write_atomically(tmp_path / "a", b"first")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LogError, match=r"could not write .*a: No space left on device"):
        atomic_write.write_atomically(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_no_link_is_followed(tmp_path):
    mine = tmp_path / "mine"
    mine.write_bytes(b"precious")
    for name in ("a", "a.tmp"):
        (tmp_path / name).symlink_to(mine)
    atomic_write.write_atomically(tmp_path / "a", b"content")
    assert mine.read_bytes() == b"precious"
    assert (tmp_path / "a").read_bytes() == b"content"
    assert not (tmp_path / "a").is_symlink()


class Busy:
    """A database that another process has locked for a number of calls."""

    in_transaction = False

    def __init__(self, path, times):
        self.error = self.busy_error(path)
        self.times, self.calls = times, []

    @staticmethod
    def busy_error(path):
        holder = sqlite3.connect(path, isolation_level=None)
        other = sqlite3.connect(path, isolation_level=None, timeout=0)
        try:
            holder.execute("BEGIN IMMEDIATE")
            with pytest.raises(sqlite3.OperationalError) as caught:
                other.execute("BEGIN IMMEDIATE")
            return caught.value
        finally:
            holder.close()
            other.close()

    def execute(self, query):
        self.calls.append(query)
        if self.times > 0:
            self.times -= 1
            raise self.error


def test_a_reader_is_waited_for(tmp_path, monkeypatch):
    connection = Busy(tmp_path / "x.db", 3)
    with atomic_write.transaction(connection):
        connection.times = 2
    assert connection.calls == ["BEGIN IMMEDIATE"] * 4 + ["COMMIT"] * 3
    monkeypatch.setattr(atomic_write, "WARNING_SECONDS", -1.0)
    with (
        pytest.warns(RuntimeWarning, match="another program has the log open") as warned,
        atomic_write.transaction(Busy(tmp_path / "x.db", 3)),
    ):
        pass
    assert len(warned) == 1
    monkeypatch.setattr(atomic_write, "MAX_WAIT_SECONDS", -1.0)
    with (
        pytest.raises(LogError, match="could not write the log: database is locked"),
        atomic_write.transaction(Busy(tmp_path / "x.db", 1)),
    ):
        pass


def test_a_checkpoint_moves_all_and_waits_for_nobody(tmp_path):
    file, wal = tmp_path / "x.db", tmp_path / "x.db-wal"
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("CREATE TABLE t (x)")
    atomic_write.checkpoint(writer)
    assert wal.stat().st_size == 0
    reader = sqlite3.connect(file, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM t").fetchall()
    writer.execute("INSERT INTO t VALUES (1)")
    start = time.monotonic()
    atomic_write.checkpoint(writer)
    assert time.monotonic() - start < 0.5
    assert wal.stat().st_size > 0
    reader.close()
    atomic_write.checkpoint(writer)
    assert wal.stat().st_size == 0
    assert rows(writer) == [1]
    timeout = writer.execute("PRAGMA busy_timeout").fetchone()[0]
    assert timeout == atomic_write.BUSY_MILLISECONDS
    writer.close()


def test_a_transaction_lasts_or_is_undone(connection):
    with atomic_write.transaction(connection):
        connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(ZeroDivisionError), atomic_write.transaction(connection):
        connection.execute(f"INSERT INTO t VALUES ({1 / 0})")
    assert rows(connection) == [1]
    assert not connection.in_transaction


def test_a_failed_transaction_says_so(connection, monkeypatch):
    with (
        pytest.raises(LogError, match="could not write the log: no such table: u"),
        atomic_write.transaction(connection),
    ):
        connection.execute("INSERT INTO u VALUES (2)")

    def full(_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(atomic_write, "commit", full)
    with (
        pytest.raises(LogError, match=r"disk is full\. Nothing recorded was lost"),
        atomic_write.transaction(connection),
    ):
        connection.execute("INSERT INTO t VALUES (3)")
    assert rows(connection) == []


def test_a_failed_rollback_does_not_hide_the_error():
    class Gone:
        in_transaction = True

        def execute(self, query):
            raise sqlite3.OperationalError(f"disk I/O error at {query}")

    with (
        pytest.raises(LogError, match="disk I/O error at BEGIN"),
        atomic_write.transaction(Gone()),
    ):
        pass


PLAIN = {"n_initial": 2, "batch_size": 2}
# Steps given, start, model, check, check, model; see the test of their kinds.
CHECKED = {
    "n_initial": 1,
    "initial_structures": start(True, None, 1e9, True),
    "final_relaxation": FinalRelaxation(fmax=1e-6, max_steps=2, interval=3),
}


def test_kinds_of_steps(tmp_path):
    log = counting(tmp_path / "calls", 6, **CHECKED).run(tmp_path / "run")
    kinds = [step.kind for step in log.steps()]
    assert kinds == [
        "initial_data",
        "initial_structures",
        "model",
        "relaxation",
        "relaxation",
        "model",
    ]


class Killed(BaseException):
    """As if the process had been killed: nothing is committed any more."""


@pytest.mark.parametrize("stride", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_interrupted_at_transactions_of_a_relaxation(tmp_path, monkeypatch, stride):
    """Given structures, starting ones, steps of a check: the same log each time."""
    whole = counting(tmp_path / "c", 6, **CHECKED).run(tmp_path / "run").fingerprint()
    for step in range(2, 60, stride):
        folder, calls = tmp_path / f"run{step}", tmp_path / f"calls{step}"
        left = [step]

        def commit(connection, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            connection.execute("COMMIT")

        with monkeypatch.context() as patch:
            patch.setattr(atomic_write, "commit", commit)
            try:
                counting(calls, 6, **CHECKED).run(folder)
            except Killed:
                ended = False
            else:
                ended = True
        log = counting(calls, 6, **CHECKED).run(folder)
        assert log.fingerprint() == whole
        made = calls.read_text().split()
        assert len(set(made)) == 6
        assert len(made) <= 7
        if ended:
            break
    assert 20 < step < 59


@pytest.mark.parametrize(
    ("n", "parts", "steps"),
    [
        (2, PLAIN, range(0, 200, 15)),
        pytest.param(2, PLAIN, range(200), marks=pytest.mark.slow),
        pytest.param(4, PLAIN, range(200), marks=pytest.mark.slow),
        pytest.param(6, CHECKED, range(12, 200), marks=pytest.mark.slow),
    ],
    ids=["some", "two", "plain", "checked"],
)
def test_killed_at_every_durable_step(tmp_path, n, parts, steps):
    """Whatever is the last thing that lasts, the next run ends with the same log."""
    whole = counting(tmp_path / "whole", n, **parts).run(tmp_path / "run").fingerprint()
    for step in steps:
        folder, calls = tmp_path / f"run{step}", tmp_path / f"calls{step}"
        code = processes.call(processes.die_at, step, folder, calls, n, parts)
        assert code in (0, processes.DIED)
        log = counting(calls, n, **parts).run(folder)
        assert log.fingerprint() == whole
        assert verify_log(log).is_valid
        made = calls.read_text().split()
        assert len(set(made)) == n
        # At most the one that was running is asked for again.
        assert len(made) <= n + 1
        if code == 0:
            break
    assert 20 < step < 150
