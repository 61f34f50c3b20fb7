import re
from dataclasses import replace

import pytest
from rich.console import Console

from bostruct.bench.tables import data_frame
from bostruct.bench.uncertainty import score_tables
from bostruct.bench.uncertainty.comparison import compare
from bostruct.bench.uncertainty.score_rows import ScoreRow
from bostruct.bench.uncertainty.split_statistics import collect_split_statistics
from tests.bench.uncertainty.fakes import Fake, dimers


@pytest.fixture(scope="module")
def one_split():
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


def test_markdown_has_a_table_for_each_set_and_quantity(one_split):
    text = one_split.markdown()
    assert re.findall(r"^\*\*(.*)\*\*$", text, re.MULTILINE) == HEADS
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(blocks) == len(HEADS)
    for block in blocks:
        widths = {line.count("|") for line in block.splitlines()}
        assert len(widths) == 1
    assert "| shy | " in blocks[1]
    assert "shy" not in blocks[6]  # it has no variances of forces
    row = one_split.rows[0]
    assert f"| {score_tables.format_number(row.rmse)} |" in blocks[1]
    z2, low, high = (
        score_tables.format_two_decimals(value)
        for value in (row.scores.z2, row.scores.z2_low, row.scores.z2_high)
    )
    assert f"| {z2} ({low}-{high}) |" in blocks[1]
    assert f"| {row.verdict} |" in blocks[1]
    assert f"{row.scores.coverage_90 * 100:.0f}" in blocks[2]
    assert score_tables.LEGEND[0] in text


def test_the_terminal_shows_the_same(one_split):
    console = Console(width=200, record=True, file=None)
    with console.capture() as captured:
        console.print(one_split.table())
    text = captured.get()
    for head in HEADS:
        assert head in text
    assert "Structures: train 20" in text
    assert "calibrated" in text
    assert "one width" in text


@pytest.fixture(scope="module")
def three_splits():
    methods = {"right": Fake(), "shy": Fake(forces=False)}
    hot = {"hot": dimers(20, 1, 2.0)}
    return compare(dimers(150), methods, n_train=20, n_calibrate=60, n_splits=3, shifted=hot)


def test_markdown_has_means_and_ends(three_splits):
    text = three_splits.markdown()
    heads = re.findall(r"^\*\*(.*)\*\*$", text, re.MULTILINE)
    assert heads[0] == "At a glance"
    assert len(heads) == 9
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines()}) == 1
    one = next(s for s in three_splits.statistics if s.method == "right" and s.dataset == "test")
    z2 = [row.scores.z2 for row in one.rows]
    cell = f"{one['z2'].mean:.2f} ({min(z2):.2f}-{max(z2):.2f})"
    assert cell in blocks[0]
    assert cell in blocks[1]
    mark = " ✓" if one.verdict == "calibrated" else ""
    assert f"| {cell}{mark} {one.n_calibrated}/3 |" in blocks[0]
    assert f"| {one.verdict} {one.n_calibrated}/3 |" in blocks[1]
    caught = [100 * row.scores.conformal_coverage for row in one.rows]
    mean = sum(caught) / 3
    assert f"| {mean:.0f} ({min(caught):.0f}-{max(caught):.0f}) |" in blocks[2]
    assert f"| {one.n_in_band}/3 (" in blocks[2]
    assert "shy" not in blocks[6]  # it has no variances of forces
    assert score_tables.LEGEND[0] in text
    assert "3 splits, seeds 0 to 2." in text


def test_the_terminal_shows_the_same_of_several_splits(three_splits):
    console = Console(width=220)
    with console.capture() as captured:
        console.print(three_splits.table())
    text = captured.get()
    assert "At a glance" in text
    assert "in the band" in text
    assert "Means over the splits" in text


def test_what_is_missing_is_a_dash(three_splits):
    tables = score_tables.score_tables(three_splits.statistics)
    frame = tables["Forces, in domain, eV/Å: error bars"]
    (shy,) = frame[frame["method"] == "shy"].values.tolist()
    assert shy[1] != "–"
    assert set(shy[2:]) == {"–", ""}


