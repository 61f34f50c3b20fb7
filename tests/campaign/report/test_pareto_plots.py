"""What is drawn is what was found: the points are read back from the axes."""

import numpy as np
import pytest

from bostruct import Objective, stop
from bostruct.campaign.analysis.pareto_front import ParetoFront
from bostruct.campaign.report import pareto_plots
from bostruct.campaign.report.unevaluated_candidates import predict_front_candidates
from tests.campaign import alloys
from tests.campaign.analysis.test_hypervolume_history import made
from tests.campaign.analysis.test_pareto_front import read


def points(axes, label):
    """Return the points of a scatter as a set of rounded pairs."""
    found = [each for each in axes.collections if each.get_label() == label]
    return {
        tuple(round(float(x), 9) for x in row)
        for each in found
        for row in np.asarray(each.get_offsets())
    }


def wanted(group, *names):
    return {tuple(round(point.raw_outcomes[n], 9) for n in names) for point in group}


def test_pairs_hold_every_point_once_and_tell_them_apart(screened, drawn, tmp_path):
    front = screened.pareto_front()
    assert pareto_plots.plot_objective_pairs(
        front, predict_front_candidates(screened, 3), tmp_path / "a.png"
    )
    names = [("enthalpy", "modulus"), ("enthalpy", "price"), ("modulus", "price")]
    whole = [p for p in front.evaluated if None not in p.raw_outcomes.values()]
    bad = [p for p in whole if not p.is_feasible]
    assert bad
    for axes, pair in zip(drawn, names, strict=True):
        assert points(axes, pareto_plots.LEGEND_LABELS["front"]) == wanted(front.points, *pair)
        assert points(axes, pareto_plots.LEGEND_LABELS["infeasible"]) == wanted(bad, *pair)
        rest = [p for p in whole if p.is_feasible and not p.is_non_dominated]
        assert points(axes, pareto_plots.LEGEND_LABELS["feasible"]) == wanted(rest, *pair)
    first, second, _ = drawn
    assert (first.get_xlabel(), first.get_ylabel()) == (
        "enthalpy (eV/atom) ↓",
        "modulus (GPa) ↑",
    )
    assert (second.get_xscale(), second.get_yscale()) == ("linear", "log")
    bounds = [line for line in first.lines if line.get_linestyle() == "--"]
    assert [line.get_xdata()[0] for line in bounds] == [-0.01]


def test_error_bars_are_the_calibrated_sigma_of_what_was_not_evaluated(screened, drawn, tmp_path):
    found = predict_front_candidates(screened, 2)
    pareto_plots.plot_objective_pairs(screened.pareto_front(), found, tmp_path / "a.png")
    bars = drawn[1].containers  # enthalpy and price
    assert len(bars) == 2
    for bar, each in zip(bars, found, strict=True):
        (x,), (y,) = bar.lines[0].get_data()
        assert x == pytest.approx(each.predictions["enthalpy"].mean)
        assert y == pytest.approx(10.0 ** each.predictions["price"].mean)
        (segment,) = bar.lines[2][0].get_segments()
        width = segment[1][0] - segment[0][0]
        assert width == pytest.approx(2 * each.predictions["enthalpy"].calibrated_sigma)


def test_the_thin_line_joins_what_is_best_of_two(drawn, tmp_path):
    front = read(made((0.3, 0.1), (0.6, 0.4), (0.5, 0.45), (0.9, 0.7)))
    pareto_plots.plot_objective_pairs(front, [], tmp_path / "a.png")
    (line,) = [each for each in drawn[0].lines if each.get_linestyle() == "-"]
    corners = list(zip(*line.get_data(), strict=True))
    assert corners == [(0.9, 0.7), (0.6, 0.7), (0.6, 0.4), (0.3, 0.4), (0.3, 0.1)]


def test_a_cube_of_three(screened, drawn, tmp_path):
    front = screened.pareto_front()
    assert pareto_plots.plot_three_objectives(
        front, predict_front_candidates(screened, 3), tmp_path / "a.png"
    )
    (axes,) = drawn
    assert axes.get_zlabel() == r"price (\$/kg) ↓"
    best = next(
        each for each in axes.collections if each.get_label() == pareto_plots.LEGEND_LABELS["front"]
    )
    xs, ys, zs = best._offsets3d
    drawn_there = {tuple(np.round(row, 9)) for row in zip(xs, ys, zs, strict=True)}
    assert drawn_there == {
        tuple(
            np.round(
                [
                    p.raw_outcomes["enthalpy"],
                    p.raw_outcomes["modulus"],
                    np.log10(p.raw_outcomes["price"]),
                ],
                9,
            )
        )
        for p in front.points
    }


def test_growth_is_the_series(screened, drawn, tmp_path):
    front = screened.pareto_front()
    assert pareto_plots.plot_hypervolume_history(front, [], tmp_path / "a.png")
    left, right = drawn
    counts = list(range(1, 16))
    assert list(left.lines[0].get_xdata()) == counts
    assert tuple(left.lines[0].get_ydata()) == front.history.hypervolume
    assert tuple(right.lines[0].get_ydata()) == front.history.n_front
    assert tuple(right.lines[1].get_ydata()) == front.history.n_feasible
    assert any(each.get_label() == "before the model" for each in left.patches)


def test_lines_of_the_front_over_all_outcomes(screened, drawn, tmp_path):
    front = screened.pareto_front()
    assert pareto_plots.plot_parallel_coordinates(front, [], tmp_path / "a.png")
    (axes,) = drawn
    best = [x for x in axes.lines if x.get_linewidth() == 1.1]
    assert len(best) == len(front.points)
    lowest = best[0].get_ydata()  # the first has the least enthalpy: up is better
    everyone = [x.get_ydata()[0] for x in axes.lines if len(x.get_xdata()) == 3]
    assert lowest[0] == max(everyone) == 1.0
    assert [text.get_text() for text in axes.get_xticklabels()] == [
        "enthalpy (eV/atom) ↓",
        "modulus (GPa) ↑",
        r"price (\$/kg) ↓",
    ]


def test_what_cannot_be_drawn_is_not(tmp_path):
    nothing = read(made())
    assert isinstance(nothing, ParetoFront)
    path = tmp_path / "a.png"
    assert not pareto_plots.plot_three_objectives(nothing, [], path), "two objectives"
    assert not pareto_plots.plot_hypervolume_history(nothing, [], path)
    assert not pareto_plots.plot_parallel_coordinates(nothing, [], path)
    assert not path.exists()
    assert pareto_plots.plot_objective_pairs(nothing, [], path), "empty axes"


def test_one_objective_has_no_pair_and_may_have_lines(tmp_path, drawn):
    run = alloys.campaign(objectives=[Objective("modulus", "maximize")], stop=stop.Evaluations(4))
    log = run.run(tmp_path / "run")
    front = log.pareto_front()
    assert not pareto_plots.plot_objective_pairs(front, [], tmp_path / "a.png")
    assert pareto_plots.plot_hypervolume_history(front, [], tmp_path / "a.png")
    drew = pareto_plots.plot_parallel_coordinates(front, [], tmp_path / "b.png")
    assert drew == bool(front.points)
