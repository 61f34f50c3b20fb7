from pathlib import Path

import torch

from bostruct.bench import CampaignMethod, Setting, random_search
from bostruct.bench.benchmark import single_thread
from bostruct.bench.single_objective.method import run_folder, run_single_threaded
from bostruct.bench.single_objective.run import Run
from tests.bench.problems import task


def test_places_of_different_runs_differ():
    methods = [CampaignMethod(), CampaignMethod(Setting("quick")), random_search()]
    found = {
        run_folder(method, one, seed, Path("out"))
        for method in methods
        for one in (task("a"), task("b"))
        for seed in (0, 1)
    }
    assert len(found) == 12
    assert Path("out/a/seed-000") in found
    assert Path("out/b/quick/seed-001") in found
    assert Path("out/a/random-search/seed-001") in found


def test_one_thread_puts_the_number_back(monkeypatch):
    set_to = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    with single_thread():
        assert set_to == [1]
    assert set_to == [1, 7]


def test_measure_runs_on_one_thread(tmp_path):
    class Asks:
        def run(self, task, seed, out):
            return Run(task.name, f"{torch.get_num_threads()}", seed, 1, 0.0)

    assert run_single_threaded(Asks(), task(), 0, tmp_path).method == "1"
