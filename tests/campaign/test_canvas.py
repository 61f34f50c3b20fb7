import pytest

from bostruct.acquisition import Constraint, Goals, Objective
from bostruct.campaign import canvas
from bostruct.errors import LogError

GOALS = Goals(
    (
        Objective("price", "minimize", "EUR/kg", log=True),
        Objective("B_GPa", "maximize"),
    ),
    (Constraint("x", below=1.0),),
)


@pytest.fixture
def axes(tmp_path):
    with canvas.figure(1, tmp_path / "one.png") as (found,):
        yield found


def test_labels_say_the_unit_and_what_is_better():
    assert canvas.label("price", GOALS) == "price (EUR/kg) ↓"
    assert canvas.label("B_GPa", GOALS) == "B (GPa) ↑"
    assert canvas.label("x", GOALS) == "x"


@pytest.mark.parametrize(
    ("low", "high"), [(4, 60), (0.011, 0.9), (100, 160), (1, 9000), (5800, 42000)]
)
def test_a_logarithmic_axis_has_three_to_eight_round_numbers(low, high):
    found = canvas.decades(low, high)
    assert 3 <= len(found) <= 8
    assert low <= found[0] < found[-1] <= high


def test_an_axis_is_logarithmic_where_its_outcome_is(axes):
    canvas.scale(axes, "x", "price", GOALS, [10.0, 300.0])
    canvas.scale(axes, "y", "B_GPa", GOALS, [100.0, 180.0])
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    low, high = axes.get_xlim()
    assert low < 10 < 300 < high < 500
    texts = [text.get_text() for text in axes.get_xticklabels()]
    assert {"10", "100"} <= set(texts)
    assert axes.get_ylim()[0] < 100 < 180 < axes.get_ylim()[1]
    assert len(axes.get_yticks()) >= 3


def test_beyond_four_decades_there_are_powers_of_ten(axes):
    canvas.scale(axes, "x", "price", GOALS, [1.0, 1e6])
    texts = [text.get_text() for text in axes.get_xticklabels()]
    assert any("10^" in text for text in texts)


@pytest.mark.parametrize("values", [[], [3.0], [0.0]])
def test_an_axis_of_few_values(axes, values):
    canvas.scale(axes, "y", "B_GPa", GOALS, values)
    low, high = axes.get_ylim()
    assert low < high
    canvas.scale(axes, "x", "price", GOALS, [5.0])
    assert axes.get_xlim()[0] < 5 < axes.get_xlim()[1]


def test_a_figure_has_each_entry_of_its_legend_once(tmp_path):
    with canvas.figure(2, tmp_path / "two.png") as panels:
        for each in panels:
            each.plot([0, 1], label="a")
    data = (tmp_path / "two.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    (legend,) = panels[0].figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a"]


def test_a_folder_that_is_not_there(tmp_path):
    with (
        pytest.raises(LogError, match="could not write"),
        canvas.figure(1, tmp_path / "none" / "one.png"),
    ):
        pass
