"""Names of members, as mp-30, wherever a structure of a campaign is shown or written."""

import csv
import json
import shutil

import ase.io
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.db import connect
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from bostruct import Campaign, Objective, stop
from bostruct.campaign.log.ase_rows import name_for_database
from bostruct.campaign.member_names import member_names, trial_label
from bostruct.campaign.report.summary import summarize
from bostruct.campaign.report.text import final_text, summary_text
from bostruct.cli.app import typer_app
from bostruct.evaluators import Evaluation, Failure
from bostruct.spaces import Cluster, Composition, Orderings, Pool

NAMES = ["mp-30", "mp-54", "mvc 7", "17", "1e5", "Kupfer"]
BROKEN = "mp-54"


def pool():
    structures = []
    for k, name in enumerate(NAMES):
        atoms = bulk("Cu", a=3.4 + 0.1 * k)
        atoms.info["name"] = name
        structures.append(atoms)
    return Pool(structures)


class ByVolume:
    """Best at the fourth member; fails at `BROKEN`."""

    def __init__(self, with_outcomes=False):
        self.with_outcomes = with_outcomes

    def __call__(self, structures):
        a = float(structures.cell[0].det().abs() * 4) ** (1 / 3)
        if abs(a - 3.5) < 1e-6:
            return Failure("it broke")
        outcomes = {"first": a, "second": abs(a - 3.7)} if self.with_outcomes else {}
        return Evaluation((a - 3.7) ** 2, None, outcomes)

    def description(self):
        return {"type": "ByVolume"}


@pytest.fixture(scope="module")
def energies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "energies"
    campaign = Campaign(space=pool(), evaluator=ByVolume(), stop=stop.Evaluations(6), n_initial=4)
    return campaign.run(folder, seed=0)


@pytest.fixture(scope="module")
def objectives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "objectives"
    campaign = Campaign(
        space=pool(),
        evaluator=ByVolume(with_outcomes=True),
        objectives=(Objective("first", "minimize"), Objective("second", "minimize")),
        stop=stop.Evaluations(6),
        n_initial=4,
    )
    return campaign.run(folder, seed=0)


def command(*words):
    done = CliRunner().invoke(typer_app, list(map(str, words)))
    assert done.exit_code == 0, done.output
    return done.output


def test_show_names_the_best_the_last_and_the_failed(energies):
    summary = summarize(energies)
    assert set(summary.names.values()) == set(NAMES)
    assert " eV, 17, evaluation " in final_text(summary)
    text = command("show", energies.folder)  # without the space
    assert " eV, 17, evaluation " in text
    assert " eV, 17, evaluation " in summary_text(summary)
    assert all(f" {name} " in text for name in NAMES)
    failed = [line for line in text.splitlines() if "it broke" in line]
    assert f"({BROKEN}): it broke" in failed[0]
    assert f" {BROKEN} " in failed[-1]
    assert (
        json.loads(command("show", energies.folder, "--json"))["names"][
            str(summary.energy.best.trial)
        ]
        == "17"
    )


def test_a_failed_and_a_planned_trial_have_their_names_in_the_log(energies):
    trials = {trial.member: trial for trial in energies.trials()}
    assert trials[BROKEN].state == "failed"
    assert [trial.member for trial in energies.trials()] == pool().names_at(
        torch.stack([trial.X for trial in energies.trials()])
    )


def test_exports_carry_the_names(energies, tmp_path):
    command("export", energies.folder, tmp_path / "best.extxyz")
    assert str(ase.io.read(tmp_path / "best.extxyz").info["name"]) == "17"
    command("export", energies.folder, tmp_path / "all.db", "--all")
    with connect(tmp_path / "all.db") as database:
        found = {row.name for row in database.select()}
    assert found == {name_for_database(name) for name in NAMES if name != BROKEN}
    with connect(energies.folder / "campaign.db") as database:
        assert [row.trial for row in database.select(name="mp-30")]
    assert set(Pool(tmp_path / "all.db").names) == found


def test_the_front_carries_the_names(objectives, tmp_path):
    text = command("front", objectives.folder, "--out", tmp_path)
    names = {point.name for point in objectives.pareto_front().points}
    assert names == {"mp-30", "mvc 7", "17"}
    assert all(f" {name} " in text for name in names)
    table = list(csv.DictReader((tmp_path / "front.csv").read_text().splitlines()))
    assert {row["name"] for row in table} == names
    every = list(csv.DictReader((tmp_path / "evaluations.csv").read_text().splitlines()))
    assert {row["name"] for row in every} == set(NAMES)
    images = ase.io.read(tmp_path / "front.extxyz", index=":")
    assert {str(atoms.info["name"]) for atoms in images} == names
    with connect(tmp_path / "front.db") as database:
        assert {row.name for row in database.select()} == set(map(name_for_database, names))
    shown = command("show", objectives.folder)
    lines = shown.splitlines()
    told = [i for i, line in enumerate(lines) if "it broke" in line]
    assert f"({BROKEN}): it broke" in lines[told[0]]
    failed = lines[told[-1] - 2]
    assert f" {BROKEN} " in failed


def test_what_was_retracted_has_its_name(energies, objectives, tmp_path):
    for log, text in ((energies, "({}): bad\n"), (objectives, "({}), retracted: bad\n")):
        folder = shutil.copytree(log.folder, tmp_path / log.folder.name)
        trial = next(trial for trial in log.trials("done"))
        command("retract", folder, trial.number, "--reason", "bad")
        assert f"trial {trial.number} {text.format(trial.member)}" in command("show", folder)


def test_members_without_names_have_formulas():
    alloys = Composition(["Cu", "Au"], step=1 / 4)
    X = alloys.members(0, 2)
    assert member_names(alloys, X) == alloys.decode(X).formulas()
    orderings = Orderings(bulk("Cu", cubic=True), ["Cu", "Au"], 4)
    X = orderings.sample(3, torch.Generator().manual_seed(0))
    assert all(set(name) <= set("CuAu0123456789") for name in member_names(orderings, X))
    cluster = Cluster("Cu3")
    X = cluster.sample(2, torch.Generator().manual_seed(0))
    assert member_names(cluster, X) == ["", ""]
    assert member_names(None, X) == ["", ""]
    assert trial_label(1, {}) == "trial 1"


def test_numbers_of_the_materials_project_are_names():
    lattice = Lattice.cubic(3.6)
    numbered = Structure(lattice, ["Cu"], [[0, 0, 0]], properties={"material_id": "mp-30"})
    atoms = Atoms("Au", cell=[4, 4, 4], pbc=True, info={"material_id": "mp-81"})
    named = Atoms("Ag", cell=[4, 4, 4], pbc=True, info={"material_id": "mp-8", "name": "silver"})
    assert Pool([numbered, atoms, named]).names == ("mp-30", "mp-81", "silver")
