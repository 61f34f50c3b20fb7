"""Hash chain over the rows of the log: what was written, in the order of writing.

Each entry of the append-only table `bostruct_chain` is a row as it was written then: its kind and
key, the checksum of its content, and the sha256 over these and the hash of the entry before. So the
last hash, the head, stands for the whole history of the log. A row that was edited together with
its checksum, one that was added, removed or moved differs from the entries; and who changes the
entries too gets another head than the one that was cited, or that the posterior file of a later
step holds. Linked hashes: S. Haber, W. S. Stornetta, J. Cryptology 3, 99 (1991),
doi:10.1007/BF00196791.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, final

from bostruct.campaign import records
from bostruct.campaign.log.run_folder import database_path
from bostruct.errors import LogError
from bostruct.runtime.canonical_json import to_canonical_json

KEY_COLUMNS = {
    "structures": ("id",),
    "session": ("number",),
    "step": ("number",),
    "posterior": ("step",),
    "trial": ("number",),
    "outcome": ("trial", "position"),
    "attempt": ("trial", "attempt"),
    "stress": ("trial",),
    "pending": ("step",),
}
"""Columns of the primary key, the first of each table, by the kind of a row."""

CHECKSUM_KINDS = ("step", "trial", "outcome", "attempt", "stress", "pending")
"""Kinds of rows that hold their own checksum."""

MUTABLE_COLUMNS = {"step": ("seconds_log",)}
"""Columns that grow after the row was written, which no checksum covers."""

LABELS = {
    "structures": "row {} of the structures of the space",
    "campaign": "`{}` of the campaign",
    "session": "session {}",
    "step": "step {}",
    "posterior": "the posterior of step {}",
    "trial": "trial {}",
    "outcome": "trial {}: the prediction of its outcome {}",
    "attempt": "trial {}: its attempt {}",
    "stress": "the stress of trial {}",
    "pending": "the list of pending trials of step {}",
    "upgrade": "the upgrade of log format {}",
}
"""Phrase for a row by its kind; the entries of a campaign are the columns of its one row."""


class StoredRow(NamedTuple):
    """Row of the log with its checksums.

    Args:
        kind: Kind of the row, as in `LABELS`.
        key: Values of the primary key, joined by a slash.
        label: Phrase for the row.
        content: Checksum computed from the row.
        checksum: Checksum stored in the row; None where it has none.
    """

    kind: str
    key: str
    label: str
    content: str
    checksum: str | None


@final
@dataclass(frozen=True)
class ChainCheck:
    """Comparison of the rows of a log with its hash chain.

    Attributes:
        problems: One sentence for each row or entry that is not as it was written.
        head: Hash of the last entry; "" without entries.
        heads_before_step: Hash of the entry before that of a step, by the number of the step.
        hashes: Hashes of all entries.
    """

    problems: tuple[str, ...] = ()
    head: str = ""
    heads_before_step: Mapping[int, str] = field(default_factory=dict)
    hashes: frozenset[str] = frozenset()


def link_hash(previous: str, kind: str, key: str, content: str) -> str:
    """Return the hash of an entry after the one with the hash `previous`."""
    return hashlib.sha256(to_canonical_json([previous, kind, key, content]).encode()).hexdigest()


def read_head(connection: sqlite3.Connection) -> str:
    """Return the hash of the last entry; "" without entries."""
    return _last_entry(connection)[1]


def append_entry(connection: sqlite3.Connection, kind: str, key: str, content: str) -> None:
    """Append an entry inside the open transaction."""
    number, head = _last_entry(connection)
    entry = (number + 1, kind, key, content, link_hash(head, kind, key, content))
    connection.execute("INSERT INTO bostruct_chain VALUES (?, ?, ?, ?, ?)", entry)


def append_row(connection: sqlite3.Connection, kind: str, *key: int) -> None:
    """Record a row as it now is, in its checksum and in the chain, inside the open transaction."""
    where = " AND ".join(f"{name} = ?" for name in KEY_COLUMNS[kind])
    cursor = connection.cursor()
    cursor.row_factory = sqlite3.Row
    row = dict(cursor.execute(f"SELECT * FROM bostruct_{kind} WHERE {where}", key).fetchone())
    content = records.row_checksum(row, MUTABLE_COLUMNS.get(kind, ()))
    if kind in CHECKSUM_KINDS:
        query = f"UPDATE bostruct_{kind} SET checksum = ? WHERE {where}"
        connection.execute(query, (content, *key))
    append_entry(connection, kind, _join(key), content)


def append_all_rows(connection: sqlite3.Connection) -> None:
    """Begin a chain with the rows that are there, inside the open transaction."""
    append_campaign(connection)
    for kind, columns in KEY_COLUMNS.items():
        if not connection.execute(f"PRAGMA main.table_info(bostruct_{kind})").fetchall():
            continue  # a log without stresses, or without pending trials
        names = ", ".join(columns)
        for key in connection.execute(
            f"SELECT {names} FROM bostruct_{kind} ORDER BY {names}"
        ).fetchall():
            append_row(connection, kind, *key)


def append_campaign(connection: sqlite3.Connection) -> None:
    """Record description, seed, units and format inside the open transaction."""
    for row in _campaign_columns(connection):
        append_entry(connection, row.kind, row.key, row.content)


def check_rows(connection: sqlite3.Connection, has_chain: bool = True) -> ChainCheck:
    """Compare all rows of the log with their checksums and with the hash chain.

    Args:
        connection: Connection to the database; a read transaction keeps a running campaign from
            writing in between.
        has_chain: False for the log formats without a chain, of which only the checksums and the
            numbers of steps and trials are compared.
    """
    if not has_chain:
        return ChainCheck(tuple(_find_changed_checksums(connection)))
    problems: list[str] = []
    written: dict[tuple[str, str], str] = {}  # last content of each row
    heads_before_step: dict[int, str] = {}
    hashes, head, expected = set(), "", 0
    query = "SELECT number, kind, key, content, hash FROM main.bostruct_chain ORDER BY number"
    for number, *entry in connection.execute(query):
        kind, key, content, hash_ = map(str, entry)
        if number != expected or link_hash(head, kind, key, content) != hash_:
            label = _label(kind, key)
            problems.append(f"the hash chain breaks before its entry {number}, of {label}")
        expected = number + 1
        if kind == "step" and key.isdecimal():
            heads_before_step[int(key)] = head
        written[kind, key] = content
        head = hash_
        hashes.add(hash_)
    for row in _iter_rows(connection):
        last = written.pop((row.kind, row.key), "")
        if row.checksum not in (None, row.content):
            problems.append(f"{row.label} is not what was written: its checksum differs")
        elif not last:
            problems.append(f"{row.label} was added: the hash chain has no entry of it")
        elif last != row.content:
            problems.append(f"{row.label} is not what was written: the hash chain differs")
    problems += [f"{_label(*row)} is missing" for row in written if row[0] != "upgrade"]
    return ChainCheck(tuple(problems), head, heads_before_step, frozenset(hashes))


def check_unchanged(problems: Sequence[str], folder: Path) -> None:
    """Refuse to go on in a folder that is not as it was written.

    Raises:
        LogError: there are such rows.
    """
    if not problems:
        return
    others = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    raise LogError(
        f"{folder} is not as it was written, so nothing is evaluated in it: {problems[0]}{others}. "
        f"`bostruct verify {folder}` lists every difference. Go on in a copy of the folder from "
        "before, or in a new folder with those energies that you trust: "
        f"`initial_structures={str(database_path(folder))!r}`."
    )


def _find_changed_checksums(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield the rows that their own checksums and numbers tell to be changed or missing."""
    expected = dict.fromkeys(("step", "trial"), 0)
    for row in _iter_rows(connection):
        if row.kind in expected and row.key != str(expected[row.kind]):
            yield f"{_label(row.kind, str(expected[row.kind]))} is missing"
            expected[row.kind] = int(row.key)
        if row.kind in expected:
            expected[row.kind] += 1
        if row.checksum not in (None, row.content):
            yield f"{row.label} is not what was written: its checksum differs"


