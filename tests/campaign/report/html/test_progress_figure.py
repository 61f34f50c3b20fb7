import pytest

from bostruct import plotting
from bostruct.campaign.report.html.progress_figure import (
    energy_progress_figure,
    hypervolume_progress_figure,
)
from bostruct.campaign.report.html.report_figure import inline_svg
from bostruct.campaign.report.html.report_trials import ReportTrials, read_report_trials


def test_the_table_has_energies_and_the_lowest_so_far(log):
    found = energy_progress_figure(read_report_trials(log))
    energies = [t.energy for t in log.trials()]
    assert [row[2] for row in found.rows] == energies
    lowest = [min(energies[: i + 1]) for i in range(len(energies))]
    assert [row[3] for row in found.rows] == pytest.approx(lowest)
    assert f"evaluation {energies.index(min(energies)) + 1}." in found.alt
    assert 'data-trial="7"' in inline_svg(found)


def test_points_are_energies_above_the_lowest(log):
    found = energy_progress_figure(read_report_trials(log))
    figure = plotting.new_figure(4, 3)
    marks = found.draw(figure)
    (points,) = [c for c in figure.axes[0].collections if c.get_gid() == "progress-value"]
    energies = [t.energy for t in log.trials()]
    low, high = figure.axes[0].get_ylim()
    drawn = points.get_offsets()[:, 1]
    expected = [min(max(e - min(energies), low), high) for e in energies]
    assert drawn.tolist() == pytest.approx(expected)
    assert marks["progress-sigma"] == [4, 5, 6, 7]


def test_hypervolumes(screened):
    front = screened.pareto_front()
    found = hypervolume_progress_figure(front)
    assert [row[1] for row in found.rows] == list(front.history.hypervolume)
    assert "<svg" in inline_svg(found)


def test_nothing_to_show():
    assert energy_progress_figure(ReportTrials(())) is None
