import re

import pytest
from rich.console import Console

from bostruct.bench.uncertainty import multiple_split_tables
from bostruct.bench.uncertainty.comparison import compare
from tests.bench.uncertainty.fakes import Fake, dimers


@pytest.fixture(scope="module")
def found():
    methods = {"right": Fake(), "shy": Fake(forces=False)}
    hot = {"hot": dimers(20, 1, 2.0)}
    return compare(dimers(150), methods, n_train=20, n_calibrate=60, n_splits=3, shifted=hot)


def test_markdown_has_means_and_ends(found):
    text = found.markdown()
    heads = re.findall(r"^\*\*(.*)\*\*$", text, re.MULTILINE)
    assert heads[0] == "At a glance"
    assert len(heads) == 9
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines()}) == 1
    one = next(s for s in found.statistics if s.method == "right" and s.place == "test")
    z2 = [row.scores.z2 for row in one.rows]
    cell = f"{one['z2'].mean:.2f} ({min(z2):.2f}-{max(z2):.2f})"
    assert cell in blocks[0]
    assert cell in blocks[1]
    mark = " ✓" if one.verdict == "honest" else ""
    assert f"| {cell}{mark} {one.n_calibrated}/3 |" in blocks[0]
    assert f"| {one.verdict} {one.n_calibrated}/3 |" in blocks[1]
    caught = [100 * row.scores.conformal_coverage for row in one.rows]
    mean = sum(caught) / 3
    assert f"| {mean:.0f} ({min(caught):.0f}-{max(caught):.0f}) |" in blocks[2]
    assert f"| {one.n_in_band}/3 (" in blocks[2]
    assert "shy" not in blocks[6]  # it has no variances of forces
    assert multiple_split_tables.STATISTICS_COLUMNS_LEGEND in text
    assert "3 splits, seeds 0 to 2." in text


def test_the_terminal_shows_the_same(found):
    console = Console(width=220)
    with console.capture() as captured:
        console.print(found.table())
    text = captured.get()
    assert "At a glance" in text
    assert "in the band" in text
    assert "Means over the splits" in text


def test_what_is_missing_is_a_dash(found):
    by_title = {
        sheet.title: sheet for sheet in multiple_split_tables.statistics_tables(found.statistics)
    }
    (shy,) = [
        line for line in by_title["Forces, in domain, eV/Å: error bars"].cells if line[0] == "shy"
    ]
    assert shy[1] != "–"
    assert set(shy[2:]) == {"–", ""}
