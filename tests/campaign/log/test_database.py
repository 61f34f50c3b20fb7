import sqlite3

import pytest

from bostruct.campaign.log import database
from bostruct.campaign.log.run_folder import has_campaign
from bostruct.campaign.log.schema import LOG_FORMAT
from bostruct.errors import LogError


def pragma(connection, name):
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_it_comes_into_being_as_a_whole(tmp_path):
    (tmp_path / "campaign.db.new").write_bytes(b"what a killed start left")
    database.create_database(tmp_path, {"space": "x"}, 3)
    assert has_campaign(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"campaign.db", "posteriors"}
    connection = sqlite3.connect(tmp_path / "campaign.db")
    query = "SELECT format, description, seed, units FROM bostruct_campaign"
    found = connection.execute(query).fetchall()
    connection.close()
    assert found[0][:3] == (LOG_FORMAT, '{"space":"x"}', 3)
    assert '"energy": "eV"' in found[0][3]


def test_an_error_says_where(tmp_path, monkeypatch):
    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(database, "AseRows", full)
    with pytest.raises(LogError, match=r"could not write .*: database or disk is full"):
        database.create_database(tmp_path, {}, 0)
    assert not has_campaign(tmp_path)


@pytest.mark.parametrize(
    ("kind", "mode", "locking"),
    [("ext4", "wal", "normal"), ("nfs4", "truncate", "normal")],
)
def test_writes_last(tmp_path, monkeypatch, kind, mode, locking):
    monkeypatch.setattr("bostruct.campaign.log.run_folder.file_system_type", lambda _: kind)
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    found = database.set_journal_mode(connection, tmp_path)
    assert found.startswith(mode.upper())
    assert pragma(connection, "journal_mode") == mode
    assert pragma(connection, "locking_mode") == locking
    assert pragma(connection, "synchronous") == 2  # FULL
    connection.close()
