import re
from xml.etree import ElementTree

import pytest
from matplotlib import image

from bostruct import plotting
from bostruct.campaign.report.html.report_figure import (
    INK,
    ReportFigure,
    clamped,
    inline_svg,
    robust_limits,
    write_picture,
)


def figure(n=3, name="probe"):
    def draw(drawn):
        axes = drawn.subplots()
        axes.plot([0, n], [0, 1], label="a <line>")
        axes.scatter(range(n), range(n), color=INK, gid="probe-points", label="points")
        return {"probe-points": [10 + i for i in range(n)]}

    return ReportFigure(name, "Title", "Caption.", 'says "what"', ("n",), ((1,),), draw)


@pytest.mark.parametrize("label", ["cost ($/kg) in US$", "a $\\nothing{$ b", "<b>", "bell\x07"])
def test_labels_that_others_wrote_are_shown_as_they_are(label):
    def draw(drawn):
        drawn.subplots().set_ylabel(plotting.wrap_label(label, 40))
        return {}

    drawn = ReportFigure("probe", "Title", "Caption.", "alt", (), (), draw)
    texts = [element.text for element in ElementTree.fromstring(inline_svg(drawn)).iter()]
    assert label.replace("\x07", r"\x07") in texts


@pytest.mark.parametrize("n", [1, 2, 40])
def test_every_mark_carries_its_trial(n):
    root = ElementTree.fromstring(inline_svg(figure(n)))
    tagged = [e for e in root.iter() if e.get("data-trial")]
    assert [int(e.get("data-trial")) for e in tagged] == [10 + i for i in range(n)]
    assert root.get("aria-label") == 'says "what"'
    assert root.get("width") is None


def test_marks_stand_where_their_numbers_are():
    root = ElementTree.fromstring(inline_svg(figure(8)))
    x = [float(e.get("x")) for e in root.iter() if e.get("data-trial")]
    assert x == sorted(x)
    assert len(set(x)) == 8


def test_colors_follow_the_page_and_nothing_is_loaded():
    svg = inline_svg(figure(4))
    assert "var(--ink)" in svg
    assert INK not in svg
    assert "<metadata" not in svg
    assert not re.findall(r'(?:href|src)="(?!#)', svg)
    assert "a &lt;line&gt;" in svg


def test_two_figures_share_no_id():
    first, second = (
        set(re.findall(r' id="([^"]+)"', inline_svg(figure(5, name)))) for name in ("a", "b")
    )
    assert first
    assert not first & second


def test_pictures_of_both_formats(tmp_path):
    write_picture(figure(), tmp_path / "a.svg")
    ElementTree.parse(tmp_path / "a.svg")
    write_picture(figure(), tmp_path / "a.png")
    assert image.imread(tmp_path / "a.png").shape[1] > 1000


def test_limits_leave_out_what_is_far_from_all_others():
    values = [0.1 * i for i in range(10)]
    low, high = robust_limits([*values, 1e6])
    assert -0.1 < low < 0 < 0.9 < high < 1.0
    assert clamped([-5.0, 0.5, 5.0], (0.0, 1.0)) == [0.0, 0.5, 1.0]
    low, high = robust_limits([3.0] * 12)
    assert low < 3.0 < high
