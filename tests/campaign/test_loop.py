import os
import random
import signal
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from ase import Atoms
from ase.calculators.calculator import FileIOCalculator
from ase.calculators.emt import EMT

import bostruct as bo
from bostruct.campaign import FinalRelaxation, records, stop
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.verify import verify_log
from bostruct.campaign.loop import EXHAUSTED, shutdown_on_exit
from bostruct.campaign.report.summary import summarize
from bostruct.errors import EvaluationError, ExecutorError, ExhaustedError, InputError
from bostruct.evaluators import Function, current_context
from bostruct.runtime.executors import Workers
from tests.campaign import processes
from tests.campaign.replanned import assert_replanned
from tests.campaign.standin import Points, Wells, campaign, counting, energy


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
    mine = campaign(n=12, n_initial=4, batch_size=4)
    whole = mine.run(tmp_path / "a").fingerprint()
    assert mine.run(tmp_path / "b", executor=Reversed(4)).fingerprint() == whole
    with ThreadPoolExecutor(4) as threads:
        assert mine.run(tmp_path / "c", executor=threads).fingerprint() == whole
        assert threads.submit(int).result() == 0, "it belongs to who made it"


def test_a_broken_executor_ends_the_run_and_loses_nothing(tmp_path):
    mine = campaign(n=5)
    with pytest.raises(
        ExecutorError, match=r"is broken: a process died.*`executors\.Workers` outl"
    ):
        mine.run(tmp_path / "run", executor=Broken())
    assert summarize(mine.log).status == "paused"
    assert {trial.state for trial in mine.log.trials()} == {"running"}
    whole = mine.run(tmp_path / "whole").fingerprint()
    assert mine.run(tmp_path / "run").fingerprint() == whole


def test_a_lost_call_is_a_failure(tmp_path):
    log = campaign(n=4).run(tmp_path / "run", executor=Losing())
    reason = "the executor lost the call: ConnectionError: node lost"
    assert [trial.reason for trial in log.trials()] == [reason] * 4


def failing(atoms):
    raise RuntimeError("no licence")


def test_failures_in_a_row_end_the_run(tmp_path):
    mine = campaign(Function(failing), n=60)
    with pytest.raises(
        EvaluationError, match=r"10 failures in a row\..*trial 9: .*no licence.*ret"
    ):
        mine.run(tmp_path / "run")
    found = summarize(mine.log)
    assert found.status == "failed"
    assert "no licence" in found.reason
    assert (found.n_evaluations, found.n_failed, found.n_pending) == (10, 10, 0)
    with pytest.raises(EvaluationError, match="10 failures in a row"):
        mine.run(tmp_path / "run")
    assert [trial.attempt for trial in mine.log.trials("failed")] == [2] * 10, "each once again"
    with pytest.raises(EvaluationError, match="10 failures in a row"):
        mine.run(tmp_path / "run")
    assert [trial.attempt for trial in mine.log.trials("failed")] == [2] * 10 + [1] * 10


def test_a_repaired_campaign_begins_with_what_has_failed(tmp_path):
    broken = [True]

    def repaired(atoms):
        return failing(atoms) if broken[0] else energy(atoms)

    mine = campaign(Function(repaired), n=20)
    with pytest.raises(EvaluationError, match="10 failures in a row"):
        mine.run(tmp_path / "run")
    broken[0] = False
    log = mine.run(tmp_path / "run")
    assert len(log.trials("done")) == 20
    assert [trial.attempt for trial in log.trials()] == [2] * 10 + [1] * 10
    assert {(each.state, each.cause) for each in log.attempts()} == {
        ("failed", "failures in a row")
    }
    assert all("no licence" in each.reason for each in log.attempts())
    assert verify_log(log).is_valid


@pytest.mark.parametrize("criterion", [None, 25])
def test_the_number_of_failures_in_a_row_is_set_or_switched_off(tmp_path, criterion):
    mine = campaign(Function(failing), stop=stop.Evaluations(30))
    rule = stop.Evaluations(30) | stop.ConsecutiveFailures(criterion)
    if criterion is None:
        assert len(mine.run(tmp_path / "run", stop=rule).trials("failed")) == 30
    else:
        with pytest.raises(EvaluationError, match="25 failures in a row"):
            mine.run(tmp_path / "run", stop=rule)