def line(method, quantity="energy", dataset="test", number=1.0, scores=None):
    """Return a row whose RMSE, times and cost are one number."""
    numbers = {"rmse": number, "fit_seconds": number, "predict_ms": number, "cost": number}
    return ScoreRow(method, dataset, quantity, "eV", 0, verdict="", scores=scores, **numbers)


def tables_of(rows):
    return score_tables.score_tables(collect_split_statistics(rows))


def test_a_line_for_each_method_and_two_tables_for_each_set(one_split):
    scores = one_split.rows[0].scores
    rows = [
        line("a", scores=scores),
        line("b", scores=scores),
        line("a", dataset="hot", scores=scores),
        line("b", "forces"),
    ]
    tables = tables_of(rows)
    assert {title: frame["method"].tolist() for title, frame in tables.items()} == {
        "At a glance": ["a", "b"],
        "Energy, in domain, eV: error bars": ["a", "b"],
        "Energy, in domain, eV: intervals and scores": ["a", "b"],
        "Energy, shifted: hot, eV: error bars": ["a"],
        "Energy, shifted: hot, eV: intervals and scores": ["a"],
        "Forces, in domain, eV: error bars": ["b"],
    }
    assert tables_of([]) == {}


def test_both_ways_to_print_have_everything():
    tables = {"Title": data_frame([["1", "2"], ["3", "4"]], ["one", "two"])}
    text = score_tables.render_markdown(tables, ["before"], ["after"])
    assert text == (
        "- before\n\n**Title**\n\n| one | two |\n|---|---:|\n| 1 | 2 |\n| 3 | 4 |\n\nafter\n"
    )
    console = Console(width=60)
    with console.capture() as captured:
        console.print(score_tables.render_terminal(tables, ["before"], ["after"]))
    printed = captured.get()
    assert printed.startswith("before\nTitle")
    assert printed.endswith("after\n")
    assert "│ 3   │   4 │" in printed


@pytest.mark.parametrize(
    ("value", "text"),
    [
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
    assert score_tables.format_number(value) == text


def test_cells():
    assert (score_tables.format_two_decimals(1.234), score_tables.format_two_decimals(123.4)) == (
        "1.23",
        "123",
    )
    assert score_tables.format_change(1.0, -0.5, "+") == "+1.00 → -0.50"
    assert score_tables.format_change(123.4, 1.0) == "123 → 1.00"
    assert [score_tables.FORMATS["%"](share) for share in (0.5, 0.904)] == ["50", "90"]
    assert score_tables.dataset_title("test") == "in domain"
    assert score_tables.dataset_title("hot") == "shifted: hot"


def overview(rows, method):
    (row,) = [
        row for row in tables_of(rows)["At a glance"].to_dict("records") if row["method"] == method
    ]
    return row


def test_a_line_gathers_all_that_is_known_of_a_method(one_split):
    def scores(z2, sharpness):
        return replace(one_split.rows[0].scores, z2=z2, sharpness=sharpness)

    rows = [
        line("a", number=1, scores=scores(0.1, 11)),
        line("b", number=2, scores=scores(0.2, 12)),
        line("a", dataset="hot", number=3, scores=scores(0.3, 13)),
        line("a", "forces", number=4, scores=scores(0.4, 14)),
    ]
    assert overview(rows, "a") == {
        "method": "a",
        "accurate: RMSE, meV/atom": "1.00",
        "eV/Å": "4.00",
        "precise: σ, meV/atom": "11.0",
        "z² in domain": "0.10",
        "robust: hot": "0.30",
        "cheap: fit, s": "1.00",
        "ms (× cheapest)": "1.00 (1.00)",
        "σ of forces, ×": "4.00",
    }
    other = overview(rows, "b")
    assert other["robust: hot"] == other["eV/Å"] == score_tables.MISSING
    assert other["z² in domain"] == "0.20"
    marked = overview([line("a", scores=scores(0.9, 11))], "a")
    assert marked["z² in domain"] == "0.90 ✓"


def test_forces_without_a_variance_have_no_cost():
    row = overview([line("a", "forces", number=4)], "a")
    assert row["σ of forces, ×"] == score_tables.MISSING
    assert row["eV/Å"] == "4.00"
