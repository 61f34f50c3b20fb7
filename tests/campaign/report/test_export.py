import shutil
import sqlite3
from pathlib import Path

import ase.db
import ase.io
import pytest
import torch

from bostruct.campaign import stop
from bostruct.campaign.log.retraction import retract_trial
from bostruct.campaign.log.writer import LogWriter
from bostruct.campaign.report import export
from bostruct.errors import InputError, LogError
from bostruct.evaluators import above_hull
from bostruct.evaluators.alloys.convex_hull import ENERGY_ABOVE_HULL
from bostruct.objectives import Objective, OptimizationConfig
from tests.campaign import crystals
from tests.campaign.standin import campaign


def test_images_are_the_best_or_all(log):
    energies = [trial.energy for trial in log.trials("done")]
    (best,) = export.images_to_export(log)
    assert best.get_potential_energy() == min(energies)
    every = export.images_to_export(log, include_all=True)
    assert [image.get_potential_energy() for image in every] == energies


def test_no_images_without_energies(tmp_path):
    log = campaign().run(tmp_path / "run", stop=stop.WallTime(1e-9))
    with pytest.raises(LogError, match="has no energy yet"):
        export.images_to_export(log)


@pytest.mark.parametrize(
    "name", ["a.extxyz", "a.xyz", "a.cif", "POSCAR", "a.db", "a.traj", "a.json"]
)
def test_export_writes_what_ase_reads(tmp_path, log, name):
    file = tmp_path / "new" / name
    for _ in range(2):  # again: replaced, not appended to
        export.write_structures(export.images_to_export(log), file)
    found = ase.io.read(file, index=":")
    assert len(found) == 1
    assert found[0].get_chemical_formula() == "Cu3"


def test_export_all(tmp_path, log):
    export.write_structures(export.images_to_export(log, include_all=True), tmp_path / "all.extxyz")
    assert len(ase.io.read(tmp_path / "all.extxyz", index=":")) == 8


def test_export_says_what_was_predicted(tmp_path):
    log = campaign(n=15).run(tmp_path / "run")
    images = export.images_to_export(log, include_all=True)
    foretold = {each.trial: each.prediction for each in log.predictions()}
    export.write_structures(images, tmp_path / "all.extxyz")
    export.write_structures(images, tmp_path / "all.db")
    with ase.db.connect(tmp_path / "all.db") as db:
        rows = [row.key_value_pairs for row in db.select()]
    names = {"trial", "step", "generator"}
    predicted = {"predicted_energy", "predicted_sigma", "calibrated_sigma"}
    predicted |= {"stated_energy", "stated_sigma"}
    interval = {"interval_low", "interval_high"}
    read = ase.io.read(tmp_path / "all.extxyz", index=":")
    for i, (image, row) in enumerate(zip(read, rows, strict=True)):
        info = dict(image.info)
        expected = foretold.get(i)
        assert info == pytest.approx(row)
        assert (info["trial"], info["step"]) == (i, log.trial_records()[i].step)
        if i < 4:
            assert set(info) == names
        else:
            assert set(info) == names | predicted | (interval if i > 12 else set())
            assert info["predicted_energy"] == pytest.approx(expected.mean)
            assert info["predicted_sigma"] == pytest.approx(expected.sigma)
            assert info["calibrated_sigma"] == pytest.approx(expected.calibrated_sigma)
            assert info["stated_energy"] == pytest.approx(expected.stated_mean)
            assert info["stated_sigma"] == pytest.approx(expected.stated_sigma)
    assert info["interval_low"] == pytest.approx(expected.low)
    assert info["interval_high"] == pytest.approx(expected.high)


@pytest.mark.parametrize("name", ["a.nonsense", "nonsense", "a.gpaw-out"])
def test_export_refuses_formats_ase_cannot_write(tmp_path, log, name):
    with pytest.raises(InputError, match="`out` must have a suffix of a format"):
        export.write_structures(export.images_to_export(log), tmp_path / name)
    assert not (tmp_path / name).exists()


def test_export_refuses_many_in_a_format_for_one(tmp_path, log):
    with pytest.raises(InputError, match="`out` must be a format that holds many"):
        export.write_structures(export.images_to_export(log, include_all=True), tmp_path / "POSCAR")


def test_export_refuses_structures_that_a_format_cannot_hold(tmp_path, log):
    (image,) = export.images_to_export(log)
    image.arrays["odd"] = image.positions.astype(complex)
    with pytest.raises(InputError, match="`out` must be a format that can hold these structures"):
        export.write_structures([image], tmp_path / "a.extxyz")


def test_export_says_where_it_could_not_write(tmp_path, log):
    (tmp_path / "file").touch()
    with pytest.raises(LogError, match="could not write"):
        export.write_structures(export.images_to_export(log), tmp_path / "file" / "a.extxyz")


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
    assert export._info_key(name) == key


def test_the_front_takes_the_place_of_the_best(screened):
    points = screened.pareto_front().points
    images = export.images_to_export(screened)
    assert [image.info["trial"] for image in images] == [p.trial for p in points]
    assert all(image.info["front"] for image in images)
    found = images[0].info
    assert {n: found[n] for n in points[0].raw_outcomes} == dict(points[0].raw_outcomes)
    every = {image.info["trial"]: image.info for image in export.images_to_export(screened, True)}
    assert len(every) == 14, "one has failed"
    assert "modulus" not in every[5], "in quarantine"
    assert not every[5]["front"]


