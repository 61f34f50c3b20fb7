import re

import pytest
from rich.console import Console

from bostruct.compare import table
from bostruct.compare.comparison import compare
from tests.compare.fakes import Fake, dimers


@pytest.fixture(scope="module")
def found():
    methods = {"right": Fake(), "shy": Fake(forces=False)}
    hot = dimers(40, 1, 2.0)
    return compare(dimers(250), methods, train=20, calibrate=60, shifted={"hot": hot})


HEADS = [
    "At a glance",
    "Energy, in domain, meV/atom: error bars",
    "Energy, in domain, meV/atom: intervals and scores",
    "Energy, shifted: hot, meV/atom: error bars",
    "Energy, shifted: hot, meV/atom: intervals and scores",
    "Forces, in domain, eV/Å: error bars",
    "Forces, in domain, eV/Å: intervals and scores",
    "Forces, shifted: hot, eV/Å: error bars",
    "Forces, shifted: hot, eV/Å: intervals and scores",
]


def test_markdown_has_a_table_for_each_set_and_quantity(found):
    text = found.markdown()
    assert re.findall(r"^\*\*(.*)\*\*$", text, re.MULTILINE) == HEADS
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(blocks) == len(HEADS)
    for block in blocks:
        widths = {line.count("|") for line in block.splitlines()}
        assert len(widths) == 1
    assert "| shy | " in blocks[1]
    assert "shy" not in blocks[6]  # it has no variances of forces
    row = found.rows[0]
    assert f"| {table.number(row.rmse)} |" in blocks[1]
    assert f"{row.scores.inside90 * 100:.0f}" in blocks[2]
    assert table.MEANING in text


def test_the_terminal_shows_the_same(found):
    console = Console(width=200, record=True, file=None)
    with console.capture() as captured:
        console.print(found.table())
    text = captured.get()
    for head in HEADS:
        assert head in text
    assert "Structures: train 20" in text
    assert "honest" in text
    assert "one width" in text


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
    assert table.number(value) == text


def test_nothing_is_no_table():
    assert table.markdown([], ["alone"]).startswith("- alone\n")
