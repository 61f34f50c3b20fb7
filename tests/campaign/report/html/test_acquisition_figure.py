import pytest

from bostruct.campaign.report.html import acquisition_figure as module
from bostruct.campaign.report.html.acquisition_figure import (
    MAX_MARKS,
    MIN_PER_STEP,
    StepAcquisition,
    acquisition_figure,
    read_acquisitions,
)
from bostruct.campaign.report.html.report_figure import inline_svg
from bostruct.campaign.report.html.report_trials import ReportTrials, read_report_trials


def test_chosen_and_rejected_are_all_candidates_of_a_step(log):
    report = read_report_trials(log)
    found = read_acquisitions(log, report)
    assert [each.step for each in found] == [s.number for s in log.steps() if s.file]
    for each in found:
        values = log.posterior_tensors(each.step)["candidates.acquisition"].tolist()
        (chosen,) = [t.acquisition for t in report.trials if t.step == each.step]
        assert each.n_candidates == len(values)
        assert sorted([*each.rejected, chosen]) == pytest.approx(sorted(values))


def test_a_lost_file_leaves_its_step_out(log):
    steps = [s.number for s in log.steps() if s.file]
    log.posterior_path(steps[0]).unlink()
    report = read_report_trials(log)
    found = read_acquisitions(log, report)
    assert [each.step for each in found] == steps[1:]
    figure = acquisition_figure(report, found, "LCB")
    assert len(figure.rows) == 4
    assert "LCB: larger is better" in figure.caption


def test_no_more_is_read_than_is_drawn(log, monkeypatch):
    monkeypatch.setattr(module, "MAX_MARKS", 0)
    report = read_report_trials(log)
    for each in read_acquisitions(log, report):
        tensors = log.posterior_tensors(each.step)
        values = tensors["candidates.acquisition"].tolist()
        del values[int(tensors["chosen.index"])]
        assert len(each.rejected) == MIN_PER_STEP < len(values)
        assert (each.rejected[0], each.rejected[-1]) == (max(values), min(values))


def test_many_candidates_are_thinned_by_rank(log):
    report = read_report_trials(log)
    values = tuple(-float(i) for i in range(10 * MAX_MARKS))
    step = next(t.step for t in report.trials if t.acquisition is not None)
    svg = inline_svg(acquisition_figure(report, [StepAcquisition(step, 5, values)], "LCB"))
    assert len(svg) < 300_000


def test_nothing_to_show():
    assert acquisition_figure(ReportTrials(()), [], "LCB") is None
