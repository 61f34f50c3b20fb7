import csv
import json
import math
import shutil
from dataclasses import replace

import pytest

from bostruct.bench import CampaignMethod, Setting, run_energy_benchmark
from bostruct.bench.diagnosis.failures import (
    MAX_DIAGNOSED_STEPS,
    cause_from_run,
    diagnose_failures,
    is_failed_or_slow,
    majority_cause,
    select_steps,
)
from bostruct.bench.diagnosis.step_diagnosis import StepDiagnosis
from bostruct.bench.single_objective.results import Results
from bostruct.bench.single_objective.run import EnergyPrediction
from tests.bench.diagnosis.test_step_diagnosis import Blind
from tests.bench.problems import DEFAULT, PARTS, task
from tests.bench.single_objective.test_campaign_method import Breaks
from tests.bench.single_objective.test_results import TASKS, run
from tests.campaign.standin import Draw, energy

RIGHT = EnergyPrediction(3.0, 0.1, 0.1)


def test_failed_and_slow_runs_have_ended_badly():
    quick, slow, failed = run(count=2), run(count=7, seed=1), run(seed=2)
    others = [run(count=2, seed=seed) for seed in range(3, 6)]
    results = Results(TASKS, [quick, slow, failed, *others])
    assert [is_failed_or_slow(one, results) for one in results.runs[:4]] == [
        False,
        True,
        True,
        False,
    ]
    going_on = replace(failed, energies=(3.0,))
    assert not is_failed_or_slow(going_on, Results(TASKS, [quick, going_on]))


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({}, ""),
        ({"predictions": (None,) * 2 + (RIGHT,) * 8}, ""),
        ({"predictions": (RIGHT,) * 9 + (EnergyPrediction(math.nan, 0.1, 0.1),)}, "prediction"),
        ({"predictions": (RIGHT,) * 9 + (EnergyPrediction(3.0, math.inf, 0.1),)}, "prediction"),
        ({"predictions": (EnergyPrediction(3.6, 0.1, 0.1),) * 10}, "prediction"),
        ({"predictions": (EnergyPrediction(3.6, 0.1, 0.1),) * 9}, ""),
        ({"energies": (None,) * 5 + (3.0,) * 5}, "evaluator"),
        ({"energies": (None,) * 4 + (3.0,) * 6}, ""),
    ],
)
def test_what_energies_and_predictions_show(changes, cause):
    found, detail = cause_from_run(replace(run(), **changes))
    assert found == cause
    assert bool(detail) is bool(cause)


def test_a_run_that_was_solved_is_judged_by_what_came_before():
    solved = replace(run(count=10), energies=(None,) * 5 + (3.0,) * 4 + (0.0,))
    assert cause_from_run(solved)[0] == "evaluator"


def test_most_steps_decide_and_the_last_of_them_is_quoted():
    looks = [StepDiagnosis(i, cause, 0.1, 0.0) for i, cause in enumerate(("a", "b", "b", "a"))]
    assert majority_cause(looks) == ("a", 2, looks[3])
    assert majority_cause(looks[:3]) == ("b", 2, looks[2])


def test_steps_are_spread_over_the_time_that_counts(tmp_path):
    hard = task(reference=-99.0)
    method = CampaignMethod(DEFAULT, 24)
    method.run(hard, 0, tmp_path)
    log = method.log(hard, 0, tmp_path)
    steps, trials = log.steps(), log.trial_records()
    assert [step.number for step in select_steps(steps, trials, 20, 24)] == [17, 18, 19, 20]
    spread = [step.number for step in select_steps(steps, trials, 4, 24)]
    assert len(spread) == MAX_DIAGNOSED_STEPS
    assert (spread[0], spread[-1]) == (1, 20)
    assert select_steps(steps, trials, 0, 4) == [], "random structures"
    assert select_steps(steps, trials, 9, 9) == []


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Some runs solve the task, some fail as their search is blind."""
    out = tmp_path_factory.mktemp("out")
    blind = Setting("blind", {**PARTS, "search": Blind()})
    keen = Setting("default", {**PARTS, "search": Draw(256)})
    methods = [CampaignMethod(keen, 40), CampaignMethod(blind, 12)]
    return run_energy_benchmark([task(reference=-1.8)], methods, 3, out), methods, out


def test_every_run_that_ended_badly_has_a_cause(made):
    results, _, out = made
    bad = [one for one in results.runs if is_failed_or_slow(one, results)]
    found = [(one.task, one.method, one.seed) for one in results.diagnoses]
    assert found == [(one.task, one.method, one.seed) for one in bad]
    blind = [one for one in results.diagnoses if one.method == "bostruct blind"]
    assert len(blind) >= 2, "a random structure may be the answer"
    assert {one.cause for one in blind} == {"search"}
    for one in blind:
        assert one.n_agreeing_steps > one.n_diagnosed_steps / 2
        assert one.energy_gap > task().tolerance
        assert "in step 8 the acquisition value of the reference minimum" in one.detail
        assert one.detail.endswith(" more than that of the selected one")
    data = json.loads((out / "results.json").read_text())
    assert [one["cause"] for one in data["failures"]] == [one.cause for one in results.diagnoses]
    with (out / "failures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["cause"] for row in rows] == [one.cause for one in results.diagnoses]


def test_what_is_damaged_is_no_cause(made, tmp_path):
    results, methods, out = made
    copy = shutil.copytree(out, tmp_path / "copy")
    for path in (copy / "chain" / "blind" / "seed-001" / "posteriors").iterdir():
        path.write_bytes(b"damaged")
    found = next(
        one
        for one in diagnose_failures(results, methods, copy)
        if (one.method, one.seed) == ("bostruct blind", 1)
    )
    assert (found.cause, found.n_diagnosed_steps) == ("unknown", 0)
    assert "is not what was written" in found.detail


def test_nobody_knows_better(tmp_path):
    results = run_energy_benchmark(
        [task(reference=-99.0)], [CampaignMethod(DEFAULT, 6)], 1, tmp_path
    )
    (found,) = results.diagnoses
    assert (found.cause, found.detail) == ("unknown", "nothing lower is known")
    assert found.energy_gap == results.runs[0].best_energy + 99.0


def test_an_error_is_the_cause(tmp_path):
    broken = Setting("broken", {**PARTS, "search": Breaks()})
    results = run_energy_benchmark(
        [task(reference=-99.0)], [CampaignMethod(broken, 8)], 1, tmp_path
    )
    (found,) = results.diagnoses
    assert (found.cause, found.detail) == ("error", "ValueError: singular kernel")


def test_the_evaluator_is_the_cause(tmp_path):
    def fails_often(atoms):
        if atoms.positions[0, 0] > 1:
            raise RuntimeError("not converged")
        return energy(atoms)

    often = task("often", -99.0, fails_often)
    results = run_energy_benchmark([often], [CampaignMethod(DEFAULT, 12)], 1, tmp_path)
    (found,) = results.diagnoses
    assert found.cause == "evaluator"
    assert found.detail.endswith("of 12 energies failed")
