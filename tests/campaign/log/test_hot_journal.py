import os
import shutil
import signal
import sqlite3
import sys
import time

import pytest

from bostruct.campaign import Log
from bostruct.campaign.log import hot_journal, run_folder
from bostruct.campaign.log.from_description import open_log
from bostruct.campaign.log.hot_journal import roll_back_journal
from bostruct.campaign.log.verify import verify_log
from bostruct.campaign.report.summary import summarize
from bostruct.errors import LogError
from tests.campaign import processes, sqlite_writes
from tests.campaign.standin import GP, Box, campaign, counting


def lines(file):
    return file.read_text().splitlines() if file.exists() else []


def end_if_seen():
    os._exit(7 if sqlite_writes.are_seen() else 0)


@pytest.fixture(scope="module")
def writes():
    if processes.call(end_if_seen) != 7:
        pytest.skip("another SQLite library")


class KilledCampaign:
    """A campaign that is killed again and again, and what is known of it from outside."""

    def __init__(self, folder, n, is_network):
        folder.mkdir()
        self.folder, self.n, self.is_network = folder / "run", n, is_network
        self.calls, self.acknowledged = folder / "calls", folder / "acknowledged"

    def kill_at(self, write):
        """Run it until that write; return whether it was killed before its end."""
        known, before = self.check(), len(lines(self.calls))
        arguments = (write, self.folder, self.calls, self.acknowledged, self.n, self.is_network)
        code = processes.call(processes.die_at_write, *arguments)
        assert code in (0, -signal.SIGKILL)
        assert known.keys().isdisjoint(lines(self.calls)[before:]), "evaluated again"
        return code != 0

    def side_files(self):
        """Return the names of files beside the database that hold something to read."""
        paths = self.folder.glob("campaign.db-*")
        return {path.name for path in paths if path.read_bytes()[:1] > b"\0"}

    def check(self):
        """Return the recorded energies, among which is each that was acknowledged."""
        promised = dict(line.split() for line in lines(self.acknowledged))
        if not (self.folder / "campaign.db").exists():
            assert not promised
            return {}
        log = Log(self.folder, Box(), GP())
        done = log.trials("done")
        found = {trial.X.numpy().tobytes().hex(): repr(trial.energy) for trial in done}
        assert len(found) == len(done), "counted twice"
        assert promised.items() <= found.items(), "lost"
        assert summarize(log).n_evaluations == len(done)
        assert not verify_log(log).problems
        return found


def kill_often(folder, is_network, writes, n=12):
    """Kill campaigns at writes of these numbers; return how many files each kill left."""
    whole = counting(folder / "calls", n).run(folder / "whole").fingerprint()
    killed, left, number = None, [], 0
    for write in writes:
        if killed is None:
            killed = KilledCampaign(folder / str(number), n, is_network)
            number += 1
        if killed.kill_at(write):
            left.append(killed.side_files())
        else:
            assert len(killed.check()) == n
            assert Log(killed.folder).fingerprint() == whole
            shutil.rmtree(killed.folder.parent)
            killed = None
    if killed is not None:
        killed.check()
        log = counting(killed.calls, n).run(killed.folder)
        assert log.fingerprint() == whole
        assert len(killed.check()) == n
    return left


KINDS = pytest.mark.parametrize("is_network", [True, False], ids=["network", "local"])


@KINDS
def test_killed_inside_commits(tmp_path, writes, is_network):
    left = kill_often(tmp_path, is_network, (271, 160, 95) if is_network else (160, 90, 95), n=4)
    name = "campaign.db-journal" if is_network else "campaign.db-wal"
    assert any(name in names for names in left)
    assert is_network or not any("campaign.db-journal" in names for names in left)


@pytest.mark.slow
@KINDS
def test_killed_at_every_write(tmp_path, writes, is_network):
    """SIGKILL at every second write of a first session, and at each of 150 of later ones."""
    left = kill_often(tmp_path, is_network, [*range(1, 200, 2), *range(1, 161)])
    name = "campaign.db-journal" if is_network else "campaign.db-wal"
    n_left = sum(name in names for names in left)
    sys.stdout.write(f"{len(left)} kills, of which {n_left} left {name}\n")
    assert len(left) >= 250
    assert n_left >= 20  # or the kills would hit nothing


@pytest.fixture
def hot(tmp_path, writes):
    """The folder of a campaign that was killed inside a commit, with a hot journal."""
    for write in range(379, 420):
        killed = KilledCampaign(tmp_path / f"hot-{write}", 4, True)
        assert killed.kill_at(write)
        if killed.side_files() == {"campaign.db-journal"}:
            return killed
    raise AssertionError("no kill left a journal")