def test_a_campaign_of_which_half_fails_goes_on(tmp_path):
    def half(atoms):
        return energy(atoms) if zlib.crc32(atoms.positions.tobytes()) % 2 else failing(atoms)

    evaluator = Function(half)
    log = campaign(evaluator, n=40).run(tmp_path / "run")
    assert len(log.trials("done")) + len(log.trials("failed")) == 40


def test_a_space_of_which_all_members_fail_is_not_called_exhausted(tmp_path):
    mine = campaign(Function(failing), space=Points(4), n=50, n_initial=4)
    with pytest.raises(EvaluationError, match=r"all evaluations have failed, 4 of 4\..*no licence"):
        mine.run(tmp_path / "run")
    with mine.open(tmp_path / "run"), pytest.raises(ExhaustedError, match="4 failed: `retry`"):
        mine.ask()


def test_no_final_relaxation_after_failures_in_a_row(tmp_path):
    calls = []

    def later(atoms):
        calls.append(1)
        return energy(atoms) if len(calls) <= 4 else failing(atoms)

    rule = stop.EnergyReached(-1e9) | stop.ConsecutiveFailures(3)
    mine = campaign(Function(later), stop=rule, final_relaxation=FinalRelaxation(fmax=1e-6))
    with pytest.raises(EvaluationError, match="3 failures in a row"):
        mine.run(tmp_path / "run")
    assert "relaxation" not in kinds(mine.log)


def test_no_more_is_asked_for_than_the_rule_allows(tmp_path):
    with ThreadPoolExecutor(8) as threads:
        log = campaign(batch_size=4).run(
            tmp_path / "run", executor=threads, stop=stop.Evaluations(6)
        )
    assert len(log.trials("done")) == 6
    assert len(log.trials("planned")) == 2


def test_ended_stops_workers():
    executor = Workers(1)
    with shutdown_on_exit(executor):
        executor.submit(int).result(60)
    assert executor._pool is None
    with pytest.raises(ZeroDivisionError), shutdown_on_exit(executor):
        _ = 1 / 0


def kinds(log):
    return [step.kind for step in log.steps()]


def test_the_check_stays_within_the_evaluations(tmp_path):
    """And what it does not need the search may use."""
    check = FinalRelaxation(fmax=0.2, max_steps=4)
    log = campaign(n=16, final_relaxation=check).run(tmp_path / "run")
    found = kinds(log)
    assert len(log.trials("done")) == 16
    first = found.index("relaxation")
    finished = [trial for trial in log.trials() if trial.step < first]
    assert len(finished) == 12  # a quarter is left for it
    (checked,) = log.relaxations()
    assert checked.state == "converged" or "not converged" in checked.state
    assert {trial.generator for trial in log.trials() if trial.mean is None} == {
        "random",
        "relaxation",
    }
    assert log.steps()[-1].training_trials[-1] == 14, "what it found is learnt from"


def test_a_check_that_the_budget_cut_goes_on_with_a_larger_one(tmp_path):
    check = FinalRelaxation(fmax=1e-6, max_steps=8)
    log = campaign(n=8, final_relaxation=check).run(tmp_path / "run")
    assert kinds(log)[-2:] == ["relaxation", "relaxation"]
    assert log.relaxations()[0].state == "not converged yet"
    root = log.steps()[-1].training_trials[0]
    log = campaign(n=14, final_relaxation=check).run(tmp_path / "run")
    more = [step for step in log.steps() if step.kind == "relaxation"][2:]
    assert more[0].training_trials[0] == root
    assert log.relaxations()[0].n_evaluations >= 4
    assert len(log.trials("done")) == 14


@pytest.mark.parametrize(
    "rule",
    [stop.EnergyReached(1.5), stop.NoImprovement(3, 0.1)],
    ids=["energy", "stale"],
)
def test_a_check_after_other_rules_goes_on_down(tmp_path, rule):
    mine = campaign(stop=rule, final_relaxation=FinalRelaxation(fmax=1e-3), space=Wells())
    log = mine.run(tmp_path / "run")
    (checked,) = log.relaxations()
    assert kinds(log)[-1] == "relaxation"
    assert checked.n_evaluations > 0
    assert checked.relaxed_energy < checked.energy
    assert "relaxation" not in kinds(log)[: -checked.n_evaluations]
    before = log.fingerprint()
    assert mine.run(tmp_path / "run").fingerprint() == before
    assert mine.log.relaxations() == [checked]


