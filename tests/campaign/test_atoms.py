import sqlite3
from dataclasses import replace

import ase.db
import ase.io
import numpy as np
import pytest
import torch

from bostruct.acquisition import Goals, Objective
from bostruct.campaign import atoms, durable, stop
from bostruct.campaign.atoms import Rows
from bostruct.campaign.log import Log
from bostruct.campaign.retraction import retract
from bostruct.errors import InputError, LogError
from bostruct.evaluators import above_hull
from bostruct.evaluators.hull import HEIGHT
from tests.campaign.standin import campaign


def test_rows_and_our_tables_are_one_transaction(tmp_path, log):
    """This pins what is used of ASE's internals: `db.connection`, `change_count`."""
    file = tmp_path / "new.db"
    connection = sqlite3.connect(file, isolation_level=None)
    rows = Rows(file, connection)
    connection.execute("CREATE TABLE ours (x)")
    trial = log.trials("done")[0]
    undone(connection, lambda: rows.write(trial))
    assert connection.execute("SELECT count(*) FROM systems").fetchone() == (0,)
    rows._db.change_count = 4999  # ASE would commit at the next row
    undone(connection, lambda: rows.write(trial))
    assert connection.execute("SELECT count(*) FROM systems").fetchone() == (0,)
    assert connection.execute("SELECT count(*) FROM ours").fetchone() == (0,)
    with durable.transaction(connection):
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
    assert rows[-1].origin == "drawn"
    found = rows[3].toatoms()
    assert np.array_equal(found.positions, trials[3].structures.positions)
    assert np.array_equal(found.get_forces(), trials[3].forces)


def test_atoms_of_a_trial(folder, log):
    trial = log.trials()[0]
    found = atoms.atoms(trial)
    assert found.get_potential_energy() == trial.energy
    assert trial.atoms.calc is None
    assert atoms.atoms(replace(trial, energy=None)).calc is None
    with pytest.raises(LogError, match="trial 0 has coordinates but no structure"):
        atoms.atoms(Log(folder).trials()[0])


def test_matches_sees_every_part(log):
    trial = log.trials()[0]
    same = atoms.atoms(trial)
    assert atoms.matches(same, trial) == ""
    assert atoms.matches(same[:2], trial) == "species"
    moved = same.copy()
    moved.calc = same.calc
    moved.positions[0, 0] += 1e-6
    assert atoms.matches(moved, trial) == "positions"
    celled = same.copy()
    celled.cell = [1, 1, 1]
    assert atoms.matches(celled, trial) == "cell"
    assert atoms.matches(same.copy(), trial) == "energy"
    assert atoms.matches(same, replace(trial, energy=0.5)) == "energy"
    assert atoms.matches(same, replace(trial, forces=trial.forces + 1)) == "forces"


def test_images_are_the_best_or_all(log):
    energies = [trial.energy for trial in log.trials("done")]
    (best,) = atoms.images(log)
    assert best.get_potential_energy() == min(energies)
    every = atoms.images(log, every=True)
    assert [image.get_potential_energy() for image in every] == energies


def test_no_images_without_energies(tmp_path):
    log = campaign().run(tmp_path / "run", stop=stop.WallTime(1e-9))
    with pytest.raises(LogError, match="has no energy yet"):
        atoms.images(log)


@pytest.mark.parametrize(
    "name", ["a.extxyz", "a.xyz", "a.cif", "POSCAR", "a.db", "a.traj", "a.json"]
)
def test_export_writes_what_ase_reads(tmp_path, log, name):
    file = tmp_path / "new" / name
    for _ in range(2):  # again: replaced, not appended to
        atoms.export(atoms.images(log), file)
    found = ase.io.read(file, index=":")
    assert len(found) == 1
    assert found[0].get_chemical_formula() == "Cu3"


def test_export_all(tmp_path, log):
    atoms.export(atoms.images(log, every=True), tmp_path / "all.extxyz")
    assert len(ase.io.read(tmp_path / "all.extxyz", index=":")) == 8


def test_export_says_what_was_predicted(tmp_path):
    log = campaign(n=15).run(tmp_path / "run")
    images = atoms.images(log, every=True)
    foretold = {each.trial: each.expected for each in log.foretold()}
    atoms.export(images, tmp_path / "all.extxyz")
    atoms.export(images, tmp_path / "all.db")
    with ase.db.connect(tmp_path / "all.db") as db:
        rows = [row.key_value_pairs for row in db.select()]
    names = {"trial", "step", "origin"}
    predicted = {"predicted_energy", "predicted_sigma", "calibrated_sigma"}
    interval = {"interval_low", "interval_high"}
    read = ase.io.read(tmp_path / "all.extxyz", index=":")
    for i, (image, row) in enumerate(zip(read, rows, strict=True)):
        info = dict(image.info)
        expected = foretold.get(i)
        assert info == pytest.approx(row)
        assert (info["trial"], info["step"]) == (i, log.undecoded()[i].step)
        if i < 4:
            assert set(info) == names
        else:
            assert set(info) == names | predicted | (interval if i > 12 else set())
            assert info["predicted_energy"] == pytest.approx(expected.mean)
            assert info["predicted_sigma"] == pytest.approx(expected.sigma)
            assert info["calibrated_sigma"] == pytest.approx(expected.calibrated)
    assert info["interval_low"] == pytest.approx(expected.low)
    assert info["interval_high"] == pytest.approx(expected.high)


