import json
import random
import re
import shutil
import sqlite3

import pytest

from bostruct.campaign import records
from bostruct.campaign.log import hash_chain, posterior_file
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.retraction import retract_trial
from bostruct.campaign.log.verify import verify_log
from bostruct.errors import LogError
from tests.campaign import alloys
from tests.campaign.standin import GP, Box, campaign


def connect(folder):
    connection = sqlite3.connect(folder / "campaign.db", isolation_level=None)
    connection.row_factory = sqlite3.Row
    return connection


def forge(folder, kind, where, **values):
    """Change rows and their own checksums."""
    connection = connect(folder)
    for row in connection.execute(f"SELECT rowid, * FROM bostruct_{kind} WHERE {where}").fetchall():
        new = {name: row[name] for name in row.keys() if name != "rowid"} | values  # noqa: SIM118
        rowid = row[0]
        if "checksum" in new:
            new["checksum"] = records.row_checksum(new, hash_chain.MUTABLE_COLUMNS.get(kind, ()))
        names = ", ".join(f"{name} = ?" for name in new)
        query = f"UPDATE bostruct_{kind} SET {names} WHERE rowid = ?"
        connection.execute(query, (*new.values(), rowid))
    connection.close()


def execute(folder, *queries):
    connection = connect(folder)
    for query in queries:
        connection.execute(query)
    connection.close()


def check(folder):
    connection = sqlite3.connect(folder / "campaign.db")
    found = hash_chain.check_rows(connection)
    connection.close()
    return found


def other_kappa(folder):
    description = Log(folder).description
    acquisition = {**description["acquisition"], "kappa": 9.0}
    text = json.dumps({**description, "acquisition": acquisition})
    forge(folder, "campaign", "1", description=text)


def swap(folder):
    """Exchange the results of two trials, with checksums that are right."""
    first, second = (
        dict(row)
        for row in connect(folder).execute(
            "SELECT energy, forces, ase_id FROM bostruct_trial WHERE number IN (2, 3)"
        )
    )
    forge(folder, "trial", "number = 2", **second)
    forge(folder, "trial", "number = 3", **first)


def add_trial(folder):
    connection = connect(folder)
    row = dict(connection.execute("SELECT * FROM bostruct_trial WHERE number = 7").fetchone())
    row |= {"number": 8, "key": "0-1"}
    row["checksum"] = records.row_checksum(row)
    marks = ", ".join("?" * len(row))
    query = f"INSERT INTO bostruct_trial ({', '.join(row)}) VALUES ({marks})"
    connection.execute(query, tuple(row.values()))
    connection.close()


def drop_last_step(folder):
    execute(
        folder,
        "DELETE FROM bostruct_trial WHERE step = 4",
        "DELETE FROM bostruct_posterior WHERE step = 4",
        "DELETE FROM bostruct_step WHERE number = 4",
    )


