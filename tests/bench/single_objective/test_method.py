from pathlib import Path

from bostruct.bench import CampaignMethod, Setting, random_search
from bostruct.bench.single_objective.method import run_folder
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
