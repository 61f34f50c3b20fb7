import csv
import json

import pytest

from bostruct.bench import front_benchmark as module
from bostruct.bench.front_benchmark import median_evaluations_to, run_front_benchmark, tasks_by_name
from bostruct.bench.multi_objective.front_recovery import FrontRecovery
from bostruct.bench.multi_objective.methods import CampaignFrontMethod, RecordedSearch
from bostruct.bench.multi_objective.tasks import MULTI_OBJECTIVE_TASKS
from bostruct.errors import InputError, LogError
from tests.bench.multi_objective.test_run import trace
from tests.bench.tiny import NOT_UNMIXING, large, small


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A benchmark of a list: two seeds of eight evaluations."""
    out = tmp_path_factory.mktemp("fronts")
    screen = small(constraints=(NOT_UNMIXING,))
    lines = []
    rows = run_front_benchmark(
        [screen],
        CampaignFrontMethod(n_initial=6),
        2,
        8,
        out,
        report_at=(7, 99),
        on_progress=lines.append,
    )
    return screen, out, rows, lines


def test_rows_and_files(done):
    _, out, rows, lines = done
    assert [(row.method, row.n_evaluations, row.n_seeds) for row in rows] == [
        *(("bostruct initial 6", n, 2) for n in (7, 8)),
        *(("random", n, 2) for n in (7, 8)),
    ]
    ours = rows[1]
    assert 0 <= ours.hypervolume_p10 <= ours.hypervolume <= ours.hypervolume_p90 <= 1
    assert (ours.n_absurd, ours.n_infeasible, ours.attainable_hypervolume) == (0, 0, 1.0)
    assert ours.step_seconds > 0
    assert rows[2].step_seconds is None
    assert lines[-1] == "4 of 4 searches"
    assert "35 of 35 members" in lines[0]
    data = json.loads((out / module.FRONTS_JSON).read_text())
    assert len(data["runs"]) == 4
    assert len(data["runs"][0]["hypervolume"]) == 8
    assert data["tasks"]["small"]["n_front"] > 1
    with (out / module.FRONTS_CSV).open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 4
    assert (out / "fronts.png").stat().st_size > 0


def test_the_same_command_computes_nothing_again(done, monkeypatch):
    screen, out, rows, _ = done

    def never(*_, **__):
        raise AssertionError

    monkeypatch.setattr("bostruct.campaign.Campaign.run", never)
    monkeypatch.setattr(type(screen.evaluator), "__call__", never)
    again = run_front_benchmark(
        [screen], CampaignFrontMethod(n_initial=6), 2, 8, out, report_at=(7, 99)
    )
    assert again == rows


def test_a_space_that_is_not_listed_is_scaled_by_all_searches(tmp_path):
    pytest.importorskip("ase_ga")
    rows = run_front_benchmark([large()], CampaignFrontMethod(n_initial=21), 1, 21, tmp_path)
    assert [row.method for row in rows] == ["bostruct initial 21", "genetic", "random"]
    assert all(row.recall is None for row in rows)
    assert max(row.hypervolume for row in rows) <= 1.0


def test_an_interrupted_one_reports_what_there_is(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(RecordedSearch, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_front_benchmark([small()], CampaignFrontMethod(n_initial=3), 1, 3, tmp_path)
    data = json.loads((tmp_path / module.FRONTS_JSON).read_text())
    assert [one["method"] for one in data["runs"]] == ["bostruct initial 3"]


def test_the_median_of_seeds_that_do_not_get_there_is_unknown():
    good = FrontRecovery(trace(), (0.5, 0.96, 0.99))
    late, bad = (FrontRecovery(trace(), (0.1, 0.2, 0.97)), FrontRecovery(trace(), (0.1, 0.2, 0.3)))
    assert median_evaluations_to([good, late, bad], 0.95) == 3
    assert median_evaluations_to([good, bad, bad], 0.95) is None


def test_names():
    assert [screen.name for screen in tasks_by_name([])] == list(MULTI_OBJECTIVE_TASKS)
    assert [screen.name for screen in tasks_by_name(["lattice", "lattice"])] == ["lattice"]
    with pytest.raises(InputError, match="`task` must be one of orderings"):
        tasks_by_name(["nothing"])


def test_refused(tmp_path):
    hunt = CampaignFrontMethod()
    for name, seeds, count, more in (
        ("n_seeds", 0, 1, {}),
        ("n_evaluations", 1, 0, {}),
        ("n_workers", 1, 1, {"n_workers": 0}),
        ("report_at", 1, 1, {"report_at": (0,)}),
    ):
        with pytest.raises(InputError, match=f"`{name}` must be an integer"):
            run_front_benchmark([small()], hunt, seeds, count, tmp_path, **more)
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(LogError, match="is not the folder of a benchmark and not empty"):
        run_front_benchmark([small()], hunt, 1, 1, tmp_path)
    with pytest.raises(LogError, match="could not make"):
        run_front_benchmark([small()], hunt, 1, 1, tmp_path / "thesis.tex" / "a")