def test_no_check_when_the_time_is_up(tmp_path):
    rule = stop.WallTime(1e-9) | stop.EnergyReached(1e9)
    mine = campaign(n=4, final_relaxation=FinalRelaxation())
    mine.run(tmp_path / "run", stop=stop.Evaluations(2))
    log = mine.run(tmp_path / "run", stop=rule)
    assert "relaxation" not in kinds(log)
    assert log.relaxations()[0].state == "not relaxed yet"


def test_checks_while_it_searches(tmp_path):
    check = FinalRelaxation(fmax=1e-6, max_steps=2, interval=5)
    log = campaign(n=24, final_relaxation=check).run(tmp_path / "run")
    found = kinds(log)
    searched = 0
    for step in log.steps():
        before = searched
        searched += 0 if step.kind == "relaxation" else (4 if step.number == 0 else 1)
        crossed = searched // 5 > before // 5
        if crossed and step.number + 1 < len(found):
            assert found[step.number + 1] == "relaxation"
    assert found.count("relaxation") > 4


def test_a_check_ends_where_the_evaluator_fails(tmp_path):
    calls = []

    def failing(atoms):
        calls.append(1)
        if len(calls) > 6:
            raise RuntimeError("the queue was closed")
        return energy(atoms)

    rule = stop.EnergyReached(-9.0) | stop.NoImprovement(4, 0.5)
    mine = campaign(
        Function(failing), stop=rule, final_relaxation=FinalRelaxation(n_structures=2, fmax=1e-6)
    )
    log = mine.run(tmp_path / "run")
    assert summarize(log).status == "finished"
    states = [each.state for each in log.relaxations()]
    assert len(states) == 2
    assert all("failed, the evaluator raised RuntimeError" in s for s in states)
    assert [t.generator for t in log.trials("failed")].count("relaxation") == 2


def test_an_evaluator_that_turns_out_to_have_no_forces(tmp_path):
    mine = campaign(Function(lambda atoms: 1.0), final_relaxation=FinalRelaxation())
    for count in (1, 1):  # the second time before anything is evaluated
        with pytest.raises(InputError, match="forces for the final relaxation, got none for trial"):
            mine.run(tmp_path / "run")
        assert len(mine.log.trials("done")) == count


def test_a_check_with_parallel_evaluations(tmp_path):
    mine = campaign(n=16, batch_size=4, final_relaxation=FinalRelaxation(fmax=1e-6, max_steps=4))
    whole = mine.run(tmp_path / "a").fingerprint()
    with ThreadPoolExecutor(4) as threads:
        log = mine.run(tmp_path / "b", executor=threads)
    assert log.fingerprint() == whole


def test_an_exhausted_space_is_checked(tmp_path):
    mine = campaign(space=Points(5), n=50, final_relaxation=FinalRelaxation(fmax=1e-3))
    log = mine.run(tmp_path / "run")
    assert summarize(log).reason.startswith("every structure that was found")
    assert "relaxation" in kinds(log)
    before = log.fingerprint()
    assert mine.run(tmp_path / "run").fingerprint() == before


POOL = [Atoms("Cu3", positions=[(0, 0, 0), (2.3 + 0.1 * k, 0, 0), (1, 2.2, 0)]) for k in range(8)]
SCRIPT = """
import time
import numpy as np
from ase import Atoms
from ase.calculators.emt import EMT
time.sleep(0.2)
x = np.loadtxt("in.txt", ndmin=2)
atoms = Atoms(f"Cu{len(x)}", positions=x, calculator=EMT())
open("out.txt", "w").write(repr(float(atoms.get_potential_energy())))
"""


