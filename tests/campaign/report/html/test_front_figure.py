from bostruct.campaign.analysis.pareto_front import ParetoFront
from bostruct.campaign.report.html.front_figure import front_figures
from bostruct.campaign.report.html.report_figure import inline_svg


def test_a_figure_for_each_pair_with_every_point(screened):
    front = screened.pareto_front()
    whole = [p for p in front.evaluated if None not in p.raw_outcomes.values()]
    found = front_figures(front)
    assert [figure.name for figure in found] == ["front-1", "front-2", "front-3"]
    for figure in found:
        assert inline_svg(figure).count("data-trial") == len(whole)
        on_front = {row[0] for row in figure.rows if row[2] == "yes"}
        assert on_front == {p.trial for p in front.points}


def test_nothing_to_show(screened):
    empty = ParetoFront.from_trials([], [], [], screened.optimization_config)
    assert front_figures(empty) == []