def test_formulas_of_what_was_evaluated(screened):
    found = export.trial_formulas(screened, [0, 5])
    images = {image.info["trial"]: image for image in export.images_to_export(screened, True)}
    assert found == {n: images[n].get_chemical_formula() for n in (0, 5)}
    assert export.trial_formulas(screened, []) == {}
    connection = sqlite3.connect(screened.folder / "campaign.db", isolation_level=None)
    connection.execute("DELETE FROM systems WHERE id = 1")
    connection.close()
    assert export.trial_formulas(screened, [0]) == {}


def test_energies_above_the_hull_of_all_that_was_evaluated(mixed):
    trials = mixed.trials("done")
    structures = mixed.space.decode(torch.stack([trial.X for trial in trials]))
    wanted = above_hull(structures, trials).tolist()
    found = export.trial_energies_above_hull(mixed)
    assert list(found) == [trial.number for trial in trials]
    assert list(found.values()) == pytest.approx(wanted)
    assert min(wanted) == 0 < max(wanted)
    images = export.images_to_export(mixed, include_all=True)
    assert {each.info["trial"]: each.info[ENERGY_ABOVE_HULL] for each in images} == found


def test_what_is_not_believed_shapes_no_hull(mixed):
    before = export.trial_energies_above_hull(mixed)
    low = next(number for number, height in before.items() if height == 0)
    retract_trial(mixed.folder, low, "no")
    after = export.trial_energies_above_hull(mixed)
    assert set(before) - set(after) == {low}
    assert all(after[number] <= before[number] + 1e-12 for number in after)


def test_no_hull_without_mixing_enthalpies(screened, log):
    assert export.trial_energies_above_hull(screened) == export.trial_energies_above_hull(log) == {}
    image = export.images_to_export(screened)[0]
    assert ENERGY_ABOVE_HULL not in image.info


def test_an_outcome_of_that_name_is_the_evaluators(mixed):
    mixed.optimization_config = OptimizationConfig((Objective(ENERGY_ABOVE_HULL, "minimize"),))
    assert export.trial_energies_above_hull(mixed) == {}


@pytest.mark.parametrize("name", ["campaign.db", "backup.db"])
def test_export_never_replaces_a_campaign(tmp_path, name):
    log = campaign(n=5).run(tmp_path / "run")
    out = tmp_path / "run" / "campaign.db"
    if name == "backup.db":
        out = Path(shutil.copy(out, tmp_path / name))
    before = out.read_bytes()
    images = export.images_to_export(log, include_all=True)
    with pytest.raises(InputError, match="`out` must be no log of a campaign"):
        export.write_structures(images, out)
    assert out.read_bytes() == before
    export.write_structures(images, tmp_path / "new.db")
    export.write_structures(images, tmp_path / "new.db")
    assert len(ase.io.read(tmp_path / "new.db", ":")) == len(images)


def test_a_doubt_goes_with_the_structure(screened):
    trial = next(t.number for t in screened.trial_records("done") if t.number > 6)
    writer = LogWriter(
        screened.folder,
        screened.description,
        screened.seed,
        space=screened.space,
        surrogate=screened.surrogate,
        device="cpu",
    )
    writer.mark_doubt(trial, "its energy equals that of trial 0")
    writer.close()
    doubts = {i.info["trial"]: i.info.get("doubt") for i in export.images_to_export(screened, True)}
    assert doubts.pop(trial) == "its energy equals that of trial 0"
    assert set(doubts.values()) == {None}


@pytest.fixture(scope="module")
def crystal_log(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crystals") / "run"
    crystals.campaign(0.1, n=5).run(folder)
    return crystals.campaign(0.1, n=5).read(folder)


@pytest.mark.parametrize("name", ["best.extxyz", "best.cif", "POSCAR", "best.db", "best.json"])
def test_crystals_are_written_with_their_cell(tmp_path, crystal_log, name):
    export.write_structures(export.images_to_export(crystal_log), tmp_path / name)
    best = min(crystal_log.trials("done"), key=lambda trial: trial.enthalpy)
    found, expected = ase.io.read(tmp_path / name), best.atoms
    assert found.cell.cellpar() == pytest.approx(expected.cell.cellpar(), abs=1e-3)
    if name != "best.cif" and name != "POSCAR":
        assert found.get_stress() == pytest.approx(best.stress.numpy(), abs=1e-7)
    if name == "best.extxyz":
        assert found.info["enthalpy"] == pytest.approx(best.enthalpy)
        # two equal atoms are inverted into each other
        assert (found.info["space_group"], found.info["space_group_number"]) == ("P-1", 2)


def test_all_crystals_are_written_with_their_stress(tmp_path, crystal_log):
    export.write_structures(export.images_to_export(crystal_log, True), tmp_path / "all.extxyz")
    found = ase.io.read(tmp_path / "all.extxyz", ":")
    for image, trial in zip(found, crystal_log.trials("done"), strict=True):
        assert image.get_stress() == pytest.approx(trial.stress.numpy(), abs=1e-7)
