import json
import os
import sys

import pytest

from bostruct.bench import CampaignMethod, Task, basin_hopping, random_search, run_energy_benchmark
from bostruct.bench import Setting as Settings
from bostruct.candidates import BasinHopping
from bostruct.errors import InputError, LogError
from bostruct.evaluators import Function
from bostruct.spaces import Cluster
from tests.bench.problems import DEFAULT, PARTS, TINY, task
from tests.campaign.standin import Draw


def methods(max_evaluations=12, baseline=40):
    return [
        CampaignMethod(DEFAULT, max_evaluations),
        random_search(baseline),
        basin_hopping(baseline),
    ]


def energies(results):
    return {(r.task, r.method, r.seed): r.energies for r in results.runs}


def test_everything_in_one_run(tmp_path):
    """The real surrogate and search on a small cluster, at the least effort."""
    from ase.calculators.emt import EMT

    from bostruct.evaluators import Calculator

    copper = Task("cu4", lambda: Cluster("Cu4"), Calculator(EMT), 4.64, 0.1)
    tiny = Settings("default", {"search": BasinHopping(n_candidates=4, n_rounds=1), "n_initial": 2})
    told = []
    results = run_energy_benchmark(
        [copper],
        [CampaignMethod(tiny, 5), random_search(60), basin_hopping(60)],
        2,
        tmp_path,
        on_progress=lambda found: told.append(sum(run.is_finished for run in found.runs)),
        on_end=told.append,
    )
    assert told == [0, 1, 2, 3, 4, 5, 6, results]
    assert [row.n_runs for row in results.summaries()] == [2, 2, 2]
    assert results.methods == ["bostruct", "random search", "basin hopping"]
    random = results.summaries()[1]
    assert (random.n_solved, random.max_evaluations) == (2, 60)
    names = {path.name for path in tmp_path.iterdir()}
    files = {"results.json", "summary.csv", "calibration.csv", "failures.csv", "success.png"}
    assert names == {*files, "summary.md", "cu4"}
    text = (tmp_path / "summary.md").read_text()
    assert "| cu4 | bostruct | " in text
    assert "median z²" in text, "energies were predicted one step ahead"


def test_a_method_may_have_fewer_seeds(tmp_path):
    results = run_energy_benchmark(
        [task()], methods(6), 3, tmp_path, first_seed=4, fewer_seeds={"random search": 1}
    )
    seeds = {name: [run.seed for run in results.select("chain", name)] for name in results.methods}
    assert seeds == {"bostruct": [4, 5, 6], "random search": [4], "basin hopping": [4, 5, 6]}


def test_the_second_call_goes_on(tmp_path):
    tasks = [task("a", -99.0), task("b")]
    few, more = (methods(n, baseline=10) for n in (5, 6))
    whole = run_energy_benchmark(tasks, more, 2, tmp_path / "whole")
    run_energy_benchmark(tasks[:1], few, 1, tmp_path / "parts")
    parts = run_energy_benchmark(tasks, more, 2, tmp_path / "parts")
    assert energies(parts) == energies(whole)
    times = os.stat(tmp_path / "parts" / "a" / "seed-000" / "campaign.db").st_mtime_ns
    run_energy_benchmark(tasks, more, 2, tmp_path / "parts")
    after = os.stat(tmp_path / "parts" / "a" / "seed-000" / "campaign.db").st_mtime_ns
    assert after == times, "what has ended is read, not run"


class Stops:
    """An evaluator that is interrupted once, at its n-th call."""

    def __init__(self, n):
        self.left = n
        self.evaluator = task().evaluator

    def __call__(self, structures):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return self.evaluator(structures)

    def description(self):
        return self.evaluator.description()


def test_an_interrupted_run_leaves_everything_and_goes_on(tmp_path):
    stops = Stops(15)
    chain = Task("chain", task().make_space, stops, -99.0)
    ended = []
    with pytest.raises(KeyboardInterrupt):
        run_energy_benchmark(
            [chain], [CampaignMethod(DEFAULT, 6)], 4, tmp_path / "x", on_end=ended.append
        )
    (row,) = ended[0].summaries()
    assert (row.n_runs, row.n_unfinished) == (2, 2)
    data = json.loads((tmp_path / "x" / "results.json").read_text())
    assert [len(run["energies"]) for run in data["runs"]] == [6, 6, 2, 0]
    assert (tmp_path / "x" / "success.png").is_file()
    assert (tmp_path / "x" / "summary.csv").is_file()
    again = run_energy_benchmark([chain], [CampaignMethod(DEFAULT, 6)], 4, tmp_path / "x")
    whole = run_energy_benchmark([chain], [CampaignMethod(DEFAULT, 6)], 4, tmp_path / "whole")
    assert energies(again) == energies(whole)


