from types import SimpleNamespace

import pytest
from rich.console import Console

from bostruct.compare import sheet
from bostruct.compare.sheet import Column, Sheet


def line(method, quantity="energy", place="test", scored=True):
    return SimpleNamespace(
        method=method, quantity=quantity, place=place, unit="eV", scored=scored
    )


NAME = [Column("name", lambda one: one.method)]
BOTH = [*NAME, Column("set", lambda one: one.place)]


def test_a_line_for_each_method_and_two_tables_for_each_set():
    found = [
        line("a"),
        line("b"),
        line("a", place="hot"),
        line("b", "forces", scored=False),
    ]
    assert sheet.layout(found, BOTH, BOTH, NAME) == [
        Sheet("At a glance", ["name", "set"], [["a", "test"], ["b", "test"]]),
        Sheet(
            "Energy, in domain, eV: error bars",
            ["name", "set"],
            [["a", "test"], ["b", "test"]],
        ),
        Sheet("Energy, in domain, eV: intervals and scores", ["name"], [["a"], ["b"]]),
        Sheet("Energy, shifted: hot, eV: error bars", ["name", "set"], [["a", "hot"]]),
        Sheet("Energy, shifted: hot, eV: intervals and scores", ["name"], [["a"]]),
        Sheet("Forces, in domain, eV: error bars", ["name", "set"], [["b", "test"]]),
    ]
    assert sheet.layout([], BOTH, BOTH, NAME) == []


def test_both_ways_to_print_have_everything():
    made = Sheet("Title", ["one", "two"], [["1", "2"], ["3", "4"]])
    text = sheet.markdown([made], ["before"], ["after"])
    assert text == (
        "- before\n\n**Title**\n\n| one | two |\n|---|---:|\n| 1 | 2 |\n| 3 | 4 |\n"
        "\nafter\n"
    )
    console = Console(width=60)
    with console.capture() as captured:
        console.print(sheet.terminal([made], ["before"], ["after"]))
    printed = captured.get()
    assert printed.startswith("before\nTitle")
    assert printed.endswith("after\n")
    assert "│ 3   │   4 │" in printed


def test_no_digit_is_left_out_on_a_narrow_terminal():
    made = Sheet("T", ["one", "two"], [["name", "0.12345678"]])
    console = Console(width=17)
    with console.capture() as captured:
        console.print(sheet.terminal([made], [], []))
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
    assert sheet.number(value) == text


def test_cells():
    assert (sheet.two(1.234), sheet.two(123.4)) == ("1.23", "123")
    assert sheet.change(1.0, -0.5, "+") == "+1.00 → -0.50"
    assert sheet.change(123.4, 1.0) == "123 → 1.00"
    assert sheet.percent(0.5, 0.904) == "50 90"
    assert sheet.place_name("test") == "in domain"
    assert sheet.place_name("hot") == "shifted: hot"
