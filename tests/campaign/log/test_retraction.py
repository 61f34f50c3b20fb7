import shutil
import sqlite3

import pytest

from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.retraction import find_result, retract_trial
from bostruct.campaign.log.writer import LogWriter
from bostruct.errors import InputError, LockedError, LogError
from tests.campaign import alloys
from tests.campaign.standin import campaign


def test_a_trial_is_retracted_without_its_campaign(screened):
    best = screened.pareto_front().points[0].trial
    retract_trial(screened.folder, best, "the cell was wrong")
    trial = screened.trial_records()[best]
    assert (trial.state, trial.reason) == ("retracted", "the cell was wrong")
    assert trial.energy is None
    assert best not in {point.trial for point in screened.pareto_front().points}
    assert screened.trials_before_retraction()[best].energy is not None, "the log keeps the numbers"
    last = screened.sessions()[-1]
    assert (last["status"], last["reason"]) == (
        "paused",
        f"trial {best} was retracted",
    )


def test_the_campaign_goes_on_and_learns_without_it(screened):
    retract_trial(screened.folder, 6, "no")
    run = alloys.campaign()
    with run.open(screened.folder):
        (trial,) = run.ask()
        X = [each.X for each in run.log.trial_records()[:-1]]
        assert not any(bool(run.components.space.is_duplicate(trial.X, x)) for x in X)
        assert 6 not in run.log.steps()[-1].training_trials


def test_an_energy_can_be_retracted(folder):
    best = min(Log(folder).trial_records(), key=lambda trial: trial.energy)
    retract_trial(folder, best.number, "not converged")
    assert Log(folder).trial_records()[best.number].energy is None


@pytest.mark.parametrize(
    ("number", "reason", "message"),
    [
        (2, "x", "trial` must have a result, got 2, failed"),
        (15, "x", "trial` must be 0 to 14, one of the log, got 15"),
        (-1, "x", "trial` must be 0 to 14"),
        (4, "  ", "reason` must be a sentence"),
    ],
)
def test_refused(screened, number, reason, message):
    before = screened.fingerprint(), len(screened.sessions())
    with pytest.raises(InputError, match=message):
        retract_trial(screened.folder, number, reason)
    assert (screened.fingerprint(), len(screened.sessions())) == before


def test_twice_is_refused(screened):
    retract_trial(screened.folder, 4, "no")
    with pytest.raises(InputError, match="got 4, retracted"):
        retract_trial(screened.folder, 4, "no")
    with pytest.raises(InputError, match="got 4, retracted"):
        find_result(screened, 4, "no")


def test_while_a_campaign_writes(screened):
    with (
        alloys.campaign().open(screened.folder),
        pytest.raises(LockedError, match="is being written by"),
    ):
        retract_trial(screened.folder, 4, "no")


def test_what_fails_is_recorded_and_the_folder_let_go(screened, monkeypatch):
    def broken(self, number, reason):
        raise LogError("the disk is full")

    monkeypatch.setattr(LogWriter, "mark_retracted", broken)
    with pytest.raises(LogError, match="the disk is full"):
        retract_trial(screened.folder, 4, "no")
    assert screened.sessions()[-1]["status"] == "failed"
    monkeypatch.undo()
    retract_trial(screened.folder, 4, "no")


def test_a_folder_that_holds_no_campaign(tmp_path):
    with pytest.raises(LogError, match="holds no campaign"):
        retract_trial(tmp_path / "none", 0, "no")
    assert not (tmp_path / "none").exists()


def test_a_folder_of_an_older_version(folder, tmp_path):
    old = shutil.copytree(folder, tmp_path / "old")
    connection = sqlite3.connect(old / "campaign.db", isolation_level=None)
    connection.execute("UPDATE bostruct_campaign SET format = 3")
    connection.close()
    with pytest.raises(LogError, match="is read and not written"):
        retract_trial(old, 4, "no")
    assert campaign(n=8).read(old).trial_records()[4].state == "done"
