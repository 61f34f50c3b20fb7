import sqlite3

import pytest

from bostruct.campaign.log.pending_table import read_pending
from bostruct.campaign.log.run_folder import database_path
from bostruct.campaign.log.verify import verify_log
from bostruct.errors import LogError
from tests.campaign.standin import campaign


@pytest.fixture
def log(tmp_path):
    return campaign(n=7, batch_size=3, asynchronous=True).run(tmp_path / "run")


def change(log, sql):
    with sqlite3.connect(database_path(log.folder)) as connection:
        connection.execute(sql)
    connection.close()


def test_a_log_says_what_was_pending(log):
    pending = read_pending(log.query)
    assert pending == {s.number: s.pending_trials.text for s in log.steps() if s.pending_trials}
    assert read_pending(log.query, 2) == {2: pending[2]}
    assert log.read_step(2).pending_trials == [3, 4]
    known = {trial.number for trial in log.trial_records() if trial.step < 2}
    assert known == {*log.steps()[2].pending_trials, *log.steps()[2].training_trials}


def test_a_synchronous_log_has_no_such_table(tmp_path):
    log = campaign(n=6, batch_size=2).run(tmp_path / "run")
    assert read_pending(log.query) == {}
    assert not log.query("SELECT name FROM sqlite_master WHERE name = 'bostruct_pending'")
    assert all(step.pending_trials == [] for step in log.steps())


def test_what_was_pending_is_part_of_the_chain_and_of_the_fingerprint(log):
    before = log.fingerprint()
    change(log, "UPDATE bostruct_pending SET trials = '[0]' WHERE step = 2")
    assert log.fingerprint() != before
    (problem,) = verify_log(log).problems
    assert (
        problem
        == "the list of pending trials of step 2 is not what was written: its checksum differs"
    )


def test_pending_trials_that_the_log_does_not_have_are_refused(log):
    change(log, "UPDATE bostruct_pending SET trials = '[[0,99]]' WHERE step = 2")
    with pytest.raises(LogError, match="planned from trials that the log does not have"):
        log.steps()
