import csv
import json
from dataclasses import asdict, replace

import pytest
from scipy.stats import binomtest

from bostruct.bench.single_objective.results import Results, RunDiagnosis
from bostruct.bench.single_objective.run import EnergyPrediction, Run
from tests.bench.problems import task

TASKS = [task("a", reference=0.95), task("b", reference=0.95)]


def run(name="a", method="bostruct", seed=0, count=None, max_evaluations=10, **more):
    """Return a run that needs `count` evaluations, or all of them in vain."""
    energies = [3.0] * max_evaluations if count is None else [3.0] * (count - 1) + [0.0]
    return Run(name, method, seed, max_evaluations, 1.0, tuple(energies), **more)


STEPS = {"step_seconds": ((1.0, 2.0, 0.5), (2.0, 4.0, 0.5))}
GOOD, BAD = (EnergyPrediction(2.0, 1.0, 1.0), EnergyPrediction(1.0, 1.0, 1.0))  # z = 1 and z = 2


def results():
    runs = [
        run(seed=0, count=4, **STEPS, predictions=(None, GOOD, BAD), cpu_seconds=2.0),
        run(seed=1, count=8, step_seconds=((3.0, 9.0, 0.5),), predictions=(None, BAD, BAD)),
        run(seed=2),
        Run("a", "bostruct", 3, 10, 1.0, (3.0, None)),
        run(method="random search", count=70, max_evaluations=100),
        run("b", method="random search", max_evaluations=100),
        run("b", count=2),
    ]
    return Results(TASKS, runs)


def test_rows():
    row, random, *others = results().summaries()
    assert (row.task, row.method, row.n_runs, row.n_unfinished) == ("a", "bostruct", 3, 1)
    assert (row.n_solved, row.max_evaluations) == (2, 10)
    interval = tuple(binomtest(2, 3).proportion_ci(method="wilson"))
    assert (row.solved_low, row.solved_high) == pytest.approx(interval, abs=1e-14)
    assert row.median_evaluations == 8
    assert row.p90_evaluations == pytest.approx(9.6)
    assert (row.fit_seconds, row.search_seconds, row.log_seconds) == (2.0, 5.0, 0.5)
    assert (row.median_step_seconds, row.max_step_seconds) == (6.5, 12.5)
    assert row.cpu_seconds == 0.5
    assert (row.z2, row.coverage_1sigma) == ((2.5 + 4.0) / 2, 0.25)
    assert (random.median_evaluations, random.median_step_seconds, random.fit_seconds) == (
        70,
        None,
        None,
    )
    assert [(row.task, row.method) for row in others] == [("b", "bostruct"), ("b", "random search")]


def test_unfinished_runs_do_not_count_in_curves_either():
    found = results().success_curve("a", "bostruct")
    assert found.evaluations == (0, 4, 8, 10)
    assert found.solved_fraction == pytest.approx((0, 1 / 3, 2 / 3, 2 / 3))
    empty = Results(TASKS, [Run("a", "bostruct", 0, 10, 1.0)])
    assert empty.success_curve("a", "bostruct") is None
    (row,) = empty.summaries()
    assert (
        row.n_runs,
        row.n_unfinished,
        row.median_evaluations,
        row.solved_low,
        row.solved_high,
    ) == (0, 1, None, 0, 1)


def test_files(tmp_path):
    why = RunDiagnosis("a", "bostruct", 2, None, "search", 2.05, 8, 6, -1.0, "in step 7")
    found = replace(results(), diagnoses=(why,))
    found.write(tmp_path)
    data = json.loads((tmp_path / "results.json").read_text())
    assert data == json.loads(json.dumps(found.json()))
    assert data["tasks"]["a"] == {"reference_energy": 0.95, "tolerance": 0.05, "source": ""}
    assert len(data["runs"]) == 7
    scores = [(row["task"], row["n"], row["z_mean"]) for row in data["calibration"]]
    assert scores == [("a", 4, 1.75), ("all", 4, 1.75)]
    with (tmp_path / "calibration.csv").open(newline="") as file:
        assert [float(row["z2"]) for row in csv.DictReader(file)] == [3.25, 3.25]
    assert data["runs"][3]["energies"] == [3.0, None]
    assert data["runs"][3]["is_finished"] is False
    assert "torch" in data["versions"]
    assert data["failures"] == [asdict(why)]
    with (tmp_path / "failures.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["cause"], row["n_agreeing_steps"], row["evaluations_to_success"]) == (
        "search",
        "6",
        "",
    )
    with (tmp_path / "summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["task"], row["method"]) for row in rows] == [
        ("a", "bostruct"),
        ("a", "random search"),
        ("b", "bostruct"),
        ("b", "random search"),
    ]
    assert float(rows[0]["median_evaluations"]) == 8
    assert rows[1]["median_step_seconds"] == ""


def test_an_infinite_z2_is_left_open():
    broken = run(count=2, predictions=(EnergyPrediction(float("nan"), 1.0, 1.0),))
    (row,) = Results(TASKS[:1], [broken]).summaries()
    assert (row.z2, row.coverage_1sigma) == (None, 0.0)


def test_what_is_not_known_is_left_open():
    found = asdict(RunDiagnosis("a", "bostruct", 3, None, "error", None))
    assert found["n_diagnosed_steps"] == found["n_agreeing_steps"] == 0
    assert found["z_score"] is None
    assert list(found)[:5] == ["task", "method", "seed", "evaluations_to_success", "cause"]
