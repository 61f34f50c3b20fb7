import pytest

from bostruct.bench.single_objective import success_plot as module
from bostruct.bench.single_objective.results import Results
from bostruct.bench.single_objective.run import Run
from bostruct.bench.single_objective.success_plot import plot_success
from tests.bench.drawn import keep
from tests.bench.single_objective.test_results import TASKS, results, run


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_curves_bands_and_legend_are_drawn(tmp_path, monkeypatch):
    found = keep(module, monkeypatch)
    plot_success(results(), tmp_path)
    left, right = found
    assert [axes.get_title(loc="left") for axes in (left, right)] == ["a", "b"]
    assert left.get_title(loc="right") == "1 to 3 runs"
    assert left.get_xscale() == "log"
    assert left.get_xlabel() == "energy evaluations"
    assert left.get_ylabel() == "fraction of runs solved"
    own, other = lines(left)["bostruct"], lines(left)["random search"]
    assert list(own.get_xdata()) == [0, 4, 8, 10]
    assert list(own.get_ydata()) == pytest.approx([0, 1 / 3, 2 / 3, 2 / 3])
    assert own.get_zorder() > other.get_zorder() - 1
    assert own.get_color() == "#0072B2"
    assert other.get_color() == "#444444", "what it is compared with is grey"
    (legend,) = left.figure.legends
    names = [text.get_text() for text in legend.texts]
    assert names[:2] == ["bostruct", "random search"]
    assert (tmp_path / "success.png").is_file()


def test_a_curve_of_runs_that_failed_ends_with_a_bar(tmp_path, monkeypatch):
    found = keep(module, monkeypatch)
    plot_success(results(), tmp_path)
    bars = [
        (line.get_xdata()[0], line.get_ydata()[0])
        for line in found[0].lines
        if line.get_marker() == "|" and len(line.get_xdata())
    ]
    assert bars == [(10, pytest.approx(2 / 3))], "random search has solved it"


def test_a_band_begins_with_the_first_success(tmp_path, monkeypatch):
    found = keep(module, monkeypatch)
    plot_success(Results(TASKS[:1], [run(count=4), run(seed=1)]), tmp_path)
    (band,) = [path for c in found[0].collections for path in c.get_paths()]
    assert band.vertices[:, 0].min() == 4


def test_nothing_yet_is_a_picture_too(tmp_path):
    plot_success(Results(TASKS, [Run("a", "bostruct", 0, 10, 1.0)]), tmp_path)
    assert (tmp_path / "success.png").is_file()


def test_many_methods_are_told_apart(tmp_path, monkeypatch):
    found = keep(module, monkeypatch)
    runs = [run(method=f"m{i}", count=i + 2) for i in range(5)]
    plot_success(Results(TASKS[:1], runs), tmp_path)
    drawn = [lines(found[0])[f"m{i}"] for i in range(5)]
    assert len({line.get_color() for line in drawn}) == 5
    assert len({str(line._dash_pattern) for line in drawn}) == 5
