import json
import sys

import pytest
import torch
from typer.testing import CliRunner

from bostruct.bench import TASKS
from bostruct.bench.single_objective import time_limited_search
from bostruct.campaign import campaign_file
from bostruct.cli import bench
from bostruct.cli.app import typer_app

FILE = """
from bostruct.bench import Setting
from tests.bench.problems import PARTS, task
mine = task("mine", source="one of twenty")
tiny, other = Setting("tiny", PARTS), Setting("other", PARTS)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    (tmp_path / "mine.py").write_text(FILE)
    yield tmp_path
    sys.modules.pop(campaign_file.MODULE_NAME, None)


def bostruct(*arguments):
    return CliRunner().invoke(typer_app, ["bench", *map(str, arguments)])


RUN = ("mine.py", "--effort", "tiny", "--seeds", 2, "--evaluations", 30, "--out", "out")


def test_a_task_of_a_file(here):
    done = bostruct(*RUN, "--baseline-evaluations", 50)
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    assert "Results are in out\n" in done.stdout
    for words in ("mine", "bostruct tiny", "random search", "basin hopping"):
        assert words in done.stdout
    found = json.loads((here / "out" / "results.json").read_text())
    assert found["tasks"]["mine"]["source"] == "one of twenty"
    assert len(found["runs"]) == 6
    assert found["seeds"] == [0, 1]
    again = bostruct(*RUN, "--baseline-evaluations", 50)
    assert again.stdout == done.stdout


def test_a_task_without_its_calculator_is_skipped_with_a_sentence(here):
    text = FILE + 'absent = task("absent", required_module="no_such_calculator")\n'
    (here / "mine.py").write_text(text)
    done = bostruct(*RUN, "--baseline-evaluations", 0)
    assert done.exit_code == 0, done.output
    assert "absent is skipped: no_such_calculator is not installed" in done.stdout
    found = json.loads((here / "out" / "results.json").read_text())
    assert list(found["tasks"]) == ["mine"]
    (here / "mine.py").write_text(text.replace('"mine",', '"mine", required_module="no_such",'))
    refused(bostruct(*RUN), "`tasks` must include one whose calculator is installed")


def test_beacon_needs_its_package(here, monkeypatch):
    monkeypatch.setattr(time_limited_search, "find_spec", lambda name: None)
    done = bostruct(*RUN, "--baseline-evaluations", 0, "--beacon-seconds", 60)
    refused(done, "`ase-gpatom` must be installed")
    assert not (here / "out").exists()


def test_seeds_begin_where_they_are_told_to(here):
    run = (*RUN[:3], "--seeds", 2, *RUN[5:], "--baseline-evaluations", 0)
    assert bostruct(*run).exit_code == 0
    before = json.loads((here / "out" / "results.json").read_text())
    done = bostruct(*run, "--first-seed", 1)
    assert done.exit_code == 0, done.output
    found = json.loads((here / "out" / "results.json").read_text())
    assert found["seeds"] == [run["seed"] for run in found["runs"]] == [1, 2]
    energies = [[run["energies"] for run in each["runs"]] for each in (before, found)]
    assert energies[0][1] == energies[1][0], "seed 1 is the same run"
    assert energies[1][1] not in energies[0]
    refused(bostruct("lj7", "--first-seed", -1), "`first_seed` must be an integer of at least 0")
    refused(bostruct("lj7", "--first-seed", 2**63), "`first_seed` must leave seeds up to 9223")


SURFACE = """
from ase.build import fcc100
from ase.calculators.emt import EMT
import bostruct as bo
from bostruct.bench import Setting, Task

small = Task(
    name="cu_au100",
    make_space=lambda: bo.spaces.Surface(fcc100("Au", (2, 2, 1), vacuum=5.0), "Cu"),
    evaluator=bo.evaluators.Calculator(EMT),
    reference_energy=6.7,
    tolerance=0.1,
)
least = Setting("least", {"search": bo.candidates.BasinHopping(n_candidates=2, n_rounds=1)})
"""


def test_a_surface_of_a_file(here):
    (here / "surface.py").write_text(SURFACE)
    options = ("--effort", "least", "--seeds", 1, "--evaluations", 4, "--out", "out")
    done = bostruct("surface.py", *options, "--baseline-evaluations", 30)
    assert done.exit_code == 0, done.output
    found = json.loads((here / "out" / "results.json").read_text())
    assert [(run["method"], run["is_finished"]) for run in found["runs"]] == [
        ("bostruct least", True),
        ("random search", True),
        ("basin hopping", True),
    ]


def test_without_the_others_and_with_two_efforts(here):
    done = bostruct(*RUN, "--effort", "other", "--baseline-evaluations", 0)
    assert done.exit_code == 0, done.output
    assert "random search" not in done.stdout
    assert (here / "out" / "effort.png").is_file()


def test_list(here):
    done = bostruct("--list")
    assert done.exit_code == 0
    for task in TASKS.values():
        assert task.name in done.stdout
        assert f"{task.reference_energy:.6f}" in done.stdout
    assert [path.name for path in here.iterdir()] == ["mine.py"]


def refused(done, message):
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert message in done.stderr


def test_refused_with_a_sentence_and_nothing_written(here, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(bostruct("lj8"), "`task` must be one of lj7")
    refused(bostruct("lj7", "--effort", "much"), "`effort` must be one of default")
    refused(bostruct("lj7", "--seeds", 0), "`seeds` must be an integer")
    refused(bostruct("lj7", "--evaluations", 0), "`evaluations` must be an integer")
    refused(bostruct("lj7", "--jobs", 0), "`jobs` must be an integer")
    message = "`baseline_evaluations` must be an integer of at least 0"
    refused(bostruct("lj7", "--baseline-evaluations", -1), message)
    refused(bostruct("lj7", "--device", "cuda"), "`device` must be one that exists")
    refused(bostruct("lj7", "--out", "."), "is not the folder of a benchmark")
    left = {path.name for path in here.iterdir()} - {"__pycache__"}
    assert left == {"mine.py"}


def test_interrupted_it_prints_what_there_is(here, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(
        "bostruct.bench.single_objective.campaign_method.CampaignMethod.run", interrupted
    )
    done = bostruct(*RUN, "--baseline-evaluations", 50)
    assert done.exit_code == 130
    assert "have not ended and do not count" in " ".join(done.stdout.split())
    assert "Run the same command again to go on" in done.stderr


def test_progress():
    from tests.bench.single_objective.test_results import results

    assert bench.progress_text(results()) == "6 of 7 runs"