class Code(FileIOCalculator):
    """A code that reads and writes files in its directory, as most DFT codes do."""

    implemented_properties = ("energy",)

    def __init__(self, **options):
        super().__init__(command=f"{sys.executable} code.py", **options)

    def write_input(self, atoms, properties=None, system_changes=None):
        super().write_input(atoms, properties, system_changes)
        np.savetxt(Path(self.directory) / "in.txt", atoms.positions)
        (Path(self.directory) / "code.py").write_text(SCRIPT)

    def read_results(self):
        self.results = {"energy": float((Path(self.directory) / "out.txt").read_text())}


def pool_campaign(evaluator, **arguments):
    space = bo.spaces.Pool(POOL, assume_distinct=True)
    return bo.Campaign(
        space=space, evaluator=evaluator, n_initial=8, stop=bo.stop.Evaluations(8), **arguments
    )


@pytest.mark.parametrize(
    "executor",
    [bo.executors.Workers(2), pytest.param(ThreadPoolExecutor(2), marks=pytest.mark.slow)],
)
def test_every_energy_is_that_of_its_structure(tmp_path, executor):
    evaluator = bo.evaluators.Calculator(Code, with_forces=False)
    mine = pool_campaign(evaluator, batch_size=8, executor=executor, keep="all")
    log = mine.run(tmp_path / "run", seed=0)
    trials = log.trials("done")
    assert len(trials) == 8
    for trial in trials:
        atoms = trial.atoms
        atoms.calc = EMT()
        assert trial.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
        assert (tmp_path / "run" / "evaluations" / f"{trial.number:06d}" / "out.txt").is_file()


def test_working_folders_of_failures_stay(tmp_path):
    def evaluator(atoms):
        context = bo.evaluators.current_context()
        (context.folder / "code.out").write_text(f"trial {context.trial}: no convergence\n")
        if context.trial % 2:
            raise RuntimeError("error code 255")
        return float(context.trial)

    log = pool_campaign(bo.evaluators.Function(evaluator)).run(tmp_path / "run", seed=0)
    kept = sorted(path.name for path in (tmp_path / "run" / "evaluations").iterdir())
    assert kept == [f"{trial.number:06d}" for trial in log.trials("failed")]
    assert "ends with: trial 1: no convergence" in log.trials("failed")[0].reason


def sleeping(atoms, marker):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    with Path(marker).open("a") as file:
        file.write(f"{child.pid}\n")
    child.wait()
    return 0.0


def test_the_time_limit_ends_programs_too(tmp_path):
    marker = tmp_path / "pids"
    evaluator = bo.evaluators.Function(sleeping, {"marker": str(marker)})
    mine = pool_campaign(evaluator, executor=bo.executors.Workers(2, time_limit=2.0))
    mine.run(tmp_path / "run", seed=0, stop=bo.stop.Evaluations(2))
    pids = [int(pid) for pid in marker.read_text().split()]
    assert pids
    _, alive = psutil.wait_procs(
        [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=10
    )
    assert alive == []


def test_keep_is_checked():
    with pytest.raises(InputError, match=r"`keep` must be one of failed, all, none, got 'some'"):
        pool_campaign(bo.evaluators.Function(len), keep="some")


@pytest.mark.parametrize("has_relaxation", [False, True])
def test_a_step_decodes_its_own_rows_only(tmp_path, monkeypatch, has_relaxation):
    """So the own time of a campaign per step does not grow with its evaluations."""
    original, decoded = records.trial_from_row, []
    query, queries = Log.query, []
    monkeypatch.setattr(
        records, "trial_from_row", lambda *a: decoded.append(a[0]["number"]) or original(*a)
    )
    monkeypatch.setattr(Log, "query", lambda *a: queries.append(a[1]) or query(*a))
    arguments = {}
    if has_relaxation:
        arguments["final_relaxation"] = FinalRelaxation(n_structures=1, max_steps=2, fmax=1e-3)
    marks = []

    def marked(atoms):
        marks.append((len(decoded), len(queries)))
        return energy(atoms)

    campaign(Function(marked), n=24, **arguments).run(tmp_path / "run")
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(marks[4:18])]
    assert len(set(steps)) == 1, steps
    assert max(decoded.count(n) for n in range(24)) <= 6


