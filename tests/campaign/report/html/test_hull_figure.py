from dataclasses import replace

from bostruct.campaign.report.html.hull_figure import hull_figure
from bostruct.campaign.report.html.report_figure import inline_svg
from bostruct.campaign.report.hull_summary import HullSummary, Phase

PHASES = (
    Phase("Cu", (1.0, 0.0), 0.0, 0.0, 0),
    Phase("CuAu", (0.5, 0.5), -0.05, 0.0, 3),
    Phase("Au", (0.0, 1.0), 0.0, 0.0, 1),
    Phase("Cu3Au", (0.75, 0.25), -0.02, 0.005, 5),
)
HULL = HullSummary(("Cu", "Au"), PHASES, points=((0.5, -0.05), (0.25, -0.02), (0.5, 0.01)))


def test_phases_are_in_picture_and_table():
    found = hull_figure(HULL)
    assert "CuAu" in inline_svg(found)
    assert found.rows[3] == ("Cu3Au", 5, -0.02, 0.005)
    assert found.alt == "Convex hull of Cu-Au; stable are Cu, CuAu, Au."


def test_there_is_none_of_three_elements_or_without_an_end():
    assert hull_figure(None) is None
    assert hull_figure(replace(HULL, elements=("Cu", "Au", "Pd"))) is None
    assert hull_figure(replace(HULL, phases=(), missing=("Cu",))) is None
