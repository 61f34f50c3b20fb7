from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest

from bostruct.campaign import stop
from bostruct.campaign.executors import Workers
from bostruct.campaign.loop import ended
from tests.campaign.standin import campaign


class Reversed(Executor):
    """Answers when asked for the last of a step, in reversed order."""

    def __init__(self, size):
        self.size, self.calls = size, []

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        self.calls.append((future, fn, args))
        if len(self.calls) == self.size:
            for each, function, given in reversed(self.calls):
                each.set_result(function(*given))
            self.calls = []
        return future


class Broken(Executor):
    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.set_exception(BrokenProcessPool("a process died"))
        return future


class Losing(Executor):
    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.set_exception(ConnectionError("node lost"))
        return future


def test_the_order_of_completion_changes_nothing(tmp_path):
    mine = campaign(n=12, initial=4, batch=4)
    whole = mine.run(tmp_path / "a").fingerprint()
    assert mine.run(tmp_path / "b", executor=Reversed(4)).fingerprint() == whole
    with ThreadPoolExecutor(4) as threads:
        assert mine.run(tmp_path / "c", executor=threads).fingerprint() == whole
        assert threads.submit(int).result() == 0, "it belongs to who made it"


def test_a_broken_executor_ends_the_run_and_loses_nothing(tmp_path):
    mine = campaign(n=5)
    with pytest.raises(BrokenProcessPool, match="a process died") as caught:
        mine.run(tmp_path / "run", executor=Broken())
    assert "the next run asks again" in caught.value.__notes__[0]
    assert {trial.state for trial in mine.log.trials()} == {"running"}
    whole = mine.run(tmp_path / "whole").fingerprint()
    assert mine.run(tmp_path / "run").fingerprint() == whole


def test_a_lost_call_is_a_failure(tmp_path):
    log = campaign(n=4).run(tmp_path / "run", executor=Losing())
    reason = "the executor lost the call: ConnectionError: node lost"
    assert [trial.reason for trial in log.trials()] == [reason] * 4


def test_no_more_is_asked_for_than_the_rule_allows(tmp_path):
    with ThreadPoolExecutor(8) as threads:
        log = campaign(batch=4).run(
            tmp_path / "run", executor=threads, stop=stop.Evaluations(6)
        )
    assert len(log.trials("done")) == 6
    assert len(log.trials("planned")) == 2


def test_ended_stops_workers():
    executor = Workers(1)
    with ended(executor):
        executor.submit(int).result(60)
    assert executor._pool is None
    with pytest.raises(ZeroDivisionError), ended(executor):
        _ = 1 / 0
