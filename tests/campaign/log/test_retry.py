import sqlite3

import pytest

from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.retry import failed_trials, retry_trials
from bostruct.campaign.log.verify import verify_log
from bostruct.campaign.log.writer import LogWriter
from bostruct.campaign.report.summary import summarize
from bostruct.errors import InputError, LockedError, LogError
from bostruct.evaluators import Failure, Function, current_context
from tests.campaign.standin import GP, Box, campaign, energy, start


class Broken:
    """Fails for some trials until it is repaired."""

    def __init__(self, failing):
        self.failing = failing

    def __call__(self, atoms):
        if current_context().trial in self.failing:
            raise RuntimeError(f"no licence for {current_context().attempt}")
        return energy(atoms)


@pytest.fixture
def broken():
    evaluator = Broken({1, 3, 5})
    evaluator.__qualname__ = "Broken"
    return evaluator


@pytest.fixture
def mine(broken):
    return campaign(Function(broken), n=8)


@pytest.fixture
def run(tmp_path, mine):
    return mine.run(tmp_path / "run").folder


def test_all_that_failed_are_evaluated_again(run, mine, broken):
    assert retry_trials(run) == [1, 3, 5]
    log = Log(run)
    assert [trial.number for trial in log.trial_records("planned")] == [1, 3, 5]
    last = log.sessions()[-1]
    assert (last["status"], last["reason"]) == ("paused", "3 failed trials were planned again")
    broken.failing.clear()
    log = mine.run(run)
    assert len(log.trials("done")) == 8
    assert [trial.attempt for trial in log.trials()] == [1, 2, 1, 2, 1, 2, 1, 1]
    assert [(each.trial, each.attempt, each.state, each.cause) for each in log.attempts()] == [
        (number, 1, "failed", "asked by the user") for number in (1, 3, 5)
    ]
    reason = "the evaluator raised RuntimeError: no licence for 1"
    assert [each.reason for each in log.attempts()] == [reason] * 3
    seconds = [each.seconds for each in log.attempts()]
    assert all(value > 0 for value in seconds)
    seconds += [trial.seconds for trial in log.trials()]
    assert summarize(log).seconds["evaluate"] == pytest.approx(sum(seconds)), "all attempts"
    assert verify_log(log).is_valid


def test_some_of_them_again_and_again(run, mine):
    for attempt in (2, 3):
        assert retry_trials(run, [5, 3, 3]) == [3, 5]
        log = mine.run(run)
        assert [trial.attempt for trial in log.trials("failed")] == [1, attempt, attempt]
    assert [(each.trial, each.attempt) for each in log.attempts()] == [
        (3, 1),
        (3, 2),
        (5, 1),
        (5, 2),
    ]
    assert "no licence for 2" in log.attempts()[1].reason
    assert "no licence for 3" in log.trials("failed")[1].reason


def test_in_python(run, mine, broken):
    broken.failing.clear()
    with mine.open(run):
        (trial,) = mine.retry([mine.log.trials()[3]])
        assert (trial.number, trial.state, trial.attempt) == (3, "planned", 2)
        assert [each.number for each in mine.retry([1])] == [1]
        assert [each.number for each in mine.ask(8)] == [1, 3]
        assert [each.number for each in mine.retry()] == [5]


def test_a_trial_of_this_session_is_asked_again(tmp_path, mine):
    with mine.open(tmp_path / "run"):
        (trial,) = mine.ask(1)
        mine.tell(trial, Failure("no"))
        mine.retry([trial.key])
        assert mine.ask(1)[0].number == trial.number


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([0], "`trial` must have failed, got 0, done. `bostruct show` prints the last failures"),
        ([1, 99], "`trial` must have failed, got 99, none of the 8 trials of the log"),
        ([-1], "`trial` must have failed, got -1, none of"),
    ],
)
def test_refused(run, numbers, message):
    before = Log(run).fingerprint(), len(Log(run).sessions())
    with pytest.raises(InputError, match=message):
        retry_trials(run, numbers)
    assert (Log(run).fingerprint(), len(Log(run).sessions())) == before


def test_nothing_is_left_to_evaluate_again(tmp_path):
    folder = campaign(n=4).run(tmp_path / "run").folder
    with pytest.raises(InputError, match=r"`folder` must hold failed trials, got .*run, where"):
        retry_trials(folder)


def test_given_energies_are_never_evaluated(tmp_path):
    images = start(1.0, 2.0, 1e99)
    folder = campaign(n=1, initial_structures=images, n_initial=1).run(tmp_path / "run").folder
    (refused,) = Log(folder).trial_records("failed")
    with pytest.raises(InputError, match=f"got {refused.number}, given with its energy"):
        retry_trials(folder, [refused.number])


def test_a_structure_with_an_energy_by_another_trial_is_not_evaluated_again(run):
    connection = sqlite3.connect(run / "campaign.db", isolation_level=None)
    (x,) = connection.execute("SELECT x FROM bostruct_trial WHERE number = 0").fetchone()
    connection.execute("UPDATE bostruct_trial SET x = ? WHERE number = 3", (x,))
    connection.close()
    log = Log(run, Box(), GP())
    assert [trial.number for trial in failed_trials(log)] == [1, 5]
    assert [trial.number for trial in failed_trials(log, [3])] == [3], "if it is asked for"


def test_while_a_campaign_writes(run, mine):
    with mine.open(run), pytest.raises(LockedError, match="is being written by"):
        retry_trials(run)


def test_what_fails_is_recorded_and_the_folder_let_go(run, monkeypatch):
    def full(self, trials, cause):
        raise LogError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(LogWriter, "mark_asked_again", full)
        with pytest.raises(LogError, match="the disk is full"):
            retry_trials(run)
    assert Log(run).sessions()[-1]["status"] == "failed"
    assert retry_trials(run) == [1, 3, 5]


def test_an_attempt_that_was_changed_is_noticed(run, mine):
    retry_trials(run, [3])
    log = mine.run(run)
    assert verify_log(log).is_valid
    connection = sqlite3.connect(run / "campaign.db", isolation_level=None)
    connection.execute("UPDATE bostruct_attempt SET reason = 'none'")
    connection.close()
    problems = verify_log(log).problems
    assert problems == ("trial 3: its attempt 1 is not what was written: its checksum differs",)
