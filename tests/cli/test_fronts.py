import json
from types import MappingProxyType

import pytest
from typer.testing import CliRunner

from bostruct.bench.front_benchmark import FrontSummary
from bostruct.bench.multi_objective.tasks import MULTI_OBJECTIVE_TASKS
from bostruct.cli import fronts
from bostruct.cli.app import typer_app
from tests.bench.tiny import small


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = MappingProxyType({"small": small()})
    monkeypatch.setattr("bostruct.bench.front_benchmark.MULTI_OBJECTIVE_TASKS", table)
    return tmp_path


def bostruct(*arguments):
    return CliRunner().invoke(typer_app, ["fronts", *map(str, arguments)])


def test_a_table_is_printed_and_files_lie_there(here):
    options = ("--seeds", 1, "--evaluations", 4, "--initial", 3, "--at", 3)
    done = bostruct("small", *options, "--out", "out")
    assert done.exit_code == 0, done.output
    for words in ("small", "bostruct initial 3", "random", "Results are in out"):
        assert words in done.stdout
    assert done.stderr == ""
    assert json.loads((here / "out" / "fronts.json").read_text())["seeds"] == [0]
    done = bostruct("small", *options, "--first-seed", 3, "--out", "other")
    assert done.exit_code == 0, done.output
    assert json.loads((here / "other" / "fronts.json").read_text())["seeds"] == [3]
    names = {path.name for path in (here / "out").iterdir()}
    assert {"fronts.json", "fronts.csv", "fronts.png", "small"} <= names


def test_list(here):
    done = bostruct("--list")
    assert done.exit_code == 0
    for name in MULTI_OBJECTIVE_TASKS:
        assert name in done.stdout
    assert not list(here.iterdir())


def test_refused_with_a_sentence(here):
    done = bostruct("none")
    assert done.exit_code == 2
    assert "`task` must be one of small" in done.stderr
    done = bostruct("small", "--batch", 0)
    assert "`batch` must be an integer" in done.stderr


def test_rows_as_a_table():
    from rich.console import Console

    row = FrontSummary(
        task="orderings",
        method="bostruct",
        n_seeds=10,
        n_evaluations=50,
        hypervolume=0.9912,
        hypervolume_p10=0.98,
        hypervolume_p90=0.999,
        recall=0.567,
        evaluations_to_95=25.5,
        evaluations_to_99=None,
        attainable_hypervolume=1.0,
        n_absurd=0,
        n_infeasible=0,
        step_seconds=1.234,
        evaluation_seconds=0.3,
    )
    console = Console(width=150)
    with console.capture() as capture:
        console.print(fronts.front_table([row, row]))
    text = capture.get()
    for words in ("0.9912", "0.980-0.999", "57%", "25.5", "1.23"):
        assert words in text
    assert text.count("orderings") == 1
