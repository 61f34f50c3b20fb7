"""Folders that somebody else has made or damaged: success or one sentence, never a traceback."""

import contextlib
import copy
import hashlib
import json
import os
import random
import shutil
import sqlite3
import struct
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bostruct.campaign.log.malformed_log import reads_log, refuse_malformed
from bostruct.cli.app import typer_app
from bostruct.errors import BostructError, InputError, LogError
from tests.campaign import alloys
from tests.campaign.standin import campaign

TABLES = ("campaign", "session", "step", "posterior", "trial", "outcome")

ESCAPE = "\x1b[31mred\x07\x9b2J\u202e"

VALUES = (
    *(None, 0, -1, 3, 10**6, 2**63 - 1, -(2**63)),
    *(0.5, 1e308, -1e308, 5e-324, float("inf"), float("-inf")),
    *("", "abc", ESCAPE, "[" * 100_000, '{"a":' * 5_000, "[]", "{}", "null", "[null]", "1"),
    *('{"a": NaN}', "[1e999]", '{"x": "\\ud800"}', '{"x": 1}', "[-1]", f"[{10**30}]", "9" * 5_000),
    *("../../etc/passwd", "/etc/passwd", "step-000001.safetensors", "\0", '{"Cu": {"Cu": [1]}}'),
    *(
        b"",
        b"\0" * 7,
        b"\0" * 8,
        b"\xff" * 72,
        b"\x7f" * 72,
        b"\0" * 72,
        b"\0" * 80_000,
        b"\1" * 24,
    ),
)

JSON_COLUMNS = {
    "campaign": ("description",),
    "session": ("versions", "relaxations"),
    "step": ("training_trials", "hyperparameters"),
    "trial": ("properties", "provenance"),
}

JSON_VALUES = (
    *(None, True, 0, -1, 5, 10**9, 10**30, 0.5, 1e-9, 1e300, float("nan"), float("inf"), "", "abc"),
    *(ESCAPE, [], {}, [[[]]], {"type": "Cluster"}, "Pool", "GP", "Space", "LocalGP", "Cu" * 10**4),
    *("Cu99999999999", [None], [{}], ["a"], {"a": None}, "__class__", "\ud800", "$\\frac$"),
)


def edit(folder, *queries):
    connection = sqlite3.connect(folder / "campaign.db", isolation_level=None)
    try:
        for query, *values in queries:
            connection.execute(query, values)
    finally:
        connection.close()


def without_constraints(folder, table):
    """Give a table columns that take every value."""
    name = f"bostruct_{table}"
    edit(
        folder,
        ("PRAGMA foreign_keys = OFF",),
        ("PRAGMA legacy_alter_table = ON",),
        (f"CREATE TABLE copied AS SELECT * FROM {name}",),
        (f"DROP TABLE {name}",),
    )
    connection = sqlite3.connect(folder / "campaign.db", isolation_level=None)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(copied)")]
    connection.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
    connection.execute(f"INSERT INTO {name} SELECT * FROM copied")
    connection.execute("DROP TABLE copied")
    count = connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
    connection.close()
    return columns, count


def change_value(folder, rng):
    """Any value in any column, in one row or in all."""
    table = rng.choice(TABLES)
    columns, count = without_constraints(folder, table)
    column, value = rng.choice(columns), rng.choice(VALUES)
    where = f"WHERE rowid = {rng.randint(1, max(count, 1))}" if rng.random() < 0.7 else ""
    mark = "CAST(x'ff41' AS TEXT)" if rng.random() < 0.05 else "?"
    values = (value,) if mark == "?" else ()
    edit(folder, (f"UPDATE bostruct_{table} SET {column} = {mark} {where}", *values))
    return f"{table}.{column} = {str(value)[:40]!r} {where}"


