import os
import shutil
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from bostruct.campaign.log import run_folder as folders
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.run_folder import (
    check_writable,
    file_system_type,
    has_campaign,
    is_campaign_database,
    is_network_file_system,
    read_access,
)
from bostruct.errors import LogError
from tests.campaign import processes
from tests.campaign.standin import campaign

NOBODY = 65534


def test_what_may_be_started_and_what_goes_on(tmp_path, folder):
    assert has_campaign(tmp_path / "absent") is False
    (tmp_path / "empty").mkdir()
    assert has_campaign(tmp_path / "empty") is False
    assert has_campaign(folder) is True


def test_leftovers_of_a_start_that_was_killed(tmp_path):
    (tmp_path / "posteriors").mkdir()
    (tmp_path / "campaign.lock").touch()
    (tmp_path / "campaign.db.new").write_bytes(b"half")
    (tmp_path / "campaign.db.new-journal").touch()
    assert has_campaign(tmp_path) is False
    campaign(n=1).run(tmp_path)
    assert not (tmp_path / "campaign.db.new").exists()
    assert not (tmp_path / "campaign.db.new-journal").exists()


def test_foreign_folders_are_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    for name in "abc":
        (tmp_path / f"z{name}").touch()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(LogError, match=r"not a run folder and not empty \(it holds no"):
        campaign().run(tmp_path)
    with pytest.raises(LogError, match="is a file, not a folder"):
        campaign().run(tmp_path / "notes.txt")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\0" * 99])
def test_foreign_databases_are_refused(tmp_path, content):
    (tmp_path / "campaign.db").write_bytes(content)
    with pytest.raises(LogError, match=r"campaign\.db"):
        campaign().run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["campaign.db"]


def test_a_database_of_another_program_is_refused(tmp_path):
    connection = sqlite3.connect(tmp_path / "campaign.db")
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    with pytest.raises(LogError, match="is a database of another program"):
        has_campaign(tmp_path)


def test_a_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LogError, match="cannot be written"):
        check_writable(tmp_path / "file" / "run")


def test_a_read_only_folder_is_refused(tmp_path, folder, monkeypatch):
    """`os.access` tells of read-only mounts too; root may write elsewhere."""
    access = os.access
    for closed in (tmp_path, folder / "campaign.db"):
        monkeypatch.setattr(
            os, "access", lambda path, mode, c=closed: path != c and access(path, mode)
        )
        file = closed == folder / "campaign.db"
        with pytest.raises(LogError, match="read-only for you"):
            campaign().run(folder if file else tmp_path / "new")
    assert not (tmp_path / "new").exists()


def as_nobody(folder, file):
    """End with 7 if the folder is refused for a user who may not write there."""
    if os.geteuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        processes.run(folder, file, 3)
    except LogError as error:
        os._exit(7 if "read-only for you" in str(error) else 1)


