import csv
from dataclasses import dataclass

import pytest
from rich.console import Console

from bostruct.bench.tables import (
    data_frame,
    dataclass_frame,
    markdown_table,
    result_console,
    terminal_table,
    write_csv,
)
from bostruct.errors import LogError


@dataclass
class Row:
    name: str
    count: int | None
    value: float


ROWS = [Row("a", 3, 0.1), Row("b", None, 1e-20), Row("c, d", 2, float("inf"))]


def printed(table, width=60):
    console = Console(width=width)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_csv_keeps_every_digit_and_leaves_unknown_cells_empty(tmp_path):
    write_csv(dataclass_frame(Row, ROWS), tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["a", "b", "c, d"]
    assert [row["count"] for row in rows] == ["3", "", "2"], "integers stay integers"
    assert [float(row["value"]) for row in rows] == [0.1, 1e-20, float("inf")]
    write_csv(dataclass_frame(Row, []), tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text() == "name,count,value\n"
    with pytest.raises(LogError, match="could not write"):
        write_csv(dataclass_frame(Row, ROWS), tmp_path / "none" / "a.csv")


def test_markdown():
    frame = data_frame([["1", "2"]], ["one", "two"])
    assert markdown_table(frame) == "| one | two |\n|---|---:|\n| 1 | 2 |"


def test_no_digit_is_left_out_on_a_narrow_terminal():
    text = printed(terminal_table(data_frame([["name", "0.12345678"]], ["one", "two"]), "T"), 17)
    assert "0.1234" in text
    assert "5678" in text
    assert "…" not in text


def test_groups_name_their_value_once_and_are_separated():
    rows = [["a", "1"], ["a", "2"], ["b", "3"]]
    text = printed(terminal_table(data_frame(rows, ["task", "n"]), group="task"))
    assert text.count("a ") == 1
    assert text.count("├") == 1 + 0, "one line between two groups"
    assert [line for line in text.splitlines() if "2" in line] == ["│      │ 2 │"]


def test_long_texts_are_wrapped():
    frame = data_frame([["lj7", "word " * 20]], ["task", "source"])
    text = printed(terminal_table(frame, left=("task", "source")), 40)
    assert text.count("word") == 20


def test_a_console_without_a_terminal_has_the_width_asked_for():
    assert result_console(123).width == 123
