import pytest

from bostruct.bench.single_objective import effort_plot as module
from bostruct.bench.single_objective.effort_plot import effort_points, plot_effort
from bostruct.bench.single_objective.results import Results
from tests.bench.drawn import keep
from tests.bench.single_objective.test_results import TASKS, run

SLOW, QUICK = {"step_seconds": ((1.0, 1.0, 1.0),)}, {"step_seconds": ((0.1, 0.1, 0.1),)}
RUNS = [
    run(count=4, **SLOW),
    run(count=6, seed=1, **SLOW),
    run(method="random search", count=9),
    run(method="bostruct quick", count=9, **QUICK),
    run(method="bostruct quick", seed=1, **QUICK),
]


def test_points_go_from_quick_to_thorough():
    quick, default = effort_points(Results(TASKS, RUNS), "a")
    assert (quick.setting_name, default.setting_name) == ("quick", "default")
    assert (quick.step_seconds, default.step_seconds) == (pytest.approx(0.3), 3.0)
    assert (quick.median, default.median) == (9.5, 5.0)
    assert (default.low, default.high) == (4, 6)
    assert quick.p90 == pytest.approx(9.9)
    assert [count for _, count in quick.runs] == [9, None]


def test_it_needs_two_efforts_of_one_task(tmp_path):
    assert not plot_effort(Results(TASKS, RUNS[:3]), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert plot_effort(Results(TASKS, RUNS), tmp_path)
    assert (tmp_path / "effort.png").is_file()


def test_runs_medians_and_failures_are_drawn(tmp_path, monkeypatch):
    found = keep(module, monkeypatch)
    plot_effort(Results(TASKS, RUNS), tmp_path)
    (axes,) = found
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_title(loc="left") == "a"
    assert axes.get_xlabel() == "time of a step (s)"
    drawn = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert drawn == {
        "median": [9.5, 5.0],
        "90th percentile": [pytest.approx(9.9), pytest.approx(5.8)],
        "one run": [9, 4, 6],
        "failed": [10],
    }
    assert [text.get_text() for text in axes.texts] == ["quick", "default"]