def _iter_rows(connection: sqlite3.Connection) -> Iterator[StoredRow]:
    """Yield all rows of the log with their checksums, under their stored column names."""
    yield from _campaign_columns(connection)
    for kind, columns in KEY_COLUMNS.items():
        cursor = connection.cursor()
        names = [row[1] for row in connection.execute(f"PRAGMA main.table_info(bostruct_{kind})")]
        if not names:
            continue  # earlier log formats have no outcomes or attempts
        order = ", ".join(str(i + 1) for i in range(len(columns)))
        for values in cursor.execute(f"SELECT * FROM main.bostruct_{kind} ORDER BY {order}"):
            row = dict(zip(names, values, strict=True))
            key, label = _join(values[: len(columns)]), ""
            if kind == "outcome":
                label = f"trial {values[0]}: the prediction of its {row['name']}"
            content = records.row_checksum(row, MUTABLE_COLUMNS.get(kind, ()))
            checksum = row["checksum"] if kind in CHECKSUM_KINDS else None
            yield StoredRow(kind, key, label or _label(kind, key), content, checksum)


def _campaign_columns(connection: sqlite3.Connection) -> Iterator[StoredRow]:
    cursor = connection.execute("SELECT * FROM main.bostruct_campaign")
    names = [column[0] for column in cursor.description]
    for values in cursor.fetchall():
        for name, value in zip(names, values, strict=True):
            content = records.row_checksum({name: value})
            yield StoredRow("campaign", name, _label("campaign", name), content, None)


def _last_entry(connection: sqlite3.Connection) -> tuple[int, str]:
    query = "SELECT number, hash FROM bostruct_chain ORDER BY number DESC LIMIT 1"
    row: tuple[int, str] = connection.execute(query).fetchone() or (-1, "")
    return row


def _join(key: Sequence[Any]) -> str:
    return "/".join(map(str, key))


def _label(kind: str, key: str) -> str:
    """Return the phrase for a row, also for an entry that somebody else wrote."""
    values = key.split("/")
    template = LABELS.get(kind, "")
    if template.count("{}") != len(values):
        return f"a row {kind!r} {key!r}"
    return template.format(*values)