def test_a_reader_rolls_it_back(hot):
    uri = f"{(hot.folder / 'campaign.db').as_uri()}?mode=ro"
    plain = sqlite3.connect(uri, uri=True)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        plain.execute("SELECT count(*) FROM bostruct_trial")
    plain.close()
    assert len(hot.check()) == 1
    assert hot.side_files() == set()


def test_whoever_may_not_write_is_told_how(hot, monkeypatch):
    """`os.access` tells of read-only mounts too; root may write elsewhere."""
    monkeypatch.setattr(os, "access", lambda path, _: path != hot.folder)
    with pytest.raises(LogError, match=r"read-only for you\. Let its owner run `bostruct show"):
        Log(hot.folder)
    monkeypatch.undo()
    copy = shutil.copytree(hot.folder, hot.folder.with_name("copy"))
    assert len(Log(copy).trials("done")) == 1


def test_a_journal_that_names_another_file(hot):
    """Its rollback would remove that file."""
    mine = hot.folder.with_name("mine")
    mine.write_text("precious")
    name = os.fsencode(mine)
    journal = hot.folder / "campaign.db-journal"
    end = len(name).to_bytes(4, "big") + sum(name).to_bytes(4, "big")
    page = (2**30 // 4096 + 1).to_bytes(4, "big")
    journal.write_bytes(journal.read_bytes() + page + name + end + hot_journal.SUPER_JOURNAL_MARK)
    for opens in (Log, lambda folder: counting(hot.calls, 4).run(folder)):
        with pytest.raises(LogError, match="names a file outside of the run folder"):
            opens(hot.folder)
    assert mine.read_text() == "precious"


def test_a_journal_that_cannot_be_read(hot, monkeypatch):
    def refuse(*_, **__):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(sqlite3, "connect", refuse)
    with pytest.raises(LogError, match=r"could not roll back .*-journal: disk I/O error"):
        roll_back_journal(hot.folder / "campaign.db")
    monkeypatch.undo()

    def closed(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(hot_journal, "open_regular_file", closed)
    with pytest.raises(LogError, match=r"could not read .*-journal: Permission denied"):
        roll_back_journal(hot.folder / "campaign.db")


def test_another_reader_may_have_been_faster(hot, monkeypatch):
    def gone(*_):
        raise FileNotFoundError

    monkeypatch.setattr(hot_journal, "open_regular_file", gone)
    roll_back_journal(hot.folder / "campaign.db")


def test_links_beside_the_database_are_not_followed(folder, tmp_path):
    mine = tmp_path / "mine"
    mine.write_bytes(b"precious")
    for name in ("campaign.db", "campaign.db-wal", "campaign.db-shm", "campaign.db-journal"):
        copy = shutil.copytree(folder, tmp_path / f"copy{name}")
        (copy / name).unlink(missing_ok=True)
        (copy / name).symlink_to(mine)
        for opens in (Log, open_log, campaign(n=9).run, campaign().validate):
            with pytest.raises(LogError, match=f"{name} is a link, not a file"):
                opens(copy)
        (copy / name).unlink()
        os.mkfifo(copy / name)
        for opens in (Log, campaign(n=9).run):
            with pytest.raises(LogError, match=f"{name} is a pipe, not a file"):
                opens(copy)
    assert mine.read_bytes() == b"precious"


def show_often(folder, started, ended):
    """Read a folder until a file exists; end with 0 if no time took seconds."""
    slowest, count = 0.0, 0
    while not ended.exists():
        start = time.monotonic()
        summarize(Log(folder, Box(), GP()))
        slowest = max(slowest, time.monotonic() - start)
        count += 1
        started.touch()
    assert slowest < 8
    assert count > 3


def test_show_does_not_wait_for_a_run_on_a_network_file_system(tmp_path, monkeypatch):
    kind = lambda _: "nfs4"  # noqa: E731
    monkeypatch.setattr(run_folder, "file_system_type", kind)
    monkeypatch.setattr("bostruct.campaign.log.database.file_system_type", kind)
    folder, started, ended = (tmp_path / name for name in ("run", "started", "ended"))
    whole = campaign(n=12).run(tmp_path / "whole").fingerprint()
    campaign(n=1).run(folder)
    reader = processes.start(show_often, folder, started, ended)
    while reader.is_alive() and not started.exists():
        time.sleep(0.01)
    campaign(n=12).run(folder)
    ended.touch()
    reader.join(60)
    assert reader.exitcode == 0
    assert Log(folder).fingerprint() == whole
