import time
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from bostruct.campaign import RetryPolicy
from bostruct.campaign.session import Session
from bostruct.errors import InputError
from bostruct.evaluators import Failure, Function, current_context
from tests.campaign.replanned import assert_replanned
from tests.campaign.standin import campaign, energy


@pytest.mark.parametrize(
    ("failure", "count"),
    [
        (Failure("not converged"), 0),
        (Failure("no license", retryable=True), 1),
        (Failure("node down", cause="lost"), 3),
        (Failure("cancelled", retryable=True, cause="lost"), 3),
        (Failure("too long", cause="time limit"), 2),
    ],
)
def test_retries_by_cause(failure, count):
    assert RetryPolicy(retryable=1, lost=3, time_limit=2).n_retries(failure) == count


def test_delays_double_up_to_the_longest():
    policy = RetryPolicy(delay=2.0, max_delay=100.0)
    assert [policy.delay_before(n) for n in (1, 2, 3, 7, 10_000)] == [2.0, 4.0, 8.0, 100.0, 100.0]


@pytest.mark.parametrize("name", ["retryable", "lost", "time_limit"])
@pytest.mark.parametrize("value", [-1, 1.5, None, True])
def test_refuses_counts_that_are_none(name, value):
    with pytest.raises(InputError, match=f"`{name}` must be an integer of at least 0"):
        RetryPolicy(**{name: value})


@pytest.mark.parametrize("name", ["delay", "max_delay"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), "10", None, True])
def test_refuses_delays_that_are_none(name, value):
    with pytest.raises(InputError, match=f"`{name}` must be at least 0"):
        RetryPolicy(**{name: value})


def test_a_campaign_refuses_another_thing():
    with pytest.raises(InputError, match="`retries` must be an instance of RetryPolicy"):
        campaign(retries=3)


class Flaky(ThreadPoolExecutor):
    """Threads whose first calls of some trials are lost, or end at the time limit."""

    def __init__(self, errors):
        super().__init__(2)
        self.errors = {trial: list(of_trial) for trial, of_trial in errors.items()}

    def submit(self, fn, /, *args, **kwargs):
        left = self.errors.get(kwargs["context"].trial, [])
        if not left:
            return super().submit(fn, *args, **kwargs)
        return super().submit(_raise, left.pop(0))


def _raise(error):
    raise error


def fails_at_two(atoms):
    return Failure("not converged") if current_context().trial == 2 else energy(atoms)


@pytest.mark.parametrize("is_asynchronous", [False, True])
def test_what_was_lost_is_evaluated_again_and_what_did_not_converge_is_not(
    tmp_path, is_asynchronous
):
    lost, late = ConnectionError("node 7 is gone"), TimeoutError()
    executor = Flaky({1: [lost, lost], 3: [late], 5: [lost, lost, lost], 6: [CancelledError()]})
    policy = RetryPolicy(lost=2, time_limit=1, delay=0.03)
    made = campaign(
        *(Function(fails_at_two), 9),
        **{"batch_size": 2, "asynchronous": is_asynchronous, "retries": policy},
    )
    begin = time.monotonic()
    with executor:
        log = made.run(tmp_path / "run", executor=executor)
    assert time.monotonic() - begin >= 0.03 + 0.06
    trials = {trial.number: trial for trial in log.trial_records()}
    attempts = {number: trial.attempt for number, trial in trials.items() if trial.attempt > 1}
    assert attempts == {1: 3, 3: 2, 5: 3, 6: 2}
    assert {n for n, trial in trials.items() if trial.state == "failed"} == {2, 5}
    assert "node 7 is gone" in trials[5].reason
    assert {attempt.cause for attempt in log.attempts()} == {"retryable"}
    assert_replanned(made, tmp_path / "run")


def test_others_are_evaluated_while_a_retry_waits(tmp_path):
    executor = Flaky({0: [ConnectionError("node 7 is gone")]})
    policy = RetryPolicy(delay=2.0)  # s, longer than planning takes on a machine that is busy
    made = campaign(n=8, batch_size=2, asynchronous=True, retries=policy)
    begin = time.monotonic()
    with executor:
        log = made.run(tmp_path / "run", executor=executor)
    assert time.monotonic() - begin >= policy.delay
    order = log.query("SELECT number FROM bostruct_trial ORDER BY finished")
    assert [row["number"] for row in order].index(0) >= 2
    assert len(order) == 8


def test_a_delay_that_ends_while_the_run_looks_for_trials_does_not_end_the_run(
    tmp_path, monkeypatch
):
    ready_trials = Session.ready_trials

    def slowly(session):
        found = ready_trials(session)
        time.sleep(0.05)
        return found

    monkeypatch.setattr(Session, "ready_trials", slowly)
    made = campaign(n=1, n_initial=1, retries=RetryPolicy(delay=0.03))
    with Flaky({0: [ConnectionError("node 7 is gone")]}) as executor:
        log = made.run(tmp_path / "run", executor=executor)
    assert [trial.state for trial in log.trial_records()] == ["done"]


def test_a_run_that_is_over_waits_for_no_retry(tmp_path):
    executor = Flaky({7: [ConnectionError("node 7 is gone")]})
    made = campaign(n=7, batch_size=2, asynchronous=True, retries=RetryPolicy(delay=60.0))
    begin = time.monotonic()
    with executor:
        made.run(tmp_path / "run", executor=executor)
    assert time.monotonic() - begin < 50


def test_by_default_a_campaign_in_steps_repeats_nothing_that_was_lost(tmp_path):
    lost = ConnectionError("node 7 is gone")
    with Flaky({1: [lost]}) as executor:
        log = campaign(n=4).run(tmp_path / "run", executor=executor)
    assert [trial.state for trial in log.trial_records()][1] == "failed"
