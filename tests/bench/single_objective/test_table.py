import io
from dataclasses import replace

from rich.console import Console

from bostruct.bench.single_objective.results import Results, RunDiagnosis
from bostruct.bench.single_objective.run import Run
from bostruct.bench.single_objective.table import summary_markdown, summary_table
from bostruct.cli import bench
from tests.bench.single_objective.test_results import TASKS, results, run


def printed(found):
    out = io.StringIO()
    Console(file=out, width=bench.CONSOLE_WIDTH).print(summary_table(found))
    return out.getvalue()


def line(text, *words):
    (found,) = [line for line in text.splitlines() if all(w in line for w in words)]
    return [cell.strip() for cell in found.strip("│").split("│")]


def test_figures():
    text = printed(results())
    expected = ["2 of 3", "0.21-0.94", "8", "9.6", "6.50", "2.00+5.00+0.50"]
    expected += ["0.50", "3.25", "25%"]
    assert line(text, "bostruct", "2 of 3") == ["a", "bostruct", *expected]
    assert line(text, "random", "1 of 1")[4:6] == ["70", "70"]


def test_a_failed_run_is_more_than_the_cap():
    assert line(printed(results()), "random", "0 of 1")[4:6] == [">100", ">100"]
    solved = Results(TASKS, [run(count=10)])
    assert line(printed(solved), "bostruct")[4:6] == ["10", "10"]


def test_says_what_is_missing_and_what_went_wrong():
    text = " ".join(printed(results()).split())
    assert "1 of 7 runs have not ended and do not count" in text
    broken = replace(run(), energies=(3.0,), reason="ValueError: singular [kernel]")
    text = " ".join(printed(Results(TASKS, [broken])).split())
    assert "a, bostruct, seed 0 ended early: ValueError: singular [kernel]" in text
    assert "have not ended" not in text


def test_predictions_one_step_ahead():
    text = printed(results())
    expected = ["bostruct", "4", "0%", "25%", "25%", "0%, 100%, 100%", "1.75", "8.79", "3.25", ""]
    assert line(text, "│ a ", "1.75") == ["a", *expected]
    assert line(text, "│ all ", "1.75") == ["all", *expected]
    assert "median z²" not in printed(Results(TASKS, [run()]))


def test_markdown():
    lines = summary_markdown(results()).splitlines()
    tables = [entry for entry in lines if entry.startswith("|")]
    assert "| a | bostruct | 2 of 3 | 0.21-0.94 | 8 | 9.6 |" in tables[2]
    assert "| a | bostruct | 4 | 0% | 25% | 25% |" in tables[-2]


def test_nothing_yet():
    text = printed(Results(TASKS, [Run("a", "bostruct", 0, 10, 1.0)]))
    assert line(text, "bostruct")[2:] == ["0 of 0", *[""] * 8]


def test_why_runs_failed():
    findings = (
        RunDiagnosis("a", "bostruct", 2, None, "search", 0.0456, 8, 6, -1.25),
        RunDiagnosis("a", "bostruct", 7, 90, "error", None, detail="ValueError: no"),
    )
    text = printed(replace(results(), diagnoses=findings))
    assert line(text, "search", "failed") == [
        *("a", "bostruct", "2", "failed", "46", "search", "6 of 8", "-1.2")
    ]
    assert line(text, "error", "90")[4:] == ["", "error", "", ""]
    assert "failures.csv" in text
    assert "failures.csv" not in printed(results())
