"""Tables that a log may lack."""

import sqlite3

from bostruct.campaign.log.optional_table import read_optional_table


def test_rows_are_read_by_their_key_where_there_is_a_table():
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row

    def query(sql, *values):
        return connection.execute(sql, values).fetchall()

    arguments = query, "some", "step", "value"
    assert read_optional_table(*arguments) == {}
    connection.execute("CREATE TABLE some (step INTEGER PRIMARY KEY, value TEXT)")
    connection.executemany("INSERT INTO some VALUES (?, ?)", [(7, "b"), (2, "a")])
    assert list(read_optional_table(*arguments).items()) == [(2, "a"), (7, "b")]
    assert read_optional_table(*arguments, 7) == {7: "b"}
    assert read_optional_table(*arguments, 3) == {}
    connection.close()
