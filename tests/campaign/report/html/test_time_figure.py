import pytest

from bostruct.campaign.report.html.report_figure import inline_svg
from bostruct.campaign.report.html.report_trials import read_report_trials
from bostruct.campaign.report.html.time_figure import time_figure
from bostruct.campaign.report.summary import summarize


def test_steps_add_up_to_the_totals(log):
    totals = summarize(log).seconds
    found = time_figure(read_report_trials(log), log.steps(), totals)
    columns = list(zip(*found.rows, strict=True))
    for name, column in zip(("evaluate", "search", "fit", "log"), columns[1:], strict=True):
        assert sum(column) == pytest.approx(totals[name])
    assert "<svg" in inline_svg(found)


def test_nothing_to_show(log):
    assert time_figure(read_report_trials(log), [], {"fit": 0.0}) is None
