import json
import sys

import ase.io
import pytest
from ase.constraints import FixCom
from typer.testing import CliRunner

from bostruct.bench.uncertainty import datasets, plots
from bostruct.bench.uncertainty.methods import METHODS
from bostruct.campaign import campaign_file
from bostruct.cli import uncertainty
from bostruct.cli.app import typer_app
from bostruct.structures import to_ase
from tests.bench.uncertainty.fakes import dimers

FILE = """
from tests.bench.uncertainty.fakes import Fake
right, sure = Fake(), Fake(claim=0.02)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(plots, "draw_page", lambda *values: values[-1].touch())
    (tmp_path / "mine.py").write_text(FILE)
    ase.io.write("data.extxyz", to_ase(dimers(120)))
    ase.io.write("test.db", to_ase(dimers(20, 1, 2.0)))
    yield tmp_path
    sys.modules.pop(campaign_file.MODULE_NAME, None)


def bostruct(*arguments):
    return CliRunner().invoke(typer_app, ["uncertainty", *map(str, arguments)])


SIZES = ("--train", 20, "--calibrate", 30, "--method", "mine.py", "--out", "out")


def test_files_and_methods_of_ones_own(here):
    done = bostruct("compare", "data.extxyz", "--shifted", "test.db", *SIZES)
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    assert done.stdout.endswith("Tables and plots are in out\n")
    for words in ("right", "sure", "shifted: shifted test", "Forces, in domain"):
        assert words in done.stdout
    found = json.loads((here / "out" / "comparison.json").read_text())
    assert found["split"]["sizes"] == {
        "train": 20,
        "calibrate": 30,
        "test": 70,
        "shifted test": 20,
    }
    again = bostruct("compare", "data.extxyz", "--shifted", "test.db", *SIZES)
    assert again.stdout == done.stdout


MEAN = """
import torch
from bostruct.uncertainty import Prediction

class Mean:
    def fit(self, data):
        self.mean = data.energy.mean()
        return self

    def predict(self, data):
        ones = torch.ones(len(data), dtype=torch.float64)
        return Prediction(self.mean * ones, ones, ones)

right, sure = Mean(), Mean()
"""


def test_held_out_data_of_many_kinds(here):
    (here / "mine.py").write_text(MEAN)
    options = ("--train", 8, "--test", 2, "--method", "mine.py", "--out", "out")
    done = bostruct("held-out", *options)
    assert done.exit_code == 0, done.output
    for words in ("in domain", "pull-out", "dissociation", "right", "Tables are in out"):
        assert words in done.stdout
    found = json.loads((here / "out" / "held_out.json").read_text())
    assert {row["method"] for row in found["scores"]} == {"right", "sure"}
    assert len({row["kind"] for row in found["scores"]}) >= 10
    refused = bostruct("held-out", "--train", 2)
    assert refused.exit_code == 2
    assert "`n_train` must be an integer of at least 8" in refused.stderr


def test_a_shifted_set_of_the_data_themselves(here):
    done = bostruct("compare", "data.extxyz", "--test", 15, "--seed", 2, *SIZES)
    assert done.exit_code == 0, done.output
    assert "high energy: the 24 of 120 structures that lie highest" in done.stdout
    assert "test 15" in done.stdout


def test_several_splits_and_more_of_them_later(here):
    one = bostruct("compare", "data.extxyz", *SIZES)
    assert one.exit_code == 0, one.output_fn
    assert "seed 0." in one.stdout
    three = bostruct("compare", "data.extxyz", "--splits", 3, *SIZES)
    assert three.exit_code == 0, three.output_fn
    assert "3 splits, seeds 0 to 2." in " ".join(three.stdout.split())
    found = json.loads((here / "out" / "comparison.json").read_text())
    assert [one["seed"] for one in found["splits"]] == [0, 1, 2]
    again = bostruct("compare", "data.extxyz", *SIZES)
    assert again.stdout == one.stdout


def test_list(here):
    done = bostruct("compare", "--list")
    assert done.exit_code == 0
    for name in METHODS:
        assert name in done.stdout
    assert not (here / "out").exists()


def test_data_are_made_and_can_be_compared_on(here, monkeypatch):
    sets = {"cu15": {"cu4": (datasets.ClusterDataset("Cu4", bfgs_steps=(1, 2)), 12)}}
    monkeypatch.setattr(datasets, "DATASETS", sets)
    done = bostruct("data", "cu15", "--out", "made", "--seed", 3)
    assert done.exit_code == 0, done.output
    assert done.stdout == "made/cu4.extxyz: 12 structures\n"
    assert len(uncertainty.read_labeled_structures(here / "made" / "cu4.extxyz")) == 12


def test_constraints_that_fix_no_atom_do_not_matter(here):
    atoms = to_ase(dimers(1))[0]
    atoms.set_constraint(FixCom())
    ase.io.write("one.traj", atoms)
    assert not uncertainty.read_labeled_structures(here / "one.traj").fixed.any()


def refused(done, message):
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert message in done.stderr


def test_refused_with_a_sentence_and_nothing_written(here):
    (here / "bad.extxyz").write_text("nothing\n")
    before = {path.name for path in here.iterdir()}
    refused(bostruct("compare"), "`DATA` must be a file of structures")
    refused(bostruct("compare", "none.extxyz"), "which is no file")
    refused(bostruct("compare", "bad.extxyz"), "bad.extxyz (")
    refused(bostruct("compare", "data.extxyz", "--method", "x"), "`method` must be one")
    refused(bostruct("compare", "data.extxyz", "--shift", "x"), "`shift` must be one")
    no = bostruct("compare", "data.extxyz", "--method", "mine.py", "--splits", 0)
    refused(no, "`splits` must be an integer of at least 1, got 0.")
    message = "`structures` must be enough for 100 to train on"
    refused(bostruct("compare", "data.extxyz", "--method", "mine.py"), message)
    refused(bostruct("data", "cu99"), "`name` must be one of cu15, au5cu10")
    left = {path.name for path in here.iterdir()} - {"__pycache__"}
    assert left == before
