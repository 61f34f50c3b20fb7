import io

from rich.console import Console

from bostruct.campaign.analysis.hypervolume_history import FrontState
from bostruct.campaign.progress import ProgressLine, progress_text
from bostruct.campaign.stop import Progress
from tests.campaign.standin import campaign


def test_text():
    assert progress_text(Progress(), None) == "0 evaluations, 0 s"
    found = progress_text(Progress((1.0, None, 0.5), 12.3), 97)
    assert found == "3 of 100 evaluations (1 failed), best 0.5000 eV at 3, 12 s"
    assert progress_text(Progress((None,)), 0) == "1 of 1 evaluations (1 failed), 0 s"


def test_text_with_goals():
    found = Progress((1.0, None), 3.0, front_history=lambda n: FrontState(1.23456, 7, n - 1))
    assert progress_text(found, 8) == (
        "2 of 10 evaluations (1 failed), front 7, feasible 1, hypervolume 1.235, 3 s"
    )


def test_quiet_where_there_is_no_terminal(tmp_path, capfd):
    campaign(n=3).run(tmp_path / "run")
    assert capfd.readouterr() == ("", "")


def test_a_line_on_a_terminal():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    with ProgressLine(console=console) as line:
        line.update(Progress((1.0,), 2.0), 9)
        console.print("")
    assert out.getvalue()
    out = io.StringIO()
    with ProgressLine(False, Console(file=out, force_terminal=True)) as line:
        line.update(Progress((1.0,), 2.0), 9)
    assert out.getvalue() == ""


def test_asked_for_without_a_terminal(tmp_path, capfd):
    campaign(n=3).run(tmp_path / "run", progress=True)
    assert capfd.readouterr().out == ""