def test_a_read_only_folder_is_refused_really(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    for path in (tmp_path, *tmp_path.parents):
        if path.name.startswith(("test", "popen", "pytest")):
            path.chmod(0o755)
    assert processes.call(as_nobody, closed / "run", tmp_path / "calls") == 7
    assert processes.call(as_nobody, closed, tmp_path / "calls") == 7
    assert list(closed.iterdir()) == []


def test_reading_leaves_no_trace(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with read_access(folder) as connection:
        assert connection.execute("SELECT count(*) FROM bostruct_trial").fetchone() == (8,)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM bostruct_trial")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_copy_that_is_read_while_it_is_written(folder):
    """What was read without locks is not believed then."""
    file = folder / "campaign.db"

    def read(connection):
        count = connection.execute("SELECT count(*) FROM bostruct_trial").fetchone()[0]
        if len(reads) < writes:
            os.utime(file, ns=(1, len(reads)))
        reads.append(count)
        return count

    reads, writes = [], 2
    assert folders.read_database(folder, read) == 8
    assert reads == [8, 8, 8]
    reads, writes = [], 9
    with pytest.raises(LogError, match="it was written while it was read, try again"):
        folders.read_database(folder, read)


@pytest.mark.parametrize("name", ["posteriors", "evaluations"])
def test_folders_that_are_links_are_refused(folder, tmp_path, name):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "step-999999.safetensors").write_bytes(b"precious")
    shutil.rmtree(folder / name, ignore_errors=True)
    (folder / name).symlink_to(mine)
    with pytest.raises(LogError, match=f"{name} is a link, not a folder"):
        campaign(n=9).run(folder)
    assert [path.name for path in mine.iterdir()] == ["step-999999.safetensors"]


def test_a_new_folder_with_links(tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("precious")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "campaign.db.new").symlink_to(mine)
    (folder / "campaign.db.new-journal").symlink_to(mine)
    campaign(n=1).run(folder)
    assert mine.read_text() == "precious"
    assert not (folder / "campaign.db").is_symlink()


def test_a_database_that_keeps_sqlite_busy(folder, monkeypatch):
    """Pages of a forged one may lead to each other without end."""
    monkeypatch.setattr(folders, "MAX_STEPS", 10**6)
    monkeypatch.setattr(folders, "STEPS_PER_BYTE", 1)
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c"
    with pytest.raises(LogError, match=r"could not read .*: interrupted"):
        Log(folder).query(endless)


def end_if_told_to_copy(folder):
    """End with 7 if a user who may not write there is told to copy the folder."""
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    try:
        Log(folder)
    except LogError as error:
        os._exit(7 if "is read-only for you: copy it and read the copy" in str(error) else 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_a_killed_campaign_of_somebody_else(tmp_path):
    """Reading a write-ahead log takes a -shm file, which cannot be made there."""
    assert processes.call(processes.die_at, 41, tmp_path / "run", tmp_path / "d", 6, {}) == (
        processes.DIED
    )
    (tmp_path / "run" / "campaign.db-shm").unlink()
    for path in (tmp_path, *tmp_path.parents):
        if path.name.startswith(("test", "popen", "pytest")):
            path.chmod(0o755)
    assert processes.call(end_if_told_to_copy, tmp_path / "run") == 7
    copy = shutil.copytree(tmp_path / "run", tmp_path / "copy")
    assert len(Log(copy).trials("done")) == 3


def test_databases_of_campaigns(folder, tmp_path):
    other = tmp_path / "other.db"
    assert not is_campaign_database(other)
    other.write_text("no database")
    assert not is_campaign_database(other)
    assert not is_campaign_database(tmp_path)
    (tmp_path / "campaign.db").touch()
    assert is_campaign_database(tmp_path / "campaign.db")
    shutil.copy(folder / "campaign.db", other)
    (tmp_path / "link.db").symlink_to(other)
    os.mkfifo(tmp_path / "pipe")
    assert is_campaign_database(other)
    assert is_campaign_database(tmp_path / "link.db")
    assert not is_campaign_database(tmp_path / "pipe")


def test_nothing_to_read(tmp_path, monkeypatch, folder):
    with pytest.raises(LogError, match=r"there is no campaign\.db in it"), read_access(tmp_path):
        pass

    def refuse(*_, **__):
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(sqlite3, "connect", refuse)
    with pytest.raises(LogError, match=r"could not open .*: unable to open"), read_access(folder):
        pass


def test_file_systems(tmp_path, monkeypatch):
    assert file_system_type(tmp_path)
    assert (
        not is_network_file_system(Path("/dev/shm"))
        or file_system_type(Path("/dev/shm")) != "tmpfs"
    )
    table = [("/", "ext4"), (tmp_path, "ext3"), (tmp_path, "nfs4"), (tmp_path / "my disk", "xfs")]
    mounts = [SimpleNamespace(mountpoint=str(path), fstype=kind) for path, kind in table]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)
    assert file_system_type(tmp_path / "new" / "run") == "nfs4"
    assert is_network_file_system(tmp_path)
    (tmp_path / "my disk").mkdir()
    assert file_system_type(tmp_path / "my disk") == "xfs"

    def refuse(*_, **__):
        raise OSError

    monkeypatch.setattr(psutil, "disk_partitions", refuse)
    assert file_system_type(tmp_path) == ""


def test_a_network_file_system(tmp_path, monkeypatch):
    """No WAL there, and the log says so."""
    whole = campaign(n=6).run(tmp_path / "local")
    monkeypatch.setattr(folders, "file_system_type", lambda _: "nfs4")
    monkeypatch.setattr("bostruct.campaign.log.database.file_system_type", lambda _: "nfs4")
    campaign(n=3).run(tmp_path / "run")
    log = campaign(n=6).run(tmp_path / "run")
    assert log.sessions()[-1]["journal"].startswith("TRUNCATE: nfs4 is a network")
    assert log.fingerprint() == whole.fingerprint()
    assert not list((tmp_path / "run").glob("campaign.db-*"))
    # A folder that was copied from a local disk changes its journal.
    shutil.copytree(tmp_path / "local", tmp_path / "copy")
    campaign(n=7).run(tmp_path / "copy")
