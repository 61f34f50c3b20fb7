"""Evaluations on executors that lose, cancel and break."""

import functools
import os
import re
from concurrent.futures import (
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import psutil
import pytest

from bostruct.campaign import stop
from bostruct.campaign.log.verify import verify_log
from bostruct.campaign.report.summary import summarize
from bostruct.campaign.running_evaluations import ProcessDeath, RunningEvaluations
from bostruct.errors import EvaluationError, ExecutorError
from bostruct.evaluators import EvaluationContext, Failure, Function, current_context
from bostruct.runtime.executors import InProcess, Workers
from tests.campaign import processes
from tests.campaign.faults import FAULTS, PROGRAM, fault_of, faulty_energy, lose_connection
from tests.campaign.standin import campaign, energy


class Answering(Executor):
    """Answers calls with given errors, one after the other, and then with results."""

    def __init__(self, *errors):
        self.errors = list(errors)

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        error = self.errors.pop(0) if self.errors else None
        if isinstance(error, CancelledError):
            future.cancel()
            future.set_running_or_notify_cancel()
        elif error is None:
            future.set_result(fn(*args, **kwargs))
        else:
            future.set_exception(error)
        return future


def pool(workers=2):
    return ProcessPoolExecutor(workers, processes.context())


class Deadly:
    """Kills its process for some trials; a file counts the calls."""

    def __init__(self, folder, deadly, how=os._exit):
        self.folder, self.deadly, self.how = folder, deadly, how

    def __call__(self, atoms):
        trial = current_context().trial
        with Path(self.folder, f"calls-{trial}").open("a") as file:
            file.write("x")
        if trial in self.deadly:
            self.how(0)
        return energy(atoms)

    def calls(self, trial):
        return Path(self.folder, f"calls-{trial}").stat().st_size


def deadly_campaign(folder, deadly, **arguments):
    evaluator = Deadly(folder, deadly)
    evaluator.__name__ = evaluator.__qualname__ = "Deadly"
    evaluator.__module__ = __name__
    return evaluator, campaign(Function(evaluator), **arguments)


def test_a_pool_that_breaks_does_not_end_the_campaign(tmp_path):
    evaluator, mine = deadly_campaign(tmp_path, {1, 6}, n=8, batch_size=4)
    with pool() as executor:
        log = mine.run(tmp_path / "run", executor=executor)
    failed = log.trials("failed")
    assert [trial.number for trial in failed] == [1, 6]
    assert [trial.reason for trial in failed] == ["the process of the evaluator died"] * 2
    assert len(log.trials("done")) == 6
    assert evaluator.calls(1) <= 2
    assert {each.state for each in log.attempts()} <= {"died"}  # of those that ran beside them
    assert verify_log(log).is_valid
    assert summarize(log).status == "finished"


@pytest.mark.slow
def test_an_evaluation_that_was_alone_when_its_process_died_has_failed(tmp_path):
    _, mine = deadly_campaign(tmp_path, {2}, n=4)
    with pool(1) as executor:
        executor.submit(int).result()
        log = mine.run(tmp_path / "run", executor=executor)
    assert [trial.number for trial in log.trials("failed")] == [2]
    assert len(log.trials("done")) == 3


@pytest.mark.slow
def test_a_pool_that_always_breaks_ends_the_campaign_in_order(tmp_path):
    _, mine = deadly_campaign(tmp_path, range(100), n=20, batch_size=2)
    with pool() as executor, pytest.raises(EvaluationError, match="3 failures in a row"):
        mine.run(
            tmp_path / "run",
            executor=executor,
            stop=stop.Evaluations(20) | stop.ConsecutiveFailures(3),
        )
    assert summarize(mine.log).status == "failed"
    assert verify_log(mine.log).is_valid


@pytest.mark.parametrize(
    "error", [CancelledError(), KeyboardInterrupt("of the node")], ids=["cancelled", "interrupt"]
)
def test_a_call_that_did_not_fail_by_itself_is_made_again(tmp_path, error):
    mine = campaign(n=4)
    whole = mine.run(tmp_path / "whole")
    log = mine.run(tmp_path / "run", executor=Answering(error))
    assert log.fingerprint() == whole.fingerprint()
    (attempt,) = log.attempts()
    assert (attempt.trial, attempt.attempt, attempt.state) == (0, 1, "failed")
    assert attempt.cause == "retryable"
    log = mine.run(
        tmp_path / "again", executor=Answering(*[error] * 8, None), stop=stop.Evaluations(5)
    )
    assert len(log.trials("failed")) == 4
    assert len(log.trials("done")) == 1


def test_an_executor_that_is_shut_down_is_said(tmp_path):
    mine = campaign(n=4)
    threads = ThreadPoolExecutor(1)
    threads.shutdown()
    with pytest.raises(ExecutorError, match="takes no evaluation: RuntimeError: cannot"):
        mine.run(tmp_path / "run", executor=threads)
    assert summarize(mine.log).status == "paused"
    whole = mine.run(tmp_path / "whole").fingerprint()
    assert mine.run(tmp_path / "run").fingerprint() == whole


@pytest.mark.slow
def test_a_pool_that_broke_without_work_is_replaced(tmp_path):
    with pool() as executor:
        assert isinstance(executor.submit(os._exit, 0).exception(60), BrokenProcessPool)
        log = campaign(n=4).run(tmp_path / "run", executor=executor)
    assert len(log.trials("done")) == 4
    assert log.attempts() == []


class Queue(Executor):
    """Fails the first calls, and keeps the others waiting."""

    def __init__(self, n_failing):
        self.n_failing = n_failing

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        self.n_failing -= 1
        if self.n_failing >= 0:
            future.set_result(Failure("no licence"))
        return future


def test_calls_that_wait_are_not_made_after_failures_in_a_row(tmp_path):
    """Of 40 structures that were submitted together."""
    mine = campaign(n=40, n_initial=40)
    with pytest.raises(EvaluationError, match=r"10 failures in a row\. The last ones: trial 9"):
        mine.run(tmp_path / "run", executor=Queue(10))
    states = [trial.state for trial in mine.log.trials()]
    assert states == ["failed"] * 10 + ["planned"] * 30
    assert {trial.attempt for trial in mine.log.trials("planned")} == {1}
    log = mine.run(tmp_path / "run")
    assert len(log.trials("done")) == 40
    assert [each.trial for each in log.attempts()] == list(range(10)), "asked again by itself"


def trials(tmp_path, n=5):
    mine = campaign(n_initial=n)
    with mine.open(tmp_path / "run"):
        return mine.ask(n)


def test_who_may_have_killed_a_process_is_evaluated_alone(tmp_path):
    queue = trials(tmp_path)
    with RunningEvaluations(Answering(), Function(energy), "none") as running:
        assert [t.number for t in running.admitted(queue, 4, {2, 3})] == [2]
        running.submit(queue[2], EvaluationContext(2, 1, tmp_path / "2"))
        assert running.admitted(queue, 4, {2, 3}) == []
        assert len(running.wait()) == 1
        running.submit(queue[0], EvaluationContext(0, 1, tmp_path / "0"))
        assert [t.number for t in running.admitted(queue[1:], 2, {2, 3})] == [1, 4]
        assert running.admitted(queue[1:], 0, set()) == []
        running.wait()
    with RunningEvaluations(Workers(), Function(energy), "none") as running:
        assert [t.number for t in running.admitted(queue, 4, {2, 3})] == [0, 1, 2, 3]
    with RunningEvaluations(InProcess(), Function(energy), "none") as running:
        assert [t.number for t in running.admitted(queue, 4, set())] == [0]
        assert running.admitted(queue, -1, set()) == []


def test_several_lost_calls_cannot_be_blamed(tmp_path):
    queue = trials(tmp_path, 2)
    with RunningEvaluations(pool(), Function(energy), "none") as running:
        broken = Answering(*[BrokenProcessPool("dead")] * 2)
        given, running.executor = running.executor, broken
        for trial in queue:
            running.submit(trial, EvaluationContext(trial.number, 1, tmp_path / "x"))
        running.executor = given
        found = running.wait()
        assert [type(result) for _, result in found] == [ProcessDeath] * 2
        assert running.executor is not given


def write_and_die(atoms):
    (current_context().folder / "code.out").write_text("STOP: basis set\n")
    os._exit(0)


def test_the_output_of_a_program_that_took_its_worker_along(tmp_path):
    mine = campaign(Function(write_and_die), n=1, n_initial=1)
    log = mine.run(tmp_path / "run", executor=Workers())
    (trial,) = log.trials("failed")
    assert re.search(r"exit code 0; .*code\.out ends with: STOP: basis set", trial.reason)
    assert (tmp_path / "run" / "evaluations" / "000000" / "code.out").exists()


def test_an_evaluator_that_cannot_travel_is_said(tmp_path):
    class Stuck(Function):
        pass

    evaluator = Stuck(energy)
    object.__setattr__(evaluator, "generator", (i for i in range(3)))
    mine = campaign(evaluator, n=4)
    with pytest.raises(ExecutorError, match="takes no evaluation: TypeError: cannot pickle"):
        mine.run(tmp_path / "run", executor=Workers())


@pytest.mark.parametrize(
    ("n", "period", "batch_size", "n_workers"),
    [(24, 3, 8, 2), pytest.param(1000, 10, 40, 4, marks=pytest.mark.slow)],
)
def test_all_kinds_of_faults(tmp_path, n, period, batch_size, n_workers):
    """The campaign ends, every trial is accounted for, and nothing false is recorded."""
    function = functools.partial(faulty_energy, period)
    function.__qualname__ = function.__name__ = "faulty_energy"
    mine = campaign(Function(function), n=n, n_initial=batch_size, batch_size=batch_size)
    executor = Workers(n_workers, time_limit=5.0)
    log = mine.run(tmp_path / "run", executor=executor)
    assert summarize(log).status == "finished"
    trials = log.trials()
    assert {trial.state for trial in trials[:n]} == {"done", "failed"}
    for trial in trials[:n]:
        fault = fault_of(trial.number, period)
        if fault is None:
            assert trial.energy == energy(trial.atoms)[0]
        else:
            assert FAULTS[fault] in trial.reason
            assert trial.energy is None
            again = fault is lose_connection
            assert trial.attempt == (2 if again else 1)
    assert sum(trial.state == "failed" for trial in trials) == n // period
    again = [t.number for t in trials[:n] if fault_of(t.number, period) is lose_connection]
    assert [each.trial for each in log.attempts()] == again
    report = verify_log(log)
    assert report.problems == ()
    assert report.n_rebuilt == sum(step.kind == "model" for step in log.steps())
    assert executor._pool is None
    before = log.fingerprint()
    assert mine.run(tmp_path / "run", executor=executor).fingerprint() == before
    psutil.wait_procs([p for p in psutil.process_iter() if is_left_behind(p)], timeout=60)
    assert not [p for p in psutil.process_iter() if is_left_behind(p)]


HARMLESS = [
    fault for fault in FAULTS if "died" not in FAULTS[fault] and "limit" not in FAULTS[fault]
]


def harmless(atoms):
    """Return an energy, or every second time what a fault makes of it."""
    trial = current_context().trial
    return HARMLESS[trial // 2]() if trial % 2 else energy(atoms)


@pytest.mark.parametrize("make", [InProcess, functools.partial(ThreadPoolExecutor, 3)])
def test_faults_in_this_process(tmp_path, make):
    n = 2 * len(HARMLESS)
    mine = campaign(Function(harmless), n=n, n_initial=n)
    with make() as executor:
        if make is InProcess:
            with pytest.raises(KeyboardInterrupt, match="by itself"):
                mine.run(tmp_path / "run", executor=executor)
            assert summarize(mine.log).status == "interrupted"
        log = mine.run(tmp_path / "run", executor=executor)
    assert [trial.number for trial in log.trials("done")] == list(range(0, n, 2))
    for trial in log.trials("failed"):
        assert FAULTS[HARMLESS[trial.number // 2]] in trial.reason
    assert verify_log(log).is_valid


def test_what_a_broken_executor_has_computed_is_recorded(tmp_path):
    mine = campaign(n=8, n_initial=4)
    executor = Answering(None, BrokenProcessPool("dead"), None, BrokenProcessPool("dead"))
    with pytest.raises(ExecutorError, match="is broken: dead"):
        mine.run(tmp_path / "run", executor=executor)
    assert [trial.number for trial in mine.log.trials("done")] == [0, 2]


class Silent(Executor):
    """Breaks at its first call and never answers the others."""

    n_calls = 0

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        if self.n_calls == 0:
            future.set_exception(BrokenProcessPool("no worker could start."))
        self.n_calls += 1
        return future


def test_a_broken_executor_that_leaves_calls_without_an_answer(tmp_path):
    with pytest.raises(ExecutorError, match=r"is broken: no worker could start\. Nothing recorded"):
        campaign(n=4).run(tmp_path / "run", executor=Silent())


def is_left_behind(process):
    """Return whether a process is the program that a fault leaves behind."""
    try:
        return PROGRAM in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