@pytest.mark.parametrize("name", ["a.nonsense", "nonsense", "a.gpaw-out"])
def test_export_refuses_formats_ase_cannot_write(tmp_path, log, name):
    with pytest.raises(InputError, match="`out` must have a suffix of a format"):
        atoms.export(atoms.images(log), tmp_path / name)
    assert not (tmp_path / name).exists()


def test_export_refuses_many_in_a_format_for_one(tmp_path, log):
    with pytest.raises(InputError, match="`out` must be a format that holds many"):
        atoms.export(atoms.images(log, every=True), tmp_path / "POSCAR")


def test_export_says_where_it_could_not_write(tmp_path, log):
    (tmp_path / "file").touch()
    with pytest.raises(LogError, match="could not write"):
        atoms.export(atoms.images(log), tmp_path / "file" / "a.extxyz")


def test_listed_says_where_each_came_from(tmp_path, log):
    images = atoms.images(log, every=True)
    atoms.export(images[:2], tmp_path / "a.extxyz")
    found = atoms.listed([images[0], tmp_path / "a.extxyz"])
    file = tmp_path / "a.extxyz"
    places = ["index 0", f"index 0 of {file}", f"index 1 of {file}"]
    assert [place for place, _ in found] == places
    assert [place for place, _ in atoms.listed(images[0])] == ["index 0"]
    assert len(atoms.listed(str(file))) == 2
    assert len(atoms.listed(log.structures())) == 8


def test_listed_refuses(tmp_path):
    (tmp_path / "a.extxyz").write_text("no structure\n")
    with pytest.raises(
        InputError, match=r"`start` must be a file that ASE can read, g"
    ):
        atoms.listed(tmp_path / "a.extxyz")
    with pytest.raises(InputError, match=r"got .*absent\.cif, which is no file"):
        atoms.listed([tmp_path / "absent.cif"])
    with pytest.raises(InputError, match=r"a list of them, got int"):
        atoms.listed(3)
    with pytest.raises(InputError, match=r"a list of them, got list"):
        atoms.listed([[]])


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("bulk_modulus_GPa", "bulk_modulus_GPa"),
        ("energy", "outcome_energy"),
        ("volume", "outcome_volume"),
        ("B", "outcome_B"),
        ("CoPd", "outcome_CoPd"),
        ("c11 / c12", "c11___c12"),
        ("2nd", "outcome_2nd"),
    ],
)
def test_outcomes_have_names_that_every_file_can_hold(name, key):
    assert atoms._key(name) == key


def test_the_front_takes_the_place_of_the_best(screened):
    points = screened.front().points
    images = atoms.images(screened)
    assert [image.info["trial"] for image in images] == [p.trial for p in points]
    assert all(image.info["front"] for image in images)
    found = images[0].info
    assert {n: found[n] for n in points[0].raw} == dict(points[0].raw)
    every = {image.info["trial"]: image.info for image in atoms.images(screened, True)}
    assert len(every) == 14, "one has failed"
    assert "modulus" not in every[5], "in quarantine"
    assert not every[5]["front"]


def test_formulas_of_what_was_evaluated(screened):
    found = atoms.formulas(screened, [0, 5])
    images = {image.info["trial"]: image for image in atoms.images(screened, True)}
    assert found == {n: images[n].get_chemical_formula() for n in (0, 5)}
    assert atoms.formulas(screened, []) == {}
    connection = sqlite3.connect(screened.folder / "campaign.db", isolation_level=None)
    connection.execute("DELETE FROM systems WHERE id = 1")
    connection.close()
    assert atoms.formulas(screened, [0]) == {}


def test_energies_above_the_hull_of_all_that_was_evaluated(mixed):
    trials = mixed.trials("done")
    structures = mixed.space.decode(torch.stack([trial.X for trial in trials]))
    wanted = above_hull(structures, trials).tolist()
    found = atoms.above_hull(mixed)
    assert list(found) == [trial.number for trial in trials]
    assert list(found.values()) == pytest.approx(wanted)
    assert min(wanted) == 0 < max(wanted)
    images = atoms.images(mixed, every=True)
    assert {each.info["trial"]: each.info[HEIGHT] for each in images} == found


def test_what_is_not_believed_shapes_no_hull(mixed):
    before = atoms.above_hull(mixed)
    low = next(number for number, height in before.items() if height == 0)
    retract(mixed.folder, low, "no")
    after = atoms.above_hull(mixed)
    assert set(before) - set(after) == {low}
    assert all(after[number] <= before[number] + 1e-12 for number in after)


def test_no_hull_without_mixing_enthalpies(screened, log):
    assert atoms.above_hull(screened) == atoms.above_hull(log) == {}
    image = atoms.images(screened)[0]
    assert HEIGHT not in image.info


def test_an_outcome_of_that_name_is_the_evaluators(mixed):
    mixed.goals = Goals((Objective(HEIGHT, "minimize"),))
    assert atoms.above_hull(mixed) == {}
