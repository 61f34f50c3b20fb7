import shutil
import sqlite3

import pytest

from bostruct.campaign import Log
from bostruct.campaign.log.schema_check import bounded_rows, check_tables
from bostruct.errors import LogError


def edit(folder, *queries):
    connection = sqlite3.connect(folder / "campaign.db", isolation_level=None)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    for query in queries:
        connection.execute(query)
    connection.close()


@pytest.mark.parametrize(
    ("query", "column"),
    [
        ("UPDATE bostruct_trial SET energy = 'low' WHERE number = 3", "energy"),
        ("UPDATE bostruct_trial SET energy = x'00' WHERE number = 3", "energy"),
        ("UPDATE bostruct_trial SET energy = 9e999 WHERE number = 3", "energy"),
        ("UPDATE bostruct_trial SET energy = NULL WHERE number = 3", "state"),
        ("UPDATE bostruct_trial SET state = 'odd' WHERE number = 3", "state"),
        ("UPDATE bostruct_trial SET x = 'text' WHERE number = 3", "x"),
        ("UPDATE bostruct_trial SET x = x'0011' WHERE number = 3", "x"),
        ("UPDATE bostruct_trial SET x = x'' WHERE number = 3", "x"),
        ("UPDATE bostruct_trial SET forces = x'0011' WHERE number = 3", "forces"),
        ("UPDATE bostruct_trial SET reason = x'00' WHERE number = 3", "reason"),
        ("UPDATE bostruct_trial SET attempt = -1 WHERE number = 3", "attempt"),
        ("UPDATE bostruct_trial SET step = 0.5 WHERE number = 3", "step"),
        ("UPDATE bostruct_trial SET finished = -9e999 WHERE number = 3", "finished"),
        ("UPDATE bostruct_session SET started = 'now'", "started"),
        ("UPDATE bostruct_posterior SET bytes = 'many' WHERE step = 1", "bytes"),
        ("UPDATE bostruct_campaign SET seed = 'a'", "seed"),
    ],
)
def test_values_of_another_type_are_refused(folder, query, column):
    edit(folder, query)
    with pytest.raises(LogError, match=f"1 rows of bostruct_.* whose {column} is not as bostruct"):
        Log(folder)


def test_predictions_may_be_infinite(folder):
    edit(folder, "UPDATE bostruct_trial SET acquisition = -9e999 WHERE number = 5")
    assert Log(folder).trials()[5].acquisition == -float("inf")


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        (["DROP TABLE bostruct_outcome"], "has lost its table bostruct_outcome"),
        (
            ["ALTER TABLE bostruct_trial DROP COLUMN reason"],
            "has lost the column reason of bostruct_trial",
        ),
        (
            [
                "ALTER TABLE bostruct_outcome RENAME TO other",
                "CREATE VIEW bostruct_outcome AS SELECT * FROM other",
            ],
            "has the view bostruct_outcome, which bostruct does not make",
        ),
        (
            [
                "DROP TABLE keys",
                "CREATE VIEW keys AS SELECT 1",
            ],
            "has the view keys, which bostruct does not make",
        ),
        (
            [
                "DROP TABLE bostruct_outcome",
                "CREATE VIRTUAL TABLE bostruct_outcome USING fts5(trial, name)",
            ],
            "has the table bostruct_outcome, which bostruct does not make",
        ),
        (
            ["CREATE TRIGGER t AFTER UPDATE ON bostruct_trial BEGIN SELECT 1; END"],
            "has the trigger t, which bostruct does not make",
        ),
        (
            ["ALTER TABLE bostruct_trial ADD COLUMN other AS (zeroblob(1e9))"],
            "computes other in bostruct_trial, which bostruct stores",
        ),
    ],
)
def test_tables_of_another_form_are_refused(folder, queries, message):
    edit(folder, *queries)
    with pytest.raises(LogError, match=message):
        Log(folder)


def test_tables_and_views_beside_them_are_left_alone(folder):
    edit(
        folder,
        "CREATE TABLE mine (x)",
        "CREATE VIEW best AS SELECT min(energy) FROM bostruct_trial",
        "CREATE INDEX mine_x ON mine (x)",
        "ANALYZE",
    )
    assert len(Log(folder).trials("done")) == 8


def test_an_earlier_format_need_not_have_all(folder):
    edit(folder, "DROP TABLE bostruct_outcome")
    edit(folder, "ALTER TABLE bostruct_session DROP COLUMN relaxations")
    connection = sqlite3.connect(folder / "campaign.db")
    check_tables(connection, folder / "campaign.db", 1)
    connection.close()


def test_rows_are_no_more_than_the_file(folder, monkeypatch):
    """Rows of a forged database may share the pages that hold their blobs."""
    file = folder / "campaign.db"
    connection = sqlite3.connect(file)
    query = "SELECT t.* FROM bostruct_trial t"
    assert len(bounded_rows(connection.execute(query), file)) == 8
    many = query + " JOIN bostruct_trial JOIN bostruct_trial JOIN bostruct_trial"
    with pytest.raises(LogError, match="bytes and rows of more: it was forged"):
        bounded_rows(connection.execute(many), file)
    (folder / "campaign.db-wal").write_bytes(b"\0" * 2**24)
    assert len(bounded_rows(connection.execute(many), file)) == 8**4
    connection.close()


def test_one_value_is_bounded(folder):
    copy = shutil.copytree(folder, folder.with_name("copy"))
    huge = "CAST(zeroblob(70000000) AS TEXT)"
    edit(copy, f"UPDATE bostruct_trial SET reason = {huge} WHERE number = 1")
    with pytest.raises(LogError, match=r"could not read .*too big"):
        Log(copy).trials()