def test_results_are_written_meanwhile(tmp_path, monkeypatch):
    """So that a run that is killed without warning leaves them too."""
    monkeypatch.setattr(sys.modules["bostruct.bench.energy_benchmark"], "WRITE_INTERVAL", 0.0)
    seen = []

    def tell(_):
        data = json.loads((tmp_path / "results.json").read_text())
        seen.append(sum(run["is_finished"] for run in data["runs"]))

    run_energy_benchmark([task()], [random_search(10)], 3, tmp_path, on_progress=tell)
    assert seen == [0, 1, 2, 3]
    assert (tmp_path / "success.png").is_file()


@pytest.mark.slow
def test_jobs_run_in_processes_and_change_nothing(tmp_path):
    tasks = [task("a", -99.0)]
    alone = run_energy_benchmark(
        tasks, methods(max_evaluations=6, baseline=20), 2, tmp_path / "alone"
    )
    together = run_energy_benchmark(
        tasks, methods(max_evaluations=6, baseline=20), 2, tmp_path / "two", n_workers=2
    )
    assert energies(together) == energies(alone)


def dies(atoms):
    os._exit(3)


def test_a_process_that_dies_is_a_run_that_failed(tmp_path):
    lost = Task("lost", task().make_space, Function(dies), 0.0)
    results = run_energy_benchmark([lost], [CampaignMethod(DEFAULT, 6)], 1, tmp_path, n_workers=2)
    (run,) = results.runs
    assert run.is_finished
    assert run.reason == "its process died"


class Breaks(Draw):
    def __call__(self, value, space, known, energies, generator):
        raise ValueError("singular kernel")


def test_a_run_that_breaks_is_not_the_end(tmp_path):
    setting = Settings("default", {**PARTS, "search": Breaks()})
    results = run_energy_benchmark([task("a", -99.0)], [CampaignMethod(setting, 6)], 2, tmp_path)
    assert [run.reason for run in results.runs] == ["ValueError: singular kernel"] * 2


def test_refused_before_anything_is_written(tmp_path):
    out = tmp_path / "out"
    both = [CampaignMethod(DEFAULT), CampaignMethod(DEFAULT)]
    with pytest.raises(InputError, match="`n_seeds` must be an integer of at least 1"):
        run_energy_benchmark([task()], methods(), 0, out)
    with pytest.raises(InputError, match="`n_workers` must be an integer of at least 1"):
        run_energy_benchmark([task()], methods(), 1, out, n_workers=0)
    with pytest.raises(InputError, match="`tasks` must have names of their own, got c"):
        run_energy_benchmark([task(), task()], methods(), 1, out)
    with pytest.raises(InputError, match="`methods` must have names of their own, got"):
        run_energy_benchmark([task()], both, 1, out)
    with pytest.raises(InputError, match="`tasks` must be at least one, got none"):
        run_energy_benchmark([], methods(), 1, out)
    assert not out.exists()
    (tmp_path / "mine").touch()
    with pytest.raises(LogError, match="is a file, not a folder"):
        run_energy_benchmark([task()], methods(), 1, tmp_path / "mine")
    with pytest.raises(LogError, match="is not the folder of a benchmark and not empty"):
        run_energy_benchmark([task()], methods(), 1, tmp_path)
    with pytest.raises(LogError, match=r"could not make .*: Not a directory"):
        run_energy_benchmark([task()], methods(), 1, tmp_path / "mine" / "below")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_efforts_lie_side_by_side(tmp_path):
    both = [CampaignMethod(DEFAULT, 6), CampaignMethod(TINY, 6)]
    results = run_energy_benchmark([task("a", -99.0)], both, 1, tmp_path)
    first, second = results.runs
    assert first.energies == second.energies, "they differ in name alone"
    assert (tmp_path / "effort.png").is_file()
