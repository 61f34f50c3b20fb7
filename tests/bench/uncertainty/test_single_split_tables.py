import re

import pytest
from rich.console import Console

from bostruct.bench.uncertainty import single_split_tables, tables
from bostruct.bench.uncertainty.comparison import compare
from tests.bench.uncertainty.fakes import Fake, dimers


@pytest.fixture(scope="module")
def found():
    methods = {"right": Fake(), "shy": Fake(forces=False)}
    hot = dimers(40, 1, 2.0)
    return compare(dimers(250), methods, n_train=20, n_calibrate=60, shifted={"hot": hot})


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
    assert f"| {tables.format_number(row.rmse)} |" in blocks[1]
    assert f"{row.scores.coverage_90 * 100:.0f}" in blocks[2]
    assert single_split_tables.SPLIT_COLUMNS_LEGEND in text


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