def test_an_asynchronous_run_waits_for_no_result_but_one(tmp_path):
    """A slow evaluation delays none of the others, and the log says that it was pending."""
    release = threading.Event()

    def slow(atoms):
        if current_context().trial == 1:
            release.wait(60)
        elif current_context().trial == 9:
            release.set()
        return energy(atoms)

    made = campaign(Function(slow), 12, batch_size=3, asynchronous=True, n_initial=2)
    with ThreadPoolExecutor(3) as threads:
        made.run(tmp_path / "run", executor=threads)
    log = assert_replanned(made, tmp_path / "run")
    assert len(log.trials("done")) == 12
    pending = {step.number: list(step.pending_trials) for step in log.steps()}
    trials = log.trial_records()
    assert all(1 in pending[trials[number].step] for number in range(3, 10))
    assert all(len(numbers) <= 2 for numbers in pending.values())


def test_an_asynchronous_run_in_pieces_loses_nothing(tmp_path):
    for n in (1, 5, 6, 12):
        made = campaign(n=n, batch_size=3, asynchronous=True)
        log = made.run(tmp_path / "run")
        assert len(log.trials("done")) == n
    assert not log.trials("planned")  # no more is planned than is evaluated
    assert_replanned(made, tmp_path / "run")


def test_an_asynchronous_run_of_one_is_a_synchronous_one(tmp_path):
    one = campaign(n=9).run(tmp_path / "one").trial_records()
    other = campaign(n=9, asynchronous=True).run(tmp_path / "other").trial_records()
    assert all(torch.equal(a.X, b.X) for a, b in zip(one, other, strict=True))


def test_an_asynchronous_run_of_few_structures_ends(tmp_path):
    log = campaign(space=Points(4), batch_size=3, n_initial=2, asynchronous=True).run(tmp_path)
    assert len(log.trials("done")) == 4
    assert log.sessions()[-1]["reason"] == EXHAUSTED


def test_a_relaxation_follows_an_asynchronous_search(tmp_path):
    """It begins when all other results are known, and has its part of the budget."""
    relaxation = FinalRelaxation(max_steps=4)
    made = campaign(
        n=16, space=Wells(), batch_size=3, asynchronous=True, final_relaxation=relaxation
    )
    log = assert_replanned(made, made.run(tmp_path / "run").folder)
    trials = log.trial_records()
    first = min(t.number for t in trials if t.generator == "relaxation")
    assert len(trials) == 16
    assert first <= 12
    assert {t.state for t in trials} == {"done"}
    with pytest.raises(InputError, match="`interval` must be None in an asynchronous campaign"):
        campaign(asynchronous=True, final_relaxation=FinalRelaxation(interval=5))


@pytest.mark.parametrize(
    ("engine", "kills"),
    [
        ("processes", 1),
        pytest.param("processes", 20, marks=pytest.mark.slow),
        pytest.param("dask", 20, marks=pytest.mark.slow),
    ],
)
def test_an_asynchronous_driver_killed_in_flight_loses_nothing(tmp_path, engine, kills):
    """SIGKILL while workers compute: every trial ends once, with the energy of its structure."""
    n, q, folder, calls = 10 + 4 * kills, 3, tmp_path / "run", tmp_path / "calls"
    moments = random.Random(1)
    for _ in range(kills):
        before = len(calls.read_text().split()) if calls.exists() else 0
        process = processes.start(processes.run_on_engine, folder, calls, n, q, engine)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if calls.exists() and len(calls.read_text().split()) >= before + 3:
                break
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.05))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL, "it ended before it was killed"
    assert processes.call(processes.run_on_engine, folder, calls, n, q, engine) == 0
    made = counting(calls, n, asynchronous=True, batch_size=q)
    log = assert_replanned(made, folder)
    trials = log.trials()
    assert [trial.number for trial in trials] == list(range(n))
    assert {trial.state for trial in trials} == {"done"}
    for trial in trials:
        assert trial.energy == pytest.approx(energy(trial.atoms)[0], abs=1e-12)
    asked = calls.read_text().split()
    again = {t.number for t in trials if t.attempt > 1}
    assert len(asked) <= n + sum(t.attempt - 1 for t in trials)
    assert len(again) <= kills * q
    assert verify_log(log).is_valid
