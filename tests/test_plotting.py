import matplotlib.image
import matplotlib.pyplot as plt
import pytest

from bostruct import plotting
from bostruct.campaign.report import pareto_plots
from bostruct.errors import LogError
from bostruct.objectives import Constraint, Objective, OptimizationConfig

GOALS = OptimizationConfig(
    (Objective("price", "minimize", "EUR/kg", log=True), Objective("B_GPa", "maximize")),
    (Constraint("x", upper=1.0),),
)


@pytest.fixture
def axes(tmp_path):
    with plotting.saved_figure(1, tmp_path / "one.png") as (found,):
        yield found


def test_labels_say_the_unit_and_what_is_better():
    assert pareto_plots.directed_axis_label("price", GOALS) == "price (EUR/kg) ↓"
    assert pareto_plots.directed_axis_label("B_GPa", GOALS) == "B (GPa) ↑"
    assert pareto_plots.directed_axis_label("x", GOALS) == "x"


@pytest.mark.parametrize(
    ("low", "high"), [(4, 60), (0.011, 0.9), (100, 160), (1, 9000), (5800, 42000)]
)
def test_a_logarithmic_axis_has_three_to_eight_round_numbers(low, high):
    found = plotting.log_tick_values(low, high)
    assert 3 <= len(found) <= 8
    assert low <= found[0] < found[-1] <= high


def test_an_axis_is_logarithmic_where_its_outcome_is(axes):
    pareto_plots.format_axis(axes, "x", "price", GOALS, [10.0, 300.0])
    pareto_plots.format_axis(axes, "y", "B_GPa", GOALS, [100.0, 180.0])
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    low, high = axes.get_xlim()
    assert low < 10 < 300 < high < 500
    texts = [text.get_text() for text in axes.get_xticklabels()]
    assert {"10", "100"} <= set(texts)
    assert axes.get_ylim()[0] < 100 < 180 < axes.get_ylim()[1]
    assert len(axes.get_yticks()) >= 3


def test_beyond_four_decades_there_are_powers_of_ten(axes):
    pareto_plots.format_axis(axes, "x", "price", GOALS, [1.0, 1e6])
    texts = [text.get_text() for text in axes.get_xticklabels()]
    assert any("10^" in text for text in texts)


@pytest.mark.parametrize("values", [[], [3.0], [0.0]])
def test_an_axis_of_few_values(axes, values):
    pareto_plots.format_axis(axes, "y", "B_GPa", GOALS, values)
    low, high = axes.get_ylim()
    assert low < high
    pareto_plots.format_axis(axes, "x", "price", GOALS, [5.0])
    assert axes.get_xlim()[0] < 5 < axes.get_xlim()[1]


def test_a_figure_has_each_entry_of_its_legend_once(tmp_path):
    with plotting.saved_figure(2, tmp_path / "two.png") as panels:
        for each in panels:
            each.plot([0, 1], label="a")
    data = (tmp_path / "two.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    (legend,) = panels[0].figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a"]


def test_a_folder_that_is_not_there(tmp_path):
    with (
        pytest.raises(LogError, match="could not write"),
        plotting.saved_figure(1, tmp_path / "none" / "one.png"),
    ):
        pass


@pytest.mark.parametrize("count", [1, 2, 4])
def test_three_panels_are_as_wide_as_a_page(count, tmp_path):
    titles = [f"t{i}" for i in range(count)]
    with plotting.saved_figure(count, tmp_path / "p.png", titles=titles) as found:
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
    with plotting.saved_figure(3, tmp_path / "p.png") as found:
        for i in range(7):
            found[0].plot([1, 2], label=f"bostruct thorough {i}")
    figure = found[0].figure
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


def test_axes_are_named_where_nothing_is_beside_or_below(tmp_path):
    with plotting.saved_figure(4, tmp_path / "p.png") as found:
        plotting.label_outer(found, "x", "y")
    assert [axes.get_xlabel() for axes in found] == ["", "x", "x", "x"]
    assert [axes.get_ylabel() for axes in found] == ["y", "", "", "y"]


def test_logarithmic_axes_have_plain_numbers(tmp_path):
    with plotting.saved_figure(1, tmp_path / "p.png") as (axes,):
        axes.set_xscale("log")
        axes.set_xlim(0.5, 200)
        plotting.set_log_ticks(axes.xaxis)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "10", "100"]


def test_figures_have_the_settings_of_the_package(tmp_path):
    with plotting.saved_figure(1, tmp_path / "p.png") as (axes,):
        (line,) = axes.plot([1, 2])
    assert line.get_linewidth() == plotting.RC_PARAMS["lines.linewidth"]


LONG = "formation energy of the relaxed alloy at its own volume, against all of its neighbours"


def overlaps(first, second):
    return (
        min(first.x1, second.x1) - max(first.x0, second.x0) > 1
        and min(first.y1, second.y1) - max(first.y0, second.y0) > 1
    )


@pytest.mark.parametrize(("n_panels", "projection"), [(1, None), (3, None), (4, None), (2, "3d")])
@pytest.mark.parametrize("kind", ["short", "long", "one long", "many"])
def test_nothing_of_a_legend_is_cut_or_covers_a_panel(n_panels, kind, projection, tmp_path):
    labels = {
        "short": [f"line {k}" for k in range(3)],
        "long": [f"{k} {LONG}" for k in range(4)],
        "one long": ["a", "predicted, not evaluated (±σ) by the last model", "b", "c", "d", "e"],
        "many": [f"method {k} with its settings" for k in range(14)],
    }[kind]
    with plotting.saved_figure(n_panels, tmp_path / "a.png", projection=projection) as panels:
        for axes in panels:
            for k, label in enumerate(labels):
                axes.plot([0, 1], [0, k], label=label)
    figure = panels[0].figure
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert not any(overlaps(box, axes.get_window_extent()) for axes in panels)
    assert all(axes.get_window_extent().height > 0.5 * figure.dpi for axes in panels)


@pytest.mark.parametrize("n_panels", [1, 3])
def test_long_labels_of_axes_are_in_the_picture(n_panels, tmp_path):
    with plotting.saved_figure(n_panels, tmp_path / "a.png") as panels:
        for axes in panels:
            axes.plot([0, 1])
            axes.set_xlabel(plotting.wrap_label(LONG[:50]))
            axes.set_ylabel(plotting.wrap_label(LONG[:50]))
    figure = panels[0].figure
    box = figure.get_tightbbox()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= figure.get_figwidth()
    assert box.y1 <= figure.get_figheight()


def test_what_stands_out_of_a_figure_makes_the_picture_larger(tmp_path):
    import matplotlib.image

    for x in (0.5, 1.5):
        figure = plotting.new_figure(2.0, 1.0)
        figure.text(x, 0.5, "here")
        plotting.write_png(figure, tmp_path / f"{x}.png", dpi=100)
    shapes = [matplotlib.image.imread(tmp_path / f"{x}.png").shape[:2] for x in (0.5, 1.5)]
    assert shapes[0] == (100, 200)
    assert (matplotlib.image.imread(tmp_path / "1.5.png")[..., :3] < 0.5).any(), "it was cut off"
