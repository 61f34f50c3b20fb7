import json
import math

from bostruct.campaign import Check
from bostruct.campaign.show import ending, show
from bostruct.campaign.stop import WallTime
from bostruct.campaign.summary import summary
from bostruct.evaluators import Function
from tests.campaign.standin import campaign


def test_ending_says_what_was_found_and_where(log, folder):
    text = ending(summary(log))
    energy = min(trial.energy for trial in log.trials())
    assert f"Best energy {energy:.6f} eV, evaluation " in text
    assert "of 8 (0 failed)" in text
    assert "Ended by 8 evaluations." in text
    assert f"Results are in {folder}\n" in text


def test_show(log):
    text = show(summary(log))
    assert "status       finished, 8 evaluations" in text
    assert "mean z²" in text
    assert " ± " in text
    assert len(text.splitlines()) == 18


def test_with_nothing_to_show(tmp_path):
    log = campaign(stop=WallTime(1e-9)).run(tmp_path / "run")
    assert "best         none yet" in show(summary(log))
    assert "no prediction was tested yet" in show(summary(log))
    assert ending(summary(log)).startswith("No energy in 0 evaluations.")


def test_failures_show_their_reason(tmp_path):
    log = campaign(Function(lambda atoms: math.nan), n=2).run(tmp_path / "run")
    text = show(summary(log))
    assert "failed" in text
    assert "the energy is not finite: nan eV" in text


def test_a_network_file_system_is_said(log):
    found = {**summary(log), "journal": "DELETE, EXCLUSIVE: nfs4 is a network"}
    assert "Journal DELETE, EXCLUSIVE: nfs4 is a network." in ending(found)


def test_a_check_shows_what_it_found(tmp_path):
    mine = campaign(n=12, check=Check(tolerance=1e-6, steps=3))
    log = mine.run(tmp_path / "run", stop=WallTime(1e-9))
    assert "check        not begun" in show(summary(log))
    log = mine.run(tmp_path / "run")
    (checked,) = log.checked()
    (line,) = [x for x in show(summary(log)).splitlines() if x.startswith("check ")]
    assert f"trial {checked.trial}, {checked.energy:.6f} -> " in line
    assert f"{checked.relaxed_energy:.6f} eV at trial {checked.relaxed}" in line
    assert f"{checked.evaluations} evaluations, largest force " in line
    assert line.endswith(f"eV/Å (tolerance 1e-06), {checked.state}")
    assert f"Check: trial {checked.trial}, " in ending(summary(log))
    found = json.loads(json.dumps(summary(log), allow_nan=False))["check"]
    assert (found["tolerance"], found["converged"]) == (1e-6, 0)
    assert found["structures"][0]["trial"] == checked.trial
    assert summary(campaign(n=1).run(tmp_path / "none"))["check"] is None
