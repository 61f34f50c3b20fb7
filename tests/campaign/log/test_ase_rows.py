import sqlite3
from dataclasses import replace

import ase.db
import ase.io
import numpy as np
import pytest

from bostruct.campaign.log import ase_rows
from bostruct.campaign.log.ase_rows import AseRows
from bostruct.campaign.log.reader import Log
from bostruct.errors import LogError
from bostruct.runtime import atomic_write


def test_rows_and_our_tables_are_one_transaction(tmp_path, log):
    """This pins what is used of ASE's internals: `db.connection`, `change_count`."""
    file = tmp_path / "new.db"
    connection = sqlite3.connect(file, isolation_level=None)
    rows = AseRows(file, connection)
    connection.execute("CREATE TABLE ours (x)")
    trial = log.trials("done")[0]
    undone(connection, lambda: rows.write(trial))
    assert connection.execute("SELECT count(*) FROM systems").fetchone() == (0,)
    rows._db.change_count = 4999  # ASE would commit at the next row
    undone(connection, lambda: rows.write(trial))
    assert connection.execute("SELECT count(*) FROM systems").fetchone() == (0,)
    assert connection.execute("SELECT count(*) FROM ours").fetchone() == (0,)
    with atomic_write.transaction(connection):
        row = rows.write(trial)
        connection.execute("INSERT INTO ours VALUES (1)")
    assert rows.read(row).get_potential_energy() == trial.energy
    connection.close()


def undone(connection, write):
    """Write something of each in a transaction that fails."""
    connection.execute("BEGIN")
    write()
    connection.execute("INSERT INTO ours VALUES (1)")
    connection.execute("ROLLBACK")


def test_ase_reads_the_log(folder, log):
    with ase.db.connect(folder / "campaign.db") as db:
        rows = list(db.select())
    trials = log.trials("done")
    assert [row.energy for row in rows] == [trial.energy for trial in trials]
    assert [row.trial for row in rows] == list(range(8))
    assert [row.step for row in rows] == [trial.step for trial in trials]
    assert rows[-1].generator == "drawn"
    found = rows[3].toatoms()
    assert np.array_equal(found.positions, trials[3].structures.positions)
    assert np.array_equal(found.get_forces(), trials[3].forces)


def test_atoms_of_a_trial(folder, log):
    trial = log.trials()[0]
    found = ase_rows.trial_to_atoms(trial)
    assert found.get_potential_energy() == trial.energy
    assert trial.atoms.calc is None
    assert ase_rows.trial_to_atoms(replace(trial, energy=None)).calc is None
    with pytest.raises(LogError, match="trial 0 has coordinates but no structure"):
        ase_rows.trial_to_atoms(Log(folder).trials()[0])


def test_matches_sees_every_part(log):
    trial = log.trials()[0]
    same = ase_rows.trial_to_atoms(trial)
    assert ase_rows.first_difference(same, trial) == ""
    assert ase_rows.first_difference(same[:2], trial) == "species"
    moved = same.copy()
    moved.calc = same.calc
    moved.positions[0, 0] += 1e-6
    assert ase_rows.first_difference(moved, trial) == "positions"
    celled = same.copy()
    celled.cell = [1, 1, 1]
    assert ase_rows.first_difference(celled, trial) == "cell"
    assert ase_rows.first_difference(same.copy(), trial) == "energy"
    assert ase_rows.first_difference(same, replace(trial, energy=0.5)) == "energy"
    assert ase_rows.first_difference(same, replace(trial, forces=trial.forces + 1)) == "forces"