TAMPERINGS = {
    "seed": (lambda f: forge(f, "campaign", "1", seed=7), "`seed` of the campaign is not"),
    "unit": (
        lambda f: forge(f, "campaign", "1", units='{"energy": "Ha"}'),
        "`units` of the campaign is not",
    ),
    "kappa": (other_kappa, "`description` of the campaign is not"),
    "energy": (
        lambda f: execute(f, "UPDATE bostruct_trial SET energy = -99 WHERE number = 5"),
        "trial 5 is not what was written: its checksum differs",
    ),
    "forged energy": (
        lambda f: forge(f, "trial", "number = 5", energy=-99.0),
        "trial 5 is not what was written: the hash chain differs",
    ),
    "forged reason": (
        lambda f: forge(f, "trial", "number = 5", reason="it was so"),
        "trial 5 is not what was written",
    ),
    "swapped": (swap, "trial 2 is not what was written: the hash chain differs"),
    "dropped": (drop_last_step, "step 4 is missing"),
    "dropped trial": (
        lambda f: execute(f, "DELETE FROM bostruct_trial WHERE number = 7"),
        "trial 7 is missing",
    ),
    "added": (add_trial, "trial 8 was added: the hash chain has no entry of it"),
    "session": (
        lambda f: forge(f, "session", "number = 1", host="elsewhere"),
        "session 1 is not what was written",
    ),
    "posterior": (
        lambda f: forge(f, "posterior", "step = 3", sha256="0" * 64),
        "the posterior of step 3 is not what was written",
    ),
    "hyperparameters": (
        lambda f: forge(f, "step", "number = 3", hyperparameters="{}"),
        "step 3 is not what was written: the hash chain differs",
    ),
    "entry": (
        lambda f: execute(f, "UPDATE bostruct_chain SET content = 'x' WHERE number = 12"),
        "the hash chain breaks before its entry 12",
    ),
    "entry removed": (
        lambda f: execute(f, "DELETE FROM bostruct_chain WHERE number = 12"),
        "the hash chain breaks before its entry 13",
    ),
    "entries exchanged": (
        lambda f: execute(
            f,
            "UPDATE bostruct_chain SET number = -1 WHERE number = 12",
            "UPDATE bostruct_chain SET number = 12 WHERE number = 13",
            "UPDATE bostruct_chain SET number = 13 WHERE number = -1",
        ),
        "the hash chain breaks before its entry 12",
    ),
    "foreign entry": (
        lambda f: execute(f, "UPDATE bostruct_chain SET kind = 'x', key = '0' WHERE number = 12"),
        "the hash chain breaks before its entry 12, of a row 'x'",
    ),
    "no entries": (lambda f: execute(f, "DELETE FROM bostruct_chain"), "step 0 was added"),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_what_was_tampered_with_is_told_and_not_gone_on_with(folder, name):
    tamper, problem = TAMPERINGS[name]
    tamper(folder)
    assert problem in "\n".join(verify_log(Log(folder)).problems)
    before = {p: p.read_bytes() for p in (folder / "posteriors").iterdir()}
    with pytest.raises(LogError, match=r"holds another campaign|is not as it was written, so noth"):
        campaign(n=20).run(folder, seed=Log(folder).seed)
    assert before == {p: p.read_bytes() for p in (folder / "posteriors").iterdir()}


def test_a_log_without_the_tables_of_its_format(folder):
    execute(folder, "DROP TABLE bostruct_chain")
    with pytest.raises(LogError, match="has lost its table bostruct_chain"):
        verify_log(Log(folder))
    with pytest.raises(LogError, match="has lost its table bostruct_chain"):
        campaign(n=20).run(folder)


def test_a_refusal_tells_the_way_out(folder):
    forge(folder, "trial", "number IN (5, 6)", energy=-99.0)
    message = (
        rf"{re.escape(str(folder))} is not as it was written, so nothing is evaluated in it: trial "
        r"5 .*differs \(and 1 more\)\. `bostruct verify .*` lists every difference\. Go on in a "
        r"copy of the folder from before, or .*`initial_structures='.*campaign\.db'`"
    )
    with pytest.raises(LogError, match=message):
        campaign(n=20).run(folder)
    with pytest.raises(LogError, match="is not as it was written"):
        retract_trial(folder, 4, "no")


def test_any_byte_of_any_row_matters(folder):
    """Random edits of single values, each in a fresh copy, are all told."""
    choice = random.Random(0)
    for _ in range(40):
        copy = shutil.copytree(folder, folder.with_name("copy"))
        connection = connect(copy)
        absent = ("stress", "pending")
        kinds = [kind for kind in hash_chain.KEY_COLUMNS if kind not in absent]
        kind = choice.choice(["campaign", *kinds, "chain"])
        rows = connection.execute(f"SELECT rowid, * FROM bostruct_{kind}").fetchall()
        if rows:
            row = choice.choice(rows)
            names = [n for n in row.keys() if n not in ("seconds_log", "format")]  # noqa: SIM118
            name = choice.choice(names[1:])
            value = row[name]
            if isinstance(value, bytes):
                value = value[:-1] + bytes([value[-1] ^ 1])
            elif isinstance(value, str):
                value = value + " "
            else:
                value = (value or 0) + 1
            try:
                query = f"UPDATE bostruct_{kind} SET {name} = ? WHERE rowid = ?"
                connection.execute(query, (value, row[0]))
                assert check(copy).problems, (kind, name)
            except sqlite3.IntegrityError:
                pass
        connection.close()
        shutil.rmtree(copy)


def test_a_rewritten_chain_contradicts_the_posterior_files(folder):
    """Who forges a result and the whole chain after it gets other heads than the files have."""
    head = check(folder).head
    forge(folder, "trial", "number = 5", energy=-99.0)
    connection = sqlite3.connect(folder / "campaign.db", isolation_level=None)
    connection.execute("DELETE FROM bostruct_chain")
    hash_chain.append_all_rows(connection)
    connection.close()
    found = verify_log(Log(folder, Box(), GP()))
    assert found.head != head
    assert "step 4 was planned from another log: the hash chain up to it has changed" in (
        found.problems
    )


def test_a_log_that_pretends_to_be_of_an_earlier_format(folder):
    forge(folder, "trial", "number = 5", energy=-99.0)
    execute(folder, "UPDATE bostruct_campaign SET format = 4", "DROP TABLE bostruct_chain")
    found = verify_log(Log(folder))
    assert "step 4 was planned from another log: the hash chain up to it has changed" in (
        found.problems
    )


def test_the_head_is_in_the_header_and_not_in_the_fingerprint(folder, tmp_path):
    again = tmp_path / "again"
    campaign(n=8).run(again)
    heads = []
    for log in (Log(folder), Log(again)):
        header = log.read_posterior(3)[1]
        heads.append(header[posterior_file.CHAIN_KEY])
        assert check(log.folder).heads_before_step[3] == heads[-1]
    assert heads[0] != heads[1]
    assert Log(folder).fingerprint() == Log(again).fingerprint()


def test_every_change_of_a_trial_is_an_entry(folder):
    connection = connect(folder)
    query = "SELECT count(*) FROM bostruct_chain WHERE kind = 'trial' AND key = '5'"
    assert connection.execute(query).fetchone()[0] == 3  # planned, running, done
    head = hash_chain.read_head(connection)
    connection.close()
    retract_trial(folder, 5, "another structure")
    connection = connect(folder)
    assert connection.execute(query).fetchone()[0] == 4
    assert hash_chain.read_head(connection) != head
    connection.close()
    assert verify_log(Log(folder, Box(), GP())).is_valid


def test_outcomes_are_rows_of_the_chain(screened):
    forge(screened.folder, "outcome", "trial = 9 AND name = 'modulus'", predictive_variance=1.0)
    assert (
        "trial 9: the prediction of its modulus is not what was written: the hash chain differs"
    ) in verify_log(Log(screened.folder)).problems
    with pytest.raises(LogError, match="trial 9: the prediction of its modulus"):
        alloys.campaign().run(screened.folder)


def test_link_hash_tells_its_parts_apart():
    hashes = {
        hash_chain.link_hash(*parts)
        for parts in (("a", "b", "c", "d"), ("ab", "", "c", "d"), ("a", "bc", "", "d"))
    }
    assert len(hashes) == 3
