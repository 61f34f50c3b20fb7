import matplotlib.image
import matplotlib.pyplot as plt
import pytest

from bostruct.bench import picture
from bostruct.errors import LogError


@pytest.mark.parametrize("count", [1, 2, 4])
def test_three_panels_are_as_wide_as_a_page(count, tmp_path):
    titles = [f"t{i}" for i in range(count)]
    with picture.panels(titles, tmp_path / "p.png") as found:
        for axes in found:
            axes.plot([1, 2], [3, 4], label="a line")
    height, width = matplotlib.image.imread(tmp_path / "p.png").shape[:2]
    assert width == pytest.approx(300 * max(min(count, 3) * 2.4, 3.6))
    assert height == pytest.approx(300 * ((count > 3) + 1) * 2.0 + 150)
    assert [axes.get_title(loc="left") for axes in found] == titles
    assert plt.get_fignums() == [], "no figure is left open"
    (legend,) = found[0].figure.legends
    assert [text.get_text() for text in legend.texts] == ["a line"], "named once"


def test_the_legend_stays_inside(tmp_path):
    with picture.panels(["a", "b", "c"], tmp_path / "p.png") as found:
        for i in range(7):
            found[0].plot([1, 2], label=f"bostruct thorough {i}")
    figure = found[0].figure
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


def test_axes_are_named_where_nothing_is_beside_or_below(tmp_path):
    with picture.panels(["a", "b", "c", "d"], tmp_path / "p.png") as found:
        picture.label(found, "x", "y")
    assert [axes.get_xlabel() for axes in found] == ["", "x", "x", "x"]
    assert [axes.get_ylabel() for axes in found] == ["y", "", "", "y"]


def test_logarithmic_axes_have_plain_numbers(tmp_path):
    with picture.panels(["a"], tmp_path / "p.png") as (axes,):
        axes.set_xscale("log")
        axes.set_xlim(1, 100)
        picture.logarithmic(axes.xaxis, 1.0, 5.0)
    shown = [text.get_text() for text in axes.get_xticklabels()]
    assert [text for text in shown if text in ["1", "5", "10", "50", "100"]] == [
        *("1", "5", "10", "50", "100")
    ]


def test_refuses_a_file_that_cannot_be_written(tmp_path):
    with (
        pytest.raises(LogError, match="could not write"),
        picture.panels(["a"], tmp_path / "none" / "p.png"),
    ):
        pass