def places(value, path=()):
    """Yield the path of every part of a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else []
    items = enumerate(value) if isinstance(value, list) else items
    for key, item in items:
        yield from places(item, (*path, key))


def change_json(folder, rng):
    """Any part of any JSON text."""
    table = rng.choice(list(JSON_COLUMNS))
    column = rng.choice(JSON_COLUMNS[table])
    connection = sqlite3.connect(folder / "campaign.db", isolation_level=None)
    query = f"SELECT rowid, {column} FROM bostruct_{table} WHERE {column} IS NOT NULL"
    rows = connection.execute(query).fetchall() or [(1, "[]")]
    rowid, text = rng.choice(rows)
    parsed = json.loads(text)
    path = rng.choice(list(places(parsed)))
    changed, value = copy.deepcopy(parsed), rng.choice(JSON_VALUES)
    if not path:
        changed = value
    else:
        part = changed
        for key in path[:-1]:
            part = part[key]
        if rng.random() < 0.3:
            del part[path[-1]]
            value = "deleted"
        else:
            part[path[-1]] = value
    text = json.dumps(changed)
    connection.execute(f"UPDATE bostruct_{table} SET {column} = ? WHERE rowid = ?", (text, rowid))
    connection.close()
    return f"{table}.{column}{list(path)} = {str(value)[:40]!r}"


def change_tables(folder, rng):
    """Tables, columns and rows that are lost, added or no tables."""
    table = rng.choice(TABLES)
    name = f"bostruct_{table}"
    columns, _ = without_constraints(folder, table)
    column = rng.choice(columns)
    a_row = f"(SELECT rowid FROM {name} ORDER BY rowid DESC LIMIT 1)"
    change = rng.choice(
        [
            [f"DROP TABLE {name}"],
            [f"ALTER TABLE {name} RENAME TO other", f"CREATE VIEW {name} AS SELECT * FROM other"],
            [f"ALTER TABLE {name} RENAME COLUMN {column} TO other"],
            [f"ALTER TABLE {name} DROP COLUMN {column}"],
            [f"ALTER TABLE {name} ADD COLUMN other AS (zeroblob(1e9))"],
            [f"CREATE TRIGGER t AFTER INSERT ON {name} BEGIN DELETE FROM {name}; END"],
            [f"DROP TABLE {name}", f"CREATE VIRTUAL TABLE {name} USING fts5({', '.join(columns)})"],
            [f"DELETE FROM {name}"],
            [f"DELETE FROM {name} WHERE rowid = {a_row}"],
            [f"INSERT INTO {name} SELECT * FROM {name}"],
            [f"UPDATE {name} SET {columns[0]} = {columns[0]} + 7"],
            ["DELETE FROM systems"],
            ["DROP TABLE systems"],
            ["DROP TABLE information"],
            ["UPDATE systems SET numbers = x'0100'"],
            ["UPDATE systems SET positions = 'abc'"],
            ["UPDATE systems SET natoms = 1000000000"],
            ["UPDATE systems SET calculator_parameters = '[[[[', constraints = '{'"],
            ["UPDATE systems SET energy = 'low', forces = x'00'"],
        ]
    )
    edit(folder, *((query,) for query in change))
    return "; ".join(change)


def change_database_file(folder, rng):
    """A file that is cut, overwritten, or no file."""
    file = folder / "campaign.db"
    data = bytearray(file.read_bytes())
    kind = rng.randrange(6)
    if kind == 0:
        file.write_bytes(data[: rng.randrange(len(data))])
    elif kind in (1, 2):
        for _ in range(rng.choice([1, 10, 1000])):
            data[rng.randrange(100 if kind == 1 else len(data))] = rng.randrange(256)
        file.write_bytes(data)
    elif kind == 3:
        file.write_bytes(rng.randbytes(5_000))
    elif kind == 4:
        file.unlink()
        os.mkfifo(file)
    else:
        for suffix in ("-wal", "-journal", "-shm"):
            (folder / f"campaign.db{suffix}").write_bytes(rng.randbytes(rng.choice([1, 5_000])))
    return f"file {kind}"


def forge(folder, file, data):
    """Write a posterior file with the digest and the size that the log has of it."""
    file.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    query = "UPDATE bostruct_posterior SET sha256 = ?, bytes = ? WHERE file = ?"
    edit(folder, (query, digest, len(data), file.name))


def change_posterior(folder, rng):
    """A posterior file that is no file, or holds other things."""
    file = rng.choice(sorted((folder / "posteriors").glob("*.safetensors")))
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    kind = rng.randrange(9)
    if kind == 0:
        forge(folder, file, data[: rng.randrange(len(data))])
    elif kind == 1:
        forge(folder, file, struct.pack("<Q", rng.choice([0, 10**6, 2**63, 2**64 - 1])) + data[8:])
    elif kind == 2:
        file.unlink()
        os.mkfifo(file)
    elif kind == 3:
        file.unlink()
        file.symlink_to("/dev/zero")
    elif kind == 4:
        with file.open("r+b") as out:
            out.truncate(2**40)
    else:
        name = rng.choice(list(header))
        if kind == 5:
            del header[name]
        elif kind == 6 and name != "__metadata__":
            size = header[name]["data_offsets"][1] - header[name]["data_offsets"][0]
            header[name] |= {"dtype": "U8", "shape": [size]}
        elif kind == 7 and name != "__metadata__":
            header[name]["shape"] = rng.choice([[], [2**62], [-1], "x", [0, 2**62], [1, 1, 1, 1]])
        else:
            header["__metadata__"] = {"bostruct": rng.choice(["[" * 9_000, "{}", "1", ESCAPE])}
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        forge(folder, file, struct.pack("<Q", len(text)) + text + body)
    return f"posterior {kind}"


CHANGES = (change_value, change_value, change_json, change_tables, change_database_file)
CHANGES += (change_posterior,)


def read_everything(folder, reader):
    """Return the errors other than those of bostruct that reading a folder in all ways raises."""
    uses = [
        lambda log: log.trials(),
        lambda log: (log.sessions(), log.relaxations(), log.fingerprint()),
        lambda log: (log.predictions(), log.calibration()),
        lambda log: log.structures(),
        lambda log: [log.posterior(step.number) for step in log.steps() if step.file],
    ]
    try:
        log = reader.read(folder)
    except BostructError:
        return
    for use in uses:
        with contextlib.suppress(BostructError):
            use(log)


def run_commands(folder, out):
    """Run the commands that read a folder, and require a result or one sentence."""
    commands = [("show",), ("show", "--json"), ("verify",), ("front",)]
    commands += [("export", out / "all.extxyz", "--all")]
    for name, *arguments in commands:
        done = CliRunner().invoke(typer_app, [name, str(folder), *map(str, arguments)])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code in (0, 1, 2), done.output
        shown = done.stdout + done.stderr
        assert not any((ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160 for c in shown), shown
        assert "\u202e" not in shown
        if done.exit_code == 2:
            assert done.stderr.startswith("bostruct: ")
            assert done.stderr.count("\n") == 1


def fuzz(stored, tmp_path, seeds, make_campaign):
    for seed in seeds:
        rng = random.Random(seed)
        folder = shutil.copytree(stored, tmp_path / f"run{seed}")
        change = rng.choice(CHANGES)
        what = change(folder, rng)
        try:
            read_everything(folder, make_campaign())
            run_commands(folder, tmp_path / f"out{seed}")
        except BaseException as error:
            error.add_note(f"seed {seed}: {what}")
            raise
        shutil.rmtree(folder)
        shutil.rmtree(tmp_path / f"out{seed}", ignore_errors=True)


def test_folders_of_anybody(folder, tmp_path):
    fuzz(folder, tmp_path, range(10), campaign)


def test_folders_with_objectives_of_anybody(screened, tmp_path):
    fuzz(screened.folder, tmp_path, range(10), alloys.campaign)


@pytest.mark.slow
def test_many_folders_of_anybody(folder, screened, tmp_path):
    fuzz(folder, tmp_path, range(1_000, 1_600), campaign)
    fuzz(screened.folder, tmp_path, range(1_000, 1_600), alloys.campaign)


def test_errors_of_the_code_become_a_sentence():
    message = r"run holds what no campaign writes.*KeyError: 'a'"
    with pytest.raises(LogError, match=message), refuse_malformed(Path("run")):
        {}["a"]
    with pytest.raises(InputError, match="a mistake"), refuse_malformed(Path("run")):
        raise InputError("a mistake")

    class Named:
        folder = Path("run")

    @reads_log
    def read(log, key):
        return {"a": 1}[key]

    assert read(Named(), "a") == read(log=Named(), key="a") == 1
    with pytest.raises(LogError, match="holds what no campaign writes"):
        read(Named(), "b")
