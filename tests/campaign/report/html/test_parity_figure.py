import pytest

from bostruct import plotting
from bostruct.campaign.report.html.parity_figure import parity_figure


def test_points_are_the_predictions_from_before(log):
    logged = log.predictions()
    found = parity_figure({"energy (eV)": logged}, origin=1.5)
    assert [row[1:4] for row in found.rows] == [
        (p.trial, p.energy, p.prediction.mean) for p in logged
    ]
    figure = plotting.new_figure(4, 3)
    assert found.draw(figure) == {"parity-0": [p.trial for p in logged]}
    (axes,) = figure.axes
    (points,) = [c for c in axes.collections if c.get_gid() == "parity-0"]
    x = points.get_offsets()[:, 0].tolist()
    assert x == pytest.approx([p.energy - 1.5 for p in logged])


def test_a_panel_for_each_outcome(screened):
    names = screened.pareto_front().learned_names
    found = parity_figure({n: screened.predictions(outcome=n) for n in names})
    figure = plotting.new_figure(4, 3)
    assert len(found.draw(figure)) == len(figure.axes) == len(names) == 2


def test_nothing_to_show():
    assert parity_figure({"energy": []}) is None
