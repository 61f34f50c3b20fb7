from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from rich.console import Console

from bostruct.bench.uncertainty import tables
from bostruct.bench.uncertainty.tables import (
    MISSING,
    Column,
    ScoreTable,
    overview_columns,
)


def line(method, quantity="energy", place="test", scored=True):
    return SimpleNamespace(method=method, quantity=quantity, place=place, unit="eV", scored=scored)


NAME = [Column("name", lambda one: one.method)]
BOTH = [*NAME, Column("set", lambda one: one.dataset)]


def test_a_line_for_each_method_and_two_tables_for_each_set():
    found = [
        line("a"),
        line("b"),
        line("a", place="hot"),
        line("b", "forces", scored=False),
    ]
    assert tables.build_tables(found, BOTH, BOTH, NAME) == [
        ScoreTable("At a glance", ["name", "set"], [["a", "test"], ["b", "test"]]),
        ScoreTable(
            "Energy, in domain, eV: error bars",
            ["name", "set"],
            [["a", "test"], ["b", "test"]],
        ),
        ScoreTable("Energy, in domain, eV: intervals and scores", ["name"], [["a"], ["b"]]),
        ScoreTable("Energy, shifted: hot, eV: error bars", ["name", "set"], [["a", "hot"]]),
        ScoreTable("Energy, shifted: hot, eV: intervals and scores", ["name"], [["a"]]),
        ScoreTable("Forces, in domain, eV: error bars", ["name", "set"], [["b", "test"]]),
    ]
    assert tables.build_tables([], BOTH, BOTH, NAME) == []


def test_both_ways_to_print_have_everything():
    made = ScoreTable("Title", ["one", "two"], [["1", "2"], ["3", "4"]])
    text = tables.render_markdown([made], ["before"], ["after"])
    assert text == (
        "- before\n\n**Title**\n\n| one | two |\n|---|---:|\n| 1 | 2 |\n| 3 | 4 |\n\nafter\n"
    )
    console = Console(width=60)
    with console.capture() as captured:
        console.print(tables.render_terminal([made], ["before"], ["after"]))
    printed = captured.get()
    assert printed.startswith("before\nTitle")
    assert printed.endswith("after\n")
    assert "│ 3   │   4 │" in printed


def test_no_digit_is_left_out_on_a_narrow_terminal():
    made = ScoreTable("T", ["one", "two"], [["name", "0.12345678"]])
    console = Console(width=17)
    with console.capture() as captured:
        console.print(tables.render_terminal([made], [], []))
    assert "0.1234" in captured.get()
    assert "5678" in captured.get()
    assert "…" not in captured.get()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (0.00012345, "1.2e-04"),
        (0.012345, "0.0123"),
        (-1.2345, "-1.23"),
        (123.45, "123"),
        (12345.6, "12346"),
        (0.65, "0.650"),
        (1.0, "1.00"),
        (1.5e9, "1.5e+09"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert tables.format_number(value) == text


def test_cells():
    assert (tables.format_two_decimals(1.234), tables.format_two_decimals(123.4)) == (
        "1.23",
        "123",
    )
    assert tables.format_change(1.0, -0.5, "+") == "+1.00 → -0.50"
    assert tables.format_change(123.4, 1.0) == "123 → 1.00"
    assert tables.format_percent(0.5, 0.904) == "50 90"
    assert tables.dataset_title("test") == "in domain"
    assert tables.dataset_title("hot") == "shifted: hot"


@dataclass(frozen=True)
class Line:
    method: str
    quantity: str
    place: str
    value: float
    scored: bool = True
    unit: str = ""

    @property
    def shifted(self):
        return self.place == "hot"


def written(lines, one):
    def text(line):
        return f"{line.method} {line.place} {line.value:g}"

    names = "rmse", "sharp", "robust", "fit", "cost", "forces"
    columns = overview_columns(lines, **dict.fromkeys(names, text))
    return {column.header: column.cell(one) for column in columns}


def test_a_line_gathers_all_that_is_known_of_a_method():
    lines = [
        Line("a", "energy", "test", 1),
        Line("b", "energy", "test", 2),
        Line("a", "energy", "hot", 3),
        Line("a", "forces", "test", 4),
    ]
    assert written(lines, lines[0]) == {
        "method": "a",
        "accurate: RMSE, meV/atom": "a test 1",
        "eV/Å": "a test 4",
        "precise: σ, meV/atom": "a test 1",
        "z² in domain": "a test 1",
        "robust: hot": "a hot 3",
        "cheap: fit, s": "a test 1",
        "ms (× cheapest)": "a test 1",
        "σ of forces, ×": "a test 4",
    }
    other = written(lines, lines[1])
    assert other["robust: hot"] == other["eV/Å"] == MISSING
    assert other["z² in domain"] == "b test 2"


def test_forces_without_a_variance_have_no_cost():
    lines = [Line("a", "forces", "test", 4, scored=False)]
    assert written(lines, lines[0])["σ of forces, ×"] == MISSING
    assert written(lines, lines[0])["eV/Å"] == "a test 4"
