import sqlite3

from bostruct.campaign.log import schema


def test_tables_have_names_of_their_own():
    connection = sqlite3.connect(":memory:")
    connection.executescript(schema.TABLE_DEFINITIONS + schema.ADDED_TABLES)
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]
    connection.close()
    own = [name for name in names if not name.startswith("sqlite_")]
    assert len(own) == 10
    assert all(name.startswith("bostruct_") for name in own)
