import io
from types import SimpleNamespace

from rich.console import Console

from bostruct.campaign.analysis.hypervolume_history import FrontState
from bostruct.campaign.progress import ProgressLine, progress_text
from bostruct.campaign.stop import Progress
from bostruct.evaluators import Evaluation, Failure, Function, current_context
from tests.campaign.standin import campaign, energy


def test_text():
    assert progress_text(Progress(), None) == "0 evaluations, 0 s"
    found = progress_text(Progress((1.0, None, 0.5), 12.3, n_failed=1), 97)
    assert found == "3 of 100 evaluations (1 failed), best 0.5000 eV at 3, 12 s"
    assert progress_text(Progress((None,), n_failed=1), 0) == "1 of 1 evaluations (1 failed), 0 s"


def test_text_with_goals():
    front = FrontState(1.23456, 7, 1)
    found = Progress((1.0, None), 3.0, front_history=lambda _: front, n_failed=1)
    assert progress_text(found, 8) == (
        "2 of 10 evaluations (1 failed), front 7, feasible 1, hypervolume 1.235, 3 s"
    )


def test_a_line_for_each_evaluation_where_there_is_no_terminal(tmp_path, capfd):
    def some(atoms):
        found = energy(atoms)
        if current_context().trial == 1:
            raise ValueError("no \x1b[31mconvergence\n in 40 steps")
        return found

    log = campaign(Function(some), n=4).run(tmp_path / "run")
    out, err = capfd.readouterr()
    assert out == ""
    energies = [trial.energy for trial in log.trials()]
    assert err.splitlines() == [
        f"evaluation 1, trial 0, {energies[0]:.6f} eV; best {energies[0]:.6f} eV",
        "evaluation 2, trial 1, failed: the evaluator raised ValueError: no \\x1b[31mconvergence "
        f"in 40 steps; best {energies[0]:.6f} eV",
        f"evaluation 3, trial 2, {energies[2]:.6f} eV; best {energies[2]:.6f} eV",
        f"evaluation 4, trial 3, {energies[3]:.6f} eV; best {energies[2]:.6f} eV",
    ]


def test_each_line_is_flushed(tmp_path):
    class Stream(io.StringIO):
        flushed = 0

        def flush(self):
            self.flushed = len(self.getvalue().splitlines())

    out = Stream()
    with ProgressLine(console=Console(file=out)) as line:
        line.update(Progress((None, 2.0), 3.0), None)
        trial = SimpleNamespace(number=7, retryable=False)
        line.add_result(trial, Failure("no disk", retryable=True), is_retried=True)
        assert out.flushed == 1
        line.add_result(trial, Evaluation(-1.0))
    assert out.getvalue().splitlines() == [
        "evaluation 3, trial 7, failed, evaluated again: no disk; best 2.000000 eV",
        "evaluation 4, trial 7, -1.000000 eV; best -1.000000 eV",
    ]


def test_results_of_a_campaign_with_objectives():
    out = io.StringIO()
    with ProgressLine(console=Console(file=out)) as line:
        line.update(Progress((1.0,), 3.0, front_history=lambda n: None), None)
        trial = SimpleNamespace(number=7, retryable=False)
        line.add_result(trial, Evaluation(-1.0, properties={"gap, eV": 1.5}))
    assert out.getvalue() == "evaluation 2, trial 7, -1.000000 eV, gap, eV 1.5\n"


def test_quiet_where_asked(tmp_path, capfd):
    campaign(n=3).run(tmp_path / "run", progress=False)
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


def test_a_doubted_result_is_told(tmp_path, capfd):
    results = []

    def stuck(atoms):
        results.append(results[1] if len(results) == 3 else energy(atoms))
        return results[-1]

    log = campaign(Function(stuck), n=4).run(tmp_path / "run")
    assert [trial.number for trial in log.trials() if trial.doubt] == [1, 3]
    line = capfd.readouterr().err.splitlines()[3]
    assert ", doubted: its energy and forces equal those of trial 1 to the last bit" in line


def test_a_doubted_energy_is_not_the_best():
    out = io.StringIO()
    with ProgressLine(console=Console(file=out)) as line:
        line.update(Progress((2.0,), 3.0), None)
        trial = SimpleNamespace(number=7, retryable=False)
        line.add_result(trial, Evaluation(-90.0), "its energy is far below all others")
    assert out.getvalue() == (
        "evaluation 2, trial 7, -90.000000 eV, doubted: its energy is far below all others; "
        "best 2.000000 eV\n"
    )
