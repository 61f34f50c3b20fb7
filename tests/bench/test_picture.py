import matplotlib.image
import matplotlib.pyplot as plt
import pytest

from bostruct.bench import picture
from bostruct.bench.results import Results
from bostruct.bench.run import Run
from bostruct.bench.task import Task
from tests.bench.test_results import TASKS, results, run

STEPS = {"seconds": ((1.0, 1.0, 1.0),)}


def pixels(path):
    return matplotlib.image.imread(path)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_success_has_a_panel_for_each_task(count, tmp_path):
    tasks = [
        Task(f"t{i}", TASKS[0].space, TASKS[0].evaluator, 0.95) for i in range(count)
    ]
    runs = [run(task.name, m, count=7) for task in tasks for m in ("one", "two")]
    picture.success(Results(tasks, runs), tmp_path)
    found = pixels(tmp_path / "success.png")
    height, width = found.shape[:2]
    assert width == 300 * max(min(count, 3) * 2.9, 4.2)
    assert height == pytest.approx(300 * ((count > 3) + 1) * 2.3 + 150)
    assert plt.get_fignums() == [], "no figure is left open"


def test_curves_bands_and_legend_are_drawn(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(picture, "_save", lambda figure, path: drawn.append(figure))
    picture.success(results(), tmp_path)
    left, right = drawn[0].axes
    assert [axes.get_title(loc="left") for axes in (left, right)] == ["a", "b"]
    assert left.get_xscale() == "log"
    assert left.get_xlabel() == "energy evaluations"
    assert left.get_ylabel() == "share of runs solved"
    solid = [line for line in left.lines if not line.get_label().startswith("_")]
    assert [line.get_label() for line in solid] == ["bostruct", "random search"]
    assert solid[0].get_ydata()[-1] == pytest.approx(2 / 3)
    assert len(left.collections) == 2
    (legend,) = drawn[0].legends
    assert [text.get_text() for text in legend.texts] == ["bostruct", "random search"]


def test_effort_needs_two_efforts_of_one_task(tmp_path):
    one = Results(TASKS, [run(count=4, **STEPS), run(method="random search", count=9)])
    assert not picture.effort(one, tmp_path)
    assert list(tmp_path.iterdir()) == []
    quick = run(method="bostruct quick", count=9, seconds=((0.1, 0.1, 0.1),))
    assert picture.effort(Results(TASKS, [*one.runs, quick]), tmp_path)
    assert pixels(tmp_path / "effort.png").shape[1] == 300 * 4.2


def test_nothing_yet_is_a_picture_too(tmp_path):
    picture.success(Results(TASKS, [Run("a", "bostruct", 0, 10, 1.0)]), tmp_path)
    assert (tmp_path / "success.png").is_file()
