import functools
import math
import os
import random
import shutil
import signal
import sys
import threading
import time
from types import ModuleType

import ase.db
import pytest
import torch
from ase.build import fcc111, molecule
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms

from bostruct.campaign import Campaign, FinalRelaxation, Log, stop
from bostruct.campaign.log import lock
from bostruct.campaign.log.verify import verify_log
from bostruct.campaign.log.writer import LogWriter
from bostruct.campaign.report import export
from bostruct.campaign.report.summary import summarize
from bostruct.campaign.report.text import final_text, summary_text
from bostruct.candidates import BasinHopping
from bostruct.errors import (
    DeviceError,
    ExhaustedError,
    InputError,
    LockedError,
    LogError,
    MismatchError,
)
from bostruct.evaluators import Evaluation, Failure, Function, current_context
from bostruct.runtime import executors
from bostruct.runtime.callable_name import without_entry_point_names
from bostruct.runtime.interruption import TerminationError
from bostruct.spaces import Cluster, Pool, Surface
from bostruct.surrogates import LocalGP
from tests.campaign import processes
from tests.campaign.replanned import assert_replanned
from tests.campaign.standin import GP, Box, Points, campaign, counting, energy, start


def recorded(folder):
    """Return the structures whose energy is on disk."""
    try:
        log = Log(folder)
    except LogError:
        return set()
    return {trial.X.numpy().tobytes().hex() for trial in log.trials("done")}


def lines(file):
    return file.read_text().split() if file.exists() else []


@pytest.mark.parametrize(("kills", "n"), [(4, 16), pytest.param(20, 60, marks=pytest.mark.slow)])
def test_killed_many_times_it_ends_with_the_same_log(tmp_path, kills, n):
    """SIGKILL at random moments; nothing that was recorded is asked for again."""
    whole = counting(tmp_path / "whole", n).run(tmp_path / "uninterrupted")
    folder, calls = tmp_path / "run", tmp_path / "calls"
    moments = random.Random(0)
    for _ in range(kills):
        known, before = recorded(folder), len(lines(calls))
        process = processes.start(processes.run, folder, calls, n)
        wanted = before + moments.choice([0, 1, 1, 2, 3])
        deadline = time.monotonic() + 60
        while len(lines(calls)) < wanted and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.05))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL, "it ended before it was killed"
        assert known.isdisjoint(lines(calls)[before:])
    known, before = recorded(folder), len(lines(calls))
    assert 0 < len(known) < n
    log = counting(calls, n).run(folder)
    assert known.isdisjoint(lines(calls)[before:])
    assert len(log.sessions()) > kills // 2
    assert log.fingerprint() == whole.fingerprint()
    for mine, other in zip(log.trials(), whole.trials(), strict=True):
        assert torch.equal(mine.X, other.X)
        assert mine.energy == other.energy
        assert (mine.mean, mine.predictive_variance) == (
            other.mean,
            other.predictive_variance,
        )
        assert mine.acquisition == other.acquisition
    for step in log.steps()[1:]:
        mine, other = (
            log.posterior_tensors(step.number),
            whole.posterior_tensors(step.number),
        )
        assert all(torch.equal(mine[name], other[name]) for name in mine)


def test_a_run_goes_on_as_if_it_had_never_ended(tmp_path):
    """In pieces of any size, batches included."""
    whole = campaign(n=14, batch_size=3).run(tmp_path / "whole").fingerprint()
    for n in (1, 3, 5, 6, 10, 14):
        log = campaign(n=n, batch_size=3).run(tmp_path / "run")
        assert len(log.trials("done")) == n
    assert len(log.trials("planned")) == 2  # the rest of the last step
    assert log.fingerprint() == whole


def test_the_seed_makes_the_run(tmp_path):
    runs = [
        campaign(n=7).run(tmp_path / str(i), seed=seed).fingerprint()
        for i, seed in enumerate((0, 0, 1))
    ]
    assert runs[0] == runs[1] != runs[2]


def test_the_global_generators_have_no_part_in_it(tmp_path):
    fingerprints = set()
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        fingerprints.add(campaign(n=7).run(tmp_path / str(seed)).fingerprint())
        assert torch.equal(torch.get_rng_state(), before)
    assert len(fingerprints) == 1


def test_defaults():
    made = Campaign(Box(), Function(energy))
    assert made.components.surrogate == LocalGP()
    assert made.components.search == BasinHopping()
    assert made.components.acquisition.description()["kappa"] == 1.3
    assert made.stop == stop.Evaluations(100)
    assert (made.components.n_initial, made.components.batch_size) == (2, 1)


def test_ask_and_tell_from_outside(tmp_path):
    mine = campaign(batch_size=2)
    with mine.open(tmp_path / "run", seed=3) as opened:
        assert opened is mine
        asked = [trial for _ in range(4) for trial in opened.ask(1)]
        assert [trial.number for trial in asked] == [0, 1, 2, 3]
        assert {trial.step for trial in asked} == {0}
        for trial in asked:
            opened.tell(trial, Evaluation(float(trial.number), seconds=2.0))
        pair = opened.ask()
        assert [trial.step for trial in pair] == [1, 1]
        # More may be asked for while these are out; their places count as taken.
        more = opened.ask(1)
        assert more[0].step == 2
        assert not bool(Box().is_duplicate(more[0].X, pair[0].X))
        opened.tell(pair[0].key, Failure("the queue was closed", retryable=True))
        again = opened.ask(1)[0]
        assert (again.number, again.attempt) == (pair[0].number, 2)
        assert (again.reason, again.key[:-2]) == (
            "the queue was closed",
            pair[0].key[:-2],
        )
        opened.tell(again, Failure("the queue was closed", retryable=True))
        opened.abandon(pair[1], "too long")
        opened.tell(more[0], Evaluation(-3.0))
    log = mine.log
    states = [trial.state for trial in log.trials()]
    assert states == ["done"] * 4 + ["failed", "abandoned", "done"]
    assert log.trials("failed")[0].retryable
    found = summarize(log)
    assert found.status == "paused"
    assert list(found.energy.energies) == [0.0, 1.0, 2.0, 3.0, None, -3.0]
    assert found.energy.best.evaluation == 6
    assert found.seconds["evaluate"] == 8.0


def test_what_may_succeed_another_time_is_asked_for_once_more(tmp_path):
    class Flaky:
        def __init__(self):
            self.calls = []

        def __call__(self, structures):
            self.calls.append(structures.positions.clone())
            if len(self.calls) in (2, 5, 6):
                raise OSError("stale file handle")
            if len(self.calls) == 7:
                raise ValueError("not converged")
            return Evaluation(float(structures.positions.square().sum()))

        def description(self):
            return {"kind": "flaky"}

    flaky = Flaky()
    mine = campaign(evaluator=flaky)
    log = mine.run(tmp_path / "run", stop=stop.Evaluations(6))
    calls = flaky.calls
    assert torch.equal(calls[1], calls[2])
    trials = log.trial_records()
    assert [(t.state, t.attempt) for t in trials] == [
        ("done", 1),
        ("done", 2),
        ("done", 1),
        ("failed", 2),
        ("failed", 1),
        ("done", 1),
    ]
    assert len(calls) == 8
    assert (trials[1].reason, trials[1].retryable) == ("", False)
    assert "stale file handle" in trials[3].reason
    assert verify_log(log).is_valid


def test_ask_comes_back_with_what_was_never_told(tmp_path):
    mine = campaign()
    with mine.open(tmp_path / "run") as opened:
        first = opened.ask(3)
        opened.tell(first[1], Evaluation(1.0))
    with mine.open(tmp_path / "run") as opened:
        again = opened.ask(9)
        assert [trial.number for trial in again] == [0, 2, 3]
        assert [trial.attempt for trial in again] == [2, 2, 1]
        assert again[0].key != first[0].key
        opened.tell(first[0], Evaluation(2.0))  # a late result of the first attempt
        opened.tell(again[1].key, Evaluation(3.0))
    assert [trial.energy for trial in mine.log.trials()] == [2.0, 1.0, 3.0, None]


def test_ask_and_tell_make_the_same_log_as_run(tmp_path):
    mine = campaign(n=9)
    whole = mine.run(tmp_path / "whole").fingerprint()
    for _ in range(9):
        with mine.open(tmp_path / "run") as opened:
            (trial,) = opened.ask()
            value, forces = energy(trial.atoms)
            opened.tell(trial, Evaluation(value, torch.tensor(forces)))
    assert mine.log.fingerprint() == whole


def test_asynchronous_ask_plans_while_others_are_pending(tmp_path):
    made = campaign(batch_size=3, asynchronous=True, n_initial=2)
    with made.open(tmp_path / "run") as opened:
        first = opened.ask()
        assert [trial.number for trial in first] == [0, 1, 2]
        assert opened.ask() == []  # as many as are to be in flight
        (extra,) = opened.ask(1)
    with made.open(tmp_path / "run") as opened:  # what was asked for stays with who asked
        assert opened.ask() == []
        for trial in first[:2]:
            opened.tell(trial.key, Evaluation(*energy(trial.atoms)))
        (next_one,) = opened.ask()
        assert next_one.number == 4
        assert opened.log.read_step(next_one.step).pending_trials == [2, 3]
        opened.tell(first[2].key, Failure("the job was lost", retryable=True))
        (again,) = opened.ask()
        assert (again.number, again.attempt) == (2, 2)
        opened.abandon(extra.key, "its job was cancelled")
        (last,) = opened.ask()
        assert opened.log.read_step(last.step).pending_trials == [2, 4]
    log = assert_replanned(made, tmp_path / "run")
    assert len(log.trials("running")) == 3
    log = made.run(tmp_path / "run", stop=stop.Evaluations(6))  # takes them back
    assert [t.attempt for t in log.trials("done") if t.number in (4, last.number)] == [2, 2]


def test_ask_and_tell_from_processes_side_by_side(tmp_path):
    folder, n = tmp_path / "run", 14
    made = counting(tmp_path / "calls", batch_size=4, asynchronous=True)
    started = [
        processes.start(
            functools.partial(processes.ask_and_tell, batch_size=4, asynchronous=True), folder, n
        )
        for _ in range(4)
    ]
    for process in started:
        process.join(120)
        assert process.exitcode == 0
    log = assert_replanned(made, folder)
    trials = log.trials()
    assert n <= len(trials) < n + 4
    assert {(trial.state, trial.attempt) for trial in trials} == {("done", 1)}
    for trial in trials:
        assert trial.energy == pytest.approx(energy(trial.atoms)[0], abs=1e-12)
    assert max(len(step.pending_trials) for step in log.steps()) >= 2
    assert verify_log(log).is_valid


def test_open_waits_for_another_process(tmp_path):
    mine = counting(tmp_path / "calls")
    process = processes.start(processes.hold, tmp_path / "run", tmp_path / "ready")
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    with pytest.raises(LockedError):
        mine.open(tmp_path / "run", wait=0.1)
    threading.Timer(0.2, process.kill).start()
    with mine.open(tmp_path / "run", wait=60):
        pass
    process.join()
    with pytest.raises(InputError, match="`wait` must be at least 0, got -1"):
        mine.open(tmp_path / "run", wait=-1)


def test_tell_refuses(tmp_path):
    mine = campaign()
    with mine.open(tmp_path / "run") as opened:
        first, second = opened.ask(2)
        opened.tell(first, Evaluation(1.0))
        with pytest.raises(InputError, match="`trial` must be one without a result"):
            opened.tell(first, Evaluation(1.0))
        with pytest.raises(InputError, match="`trial` must be one without a result"):
            opened.abandon(first)
        with pytest.raises(InputError, match="`trial` must be one of this campaign"):
            opened.tell("0123-1", Evaluation(1.0))
        with pytest.raises(InputError, match="`result` must be an Evaluation"):
            opened.tell(second, 1.0)
        opened.tell(second, Evaluation(math.nan))
        with pytest.raises(InputError, match="`q` must be an integer"):
            opened.ask(0)
    assert [trial.state for trial in mine.log.trials()][:2] == ["done", "failed"]


def test_what_needs_an_open_folder_says_so(tmp_path):
    mine = campaign()
    with pytest.raises(LogError, match="the campaign is not open"):
        mine.ask()
    with pytest.raises(LogError, match="no folder was opened yet"):
        _ = mine.log
    with (
        mine.open(tmp_path / "run"),
        pytest.raises(LogError, match="`campaign` must be closed before"),
    ):
        mine.open(tmp_path / "other")
    mine.close()  # closing twice is fine


def test_failures_are_data(tmp_path):
    answers = iter([1.0, math.nan, None, 2.0, "x", 3.0, (1.0, [[0.0, 0.0]]), 4.0])

    def unsteady(atoms):
        answer = next(answers)
        if answer is None:
            raise RuntimeError("SCF did not converge")
        return answer

    log = campaign(Function(unsteady), n=8).run(tmp_path / "run")
    found = summarize(log)
    assert list(found.energy.energies) == [1.0, None, None, 2.0, None, 3.0, None, 4.0]
    assert found.n_failed == 4
    reasons = [trial.reason for trial in log.trials("failed")]
    assert "not finite" in reasons[0]
    assert reasons[1] == "the evaluator raised RuntimeError: SCF did not converge"
    assert log.steps()[-1].training_trials == (0, 3, 5)
    assert log.structures().energy.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_all_fail(tmp_path):
    def never(atoms):
        raise ValueError("no licence")

    log = campaign(Function(never), n=6).run(tmp_path / "run")
    assert summarize(log).n_failed == 6
    assert {step.kind for step in log.steps()} == {"random"}
    with pytest.raises(LogError, match="at least one energy"):
        log.structures()


def test_stop_rules_end_it(tmp_path):
    rule = stop.EnergyReached(1e9) | stop.Evaluations(100)
    log = campaign(stop=rule).run(tmp_path / "a")
    assert len(log.trials("done")) == 1
    assert len(log.trials("planned")) == 3
    assert "energy of" in summarize(log).reason
    log = campaign().run(tmp_path / "b", stop=stop.WallTime(1e-9))
    assert log.trials() == []
    log = campaign().run(tmp_path / "c", stop=stop.NoImprovement(3))
    assert "without improvement" in summarize(log).reason


def test_an_exhausted_space(tmp_path):
    """A campaign ends well where there is no structure left to propose; `ask` says so."""
    mine = campaign(space=Points(6), n=50)
    log = mine.run(tmp_path / "run")
    assert len(log.trials("done")) == 6
    assert summarize(log).status == "finished"
    assert summarize(log).reason.startswith("every structure that was found")
    with (
        mine.open(tmp_path / "run"),
        pytest.raises(ExhaustedError, match="no structure left to propose"),
    ):
        mine.ask()


def test_another_campaign_is_refused(tmp_path, folder):
    shutil.copytree(folder, tmp_path / "before")
    with pytest.raises(MismatchError, match=r"space\.edge is 6\.0 there and 7\.0 here"):
        campaign(space=Box(7.0)).run(folder)
    with pytest.raises(MismatchError, match="seed is 0 there and 1 here"):
        campaign().run(folder, seed=1)
    with pytest.raises(MismatchError, match="batch_size is 1 there and 2 here"):
        campaign(batch_size=2).read(folder)
    assert unchanged(folder, tmp_path / "before")


def test_a_campaign_of_an_earlier_version_continues_in_its_region(tmp_path):
    """Its default radius was that in which random clusters are sampled."""
    present = Cluster("Cu7")
    earlier = Cluster("Cu7", radius=present.sampling_radius)
    assert earlier.radius < present.radius
    campaign(n=3, n_initial=5, space=earlier).run(tmp_path / "run")
    mine = campaign(n=5, n_initial=5, space=present)
    log = mine.run(tmp_path / "run")
    assert len(log.trials("done")) == 5
    assert log.description["space"]["radius"] == earlier.radius
    for read in (log, mine.log, mine.read(tmp_path / "run")):
        assert read.space.radius == earlier.radius
    assert mine.space.radius == present.radius
    assert mine.run(tmp_path / "other").space.radius == present.radius
    given = campaign(n=5, n_initial=5, space=Cluster("Cu7", radius=present.radius + 1))
    with pytest.raises(MismatchError, match=r"space\.radius is .* there and .* here"):
        given.run(tmp_path / "run")


def unchanged(one, other):
    names = sorted(path.relative_to(one) for path in one.rglob("*"))
    assert names == sorted(path.relative_to(other) for path in other.rglob("*"))
    return all(
        (one / name).read_bytes() == (other / name).read_bytes()
        for name in names
        if (one / name).is_file()
    )


def test_another_campaign_that_was_faster(tmp_path, monkeypatch):
    """Between the look and the lock someone else may start."""
    mine = campaign(space=Box(7.0))
    monkeypatch.setattr(Campaign, "validate", lambda *_: True)
    with pytest.raises(MismatchError, match="holds another campaign"):
        mine.open(_started(tmp_path))
    assert mine._session is None


def _started(tmp_path):
    folder = tmp_path / "run"
    other = campaign()
    LogWriter(folder, other.description(), 0, space=Box(), surrogate=GP(), device="cpu").close()
    return folder


def test_refused_before_anything_is_written(tmp_path, monkeypatch):
    folder = tmp_path / "new" / "run"
    with pytest.raises(InputError, match="`seed` must be an integer of at least 0"):
        campaign().run(folder, seed=-1)
    with pytest.raises(InputError, match="`seed` must be at most"):
        campaign().run(folder, seed=2**63)
    with pytest.raises(InputError, match="`stop` must be a stopping criterion, got int"):
        campaign().run(folder, stop=3)
    with pytest.raises(InputError, match="`executor` must be a concurrent"):
        campaign().run(folder, executor=3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="`device` must be one that exists"):
        campaign().run(folder, device="cuda")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["n_initial", "batch_size"])
def test_refuses_counts_that_are_none(name):
    with pytest.raises(InputError, match=f"`{name}` must be an integer"):
        campaign(**{name: 0})


def test_a_second_driver_is_refused(tmp_path):
    mine = campaign()
    with mine.open(tmp_path / "run"), pytest.raises(LockedError, match="being written"):
        campaign().open(tmp_path / "run")
    campaign(n=1).run(tmp_path / "run")


def test_an_evaluator_that_copies_the_run_folder(tmp_path):
    """Closing the copied files must end no lock, neither ours nor SQLite's."""
    folder, locked = tmp_path / "run", []

    def copies(atoms):
        copy = tmp_path / f"copy{len(locked)}"
        shutil.copytree(folder, copy)
        locked.append(processes.call(processes.end_if_locked, folder, lock.HAS_DESCRIPTION_LOCKS))
        assert Log(copy).trials("running")
        return energy(atoms)

    log = campaign(Function(copies), n=2).run(folder)
    assert locked == [processes.LOCKED] * 2
    assert len(log.trials("done")) == 2
    whole = campaign(n=2).run(tmp_path / "whole")
    assert [t.energy for t in log.trials()] == [t.energy for t in whole.trials()]
    campaign(Function(copies), n=2).run(tmp_path / "copy0")  # a campaign of its own


def test_the_first_error_is_the_one_that_is_seen(tmp_path):
    mine = campaign()
    with pytest.raises(ZeroDivisionError), mine.open(tmp_path / "run"):
        _ = 1 / 0
    assert summarize(mine.log).reason == "ZeroDivisionError: division by zero"


def test_reading_while_it_runs(tmp_path):
    seen = []

    def looking(atoms):
        log = Log(tmp_path / "run")
        seen.append((len(log.trials()), summarize(log).status))
        return 1.0

    campaign(Function(looking), n=6).run(tmp_path / "run")
    assert seen == [(4, "running")] * 4 + [(5, "running"), (6, "running")]


def test_executor_of_the_campaign(tmp_path):
    used = []

    class Mine(executors.InProcess.__bases__[0]):
        def submit(self, fn, /, *args, **kwargs):
            used.append(fn)
            return executors.InProcess().submit(fn, *args, **kwargs)

    campaign(n=3, executor=Mine()).run(tmp_path / "run")
    assert len(used) == 3  # all of the first step that there is room for


def test_what_is_given_is_learnt_from_and_not_counted(tmp_path):
    mine = campaign(n=5, initial_structures=start(True, None, 1e9, True, None), n_initial=None)
    log = mine.run(tmp_path / "run")
    trials = log.trials()
    assert [trial.is_initial_data for trial in trials] == [True] * 3 + [False] * 5
    states = ["done", "failed", "done"] + ["done"] * 5
    assert [trial.state for trial in trials] == states
    assert [trial.generator for trial in trials[:5]] == ["initial_structures"] * 5
    assert "the energy is absurd" in trials[1].reason
    assert [step.kind for step in log.steps()] == ["initial_data", "initial_structures"] + [
        "model"
    ] * 3
    assert log.steps()[2].training_trials == (0, 2, 3, 4)
    found = summarize(log)
    assert (found.n_initial_data, found.n_initial_data_refused, found.n_evaluations) == (2, 1, 5)
    assert list(found.energy.energies) == [trial.energy for trial in trials[3:]]
    assert found.n_failed == 0
    assert log.structures().energy.tolist()[0] == trials[0].energy
    whole = campaign(n=5, initial_structures=start(True, None, 1e9, True, None), n_initial=None)
    for n in (1, 3, 5):
        part = whole.run(tmp_path / "parts", stop=stop.Evaluations(n))
    assert part.fingerprint() == log.fingerprint()


def test_given_energies_alone_need_no_random_ones(tmp_path):
    log = campaign(n=3, initial_structures=start(True, True), n_initial=None).run(tmp_path / "run")
    assert [step.kind for step in log.steps()] == ["initial_data"] + ["model"] * 3


def test_the_best_one_may_be_given(tmp_path):
    log = campaign(n=3, initial_structures=start(-50.0, True), n_initial=None).run(tmp_path / "run")
    best = summarize(log).energy.best
    assert (best.energy, best.evaluation) == (-50, None)
    assert best.generator == "initial_structures"
    assert "best         -50.000000 eV, given" in summary_text(summarize(log))
    assert "Best energy -50.000000 eV, given; 3 (0 failed)" in final_text(summarize(log))
    assert "; 2 given\n" in summary_text(summarize(log))
    assert "   0  2 structures given with energies" in summary_text(summarize(log))
    (image,) = export.images_to_export(log)
    assert image.get_potential_energy() == -50.0
    assert verify_log(log).is_valid
    with ase.db.connect(tmp_path / "run" / "campaign.db") as db:
        assert next(row.energy for row in db.select(is_initial_data=True)) == -50.0
        assert len(list(db.select(is_initial_data=False))) == 3


def test_another_start_is_another_campaign(tmp_path):
    campaign(n=2, initial_structures=start(True, None)).run(tmp_path / "run")
    with pytest.raises(MismatchError, match=r"initial_data\.sha256 is .* there and .* here"):
        campaign(n=2, initial_structures=start(True, None, seed=8)).run(tmp_path / "run")
    with pytest.raises(MismatchError, match=r"initial_data is .* there and absent here"):
        campaign(n=2).run(tmp_path / "run")
    with pytest.raises(MismatchError, match="final_relaxation is absent there"):
        campaign(n=2, initial_structures=start(True, None), final_relaxation=FinalRelaxation()).run(
            tmp_path / "run"
        )
    campaign(n=3, initial_structures=start(True, None)).run(tmp_path / "run")


def test_given_structures_that_could_not_be_written(tmp_path, monkeypatch):
    """The folder is free again, and the next start writes them."""
    mine = campaign(n=2, initial_structures=start(True, True), n_initial=None)

    def full(*_):
        raise LogError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(LogWriter, "write_step", full)
        with pytest.raises(LogError, match="the disk is full"):
            mine.run(tmp_path / "run")
    assert summarize(mine.read(tmp_path / "run")).status == "failed"
    assert mine.run(tmp_path / "run").trials("done")[0].is_initial_data


def test_a_campaign_goes_on_from_the_folder_of_another(tmp_path):
    """Its database is a file of structures like others."""
    first = campaign(n=6).run(tmp_path / "a")
    mine = campaign(n=2, initial_structures=tmp_path / "a" / "campaign.db", n_initial=None)
    log = mine.run(tmp_path / "b")
    energies = [trial.energy for trial in first.trials("done")]
    assert [t.energy for t in log.trials("done") if t.is_initial_data] == energies


def test_ask_begins_with_the_structures_of_the_user(tmp_path):
    mine = campaign(initial_structures=start(None, None, True), n_initial=None)
    with mine.open(tmp_path / "run") as opened:
        asked = opened.ask(9)
        assert [trial.generator for trial in asked] == ["initial_structures"] * 2
        opened.tell(asked[0], Evaluation(1.0))
        (more,) = opened.ask(1)
        assert more.mean is not None
        with pytest.raises(InputError, match="`trial` must be one without a result"):
            opened.tell(mine.log.trials()[0], Evaluation(1.0))


def test_its_parts_can_be_read_and_not_replaced():
    parts = Campaign(Box(), Function(energy))
    assert parts.space is parts.components.space
    assert parts.evaluator is parts.components.evaluator
    assert parts.surrogate is parts.components.surrogate
    assert parts.acquisition is parts.components.acquisition
    assert parts.search is parts.components.search
    assert parts.objectives == ()
    assert parts.stop.reason(stop.Progress(energies=(1.0,) * 1000))
    for name in ("space", "evaluator", "surrogate", "acquisition", "search", "objectives", "stop"):
        with pytest.raises(AttributeError):
            setattr(parts, name, None)


def magnetic_slab():
    slab = fcc111("Ni", (2, 2, 2), vacuum=7)
    slab.set_initial_magnetic_moments([0.6] * 8)
    slab.set_constraint(FixAtoms(range(8)))
    return slab


def cations():
    ions = [molecule("CH4") for _ in range(3)]
    for k, ion in enumerate(ions):
        ion.positions[1] *= 1 + 0.1 * k
        ion.info |= {"charge": 1, "spin": 2}
        ion.set_initial_magnetic_moments([1, 0, 0, 0, 0])
        ion.set_initial_charges([1, 0, 0, 0, 0])
        ion.set_tags([1, 2, 2, 2, 2])
    return ions


def test_what_structures_carry_reaches_the_evaluator(tmp_path):
    seen = []

    def look(atoms):
        seen.append(atoms.copy())
        atoms.calc = EMT()
        return atoms.get_potential_energy(), atoms.get_forces()

    for name, space in (
        ("pool", Pool(cations(), assume_distinct=True)),
        ("surface", Surface(magnetic_slab(), "Cu")),
    ):
        seen.clear()
        made = Campaign(space, Function(look), stop=stop.Evaluations(3), n_initial=2)
        log = made.run(tmp_path / name, seed=0)
        for atoms, trial in zip(seen, log.trials(), strict=True):
            assert trial.atoms == atoms  # in the log as well
            assert trial.atoms.info == atoms.info
        if name == "pool":
            assert all(atoms.info == {"charge": 1, "spin": 2} for atoms in seen)
            assert all(atoms.get_initial_magnetic_moments()[0] == 1 for atoms in seen)
            assert all(atoms.get_initial_charges()[0] == 1 for atoms in seen)
            assert all(atoms.get_tags()[1] == 2 for atoms in seen)
            (best,) = export.images_to_export(log)
            assert best.info.items() >= {"charge": 1, "spin": 2}.items()
            rows = tmp_path / name / "campaign.db"
            again = Campaign(space, Function(look), initial_structures=rows)
            assert len(again.components.initial_data.results) == 3
        else:
            moments = seen[-1].get_initial_magnetic_moments()
            assert moments.tolist() == [0.6] * 8 + [0]
            # ASE's zeros on fixed atoms are no training data.
            assert log.structures().forces.reshape(3, 9, 3)[:, :8].isnan().all()
            assert not log.structures().forces.reshape(3, 9, 3)[:, 8:].isnan().any()
        assert verify_log(made.read(tmp_path / name)).problems == ()


def interrupted(folder, number, atoms):
    if not (folder / "again").exists():
        (folder / "again").touch()
        try:
            os.kill(os.getpid(), number)
            time.sleep(60)
        except KeyboardInterrupt:  # a calculator that tidies up
            raise RuntimeError("the program was ended") from None
    return energy(atoms)


def run_interrupted(folder, number):
    """Run a campaign whose evaluator sends a signal to its process, once."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    evaluator = functools.partial(interrupted, folder, number)
    evaluator.__qualname__ = evaluator.__name__ = "interrupted"
    mine = campaign(Function(evaluator), n=5)
    try:
        mine.run(folder / "run")
    except KeyboardInterrupt as error:
        os._exit(143 if isinstance(error, TerminationError) else 130)


@pytest.mark.parametrize(
    ("number", "code", "text"),
    [
        (signal.SIGINT, 130, "by Ctrl-C"),
        pytest.param(signal.SIGTERM, 143, "by SIGTERM", marks=pytest.mark.slow),
    ],
)
def test_a_signal_interrupts_and_blames_nobody(tmp_path, number, code, text):
    for _ in range(3):  # no number of interruptions is a death
        (tmp_path / "again").unlink(missing_ok=True)
        assert processes.call(run_interrupted, tmp_path, number) == code
        found = summarize(Log(tmp_path / "run", Box(), GP()))
        assert (found.status, found.n_failed) == ("interrupted", 0)
        assert found.reason == f"{text}; run the same command again to go on"
    assert processes.call(run_interrupted, tmp_path, number) == 0
    log = Log(tmp_path / "run", Box(), GP())
    assert len(log.trials("done")) == 5
    assert {each.state for each in log.attempts()} == {"interrupted"}


class Deadly:
    """Kills its process for one trial."""

    __qualname__ = __name__ = "Deadly"

    def __init__(self, can_travel):
        self.part = None if can_travel else (i for i in range(3))

    def __call__(self, atoms):
        if current_context().trial == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return energy(atoms)


def run_deadly(folder, can_travel):
    campaign(Function(Deadly(can_travel)), n=6).run(folder)


def test_a_structure_that_kills_this_process_does_it_once(tmp_path):
    """The next run evaluates it in another process."""
    assert processes.call(run_deadly, tmp_path / "run", True) == -signal.SIGKILL
    assert processes.call(run_deadly, tmp_path / "run", True) == 0
    log = Log(tmp_path / "run", Box(), GP())
    (failed,) = log.trials("failed")
    assert (failed.number, failed.attempt) == (2, 2)
    assert failed.reason == "the process of the evaluator died: killed by SIGKILL"
    (attempt,) = log.attempts()
    assert (attempt.trial, attempt.state, attempt.cause) == (2, "died", "resumed")
    assert attempt.reason.endswith("died during the evaluation")
    assert len(log.trials("done")) == 5


@pytest.mark.slow
def test_where_no_other_process_can_take_it_it_does_it_twice(tmp_path):
    for _ in range(2):
        assert processes.call(run_deadly, tmp_path / "run", False) == -signal.SIGKILL
    assert processes.call(run_deadly, tmp_path / "run", False) == 0
    log = Log(tmp_path / "run", Box(), GP())
    (failed,) = log.trials("failed")
    assert failed.reason.endswith("died during the evaluation, as one did before")
    assert len(log.trials("done")) == 5


def test_who_was_killed_outside_of_an_evaluation_is_not_blamed(tmp_path):
    """As by the time limit of a batch system, again and again."""
    folder, mine = tmp_path / "run", counting(tmp_path / "calls", 6)
    for _ in range(4):
        with mine.open(folder):
            mine.ask(2)
            writer = mine._session.writer
            writer._disconnect()  # as after SIGKILL: nothing is recorded
            writer._lock.release()
    log = mine.run(folder)
    assert len(log.trials("done")) == 6
    assert {each.state for each in log.attempts()} == {"interrupted"}


def test_a_session_of_ask_and_tell_that_ctrl_c_ends(tmp_path):
    mine = campaign(n=3)
    with pytest.raises(KeyboardInterrupt), mine.open(tmp_path / "run"):
        raise KeyboardInterrupt
    assert summarize(mine.log).status == "interrupted"
    with pytest.raises(SystemExit), mine.open(tmp_path / "run"):
        raise SystemExit
    found = summarize(mine.log)
    assert (found.status, found.reason.split(";")[0]) == ("interrupted", "by SystemExit")


def test_a_script_of_an_earlier_version_goes_on(tmp_path, monkeypatch):
    """Its function was described without a module, and is described with one today."""
    script = ModuleType("__main__")
    script.__file__ = str(tmp_path / "mine.py")
    monkeypatch.setitem(sys.modules, "__main__", script)

    def found(atoms):
        return energy(atoms)

    found.__module__ = "__main__"
    with without_entry_point_names():
        campaign(Function(found), n=4).run(tmp_path / "run")
    run = campaign(Function(found), n=5)
    log = run.run(tmp_path / "run")
    assert len(log.trials("done")) == 5
    assert "mine." in str(run.description()["evaluator"])
    assert "mine." not in str(log.description["evaluator"])
    found.__module__ = "another"
    with pytest.raises(MismatchError, match=r"evaluator\.function is .* there and .* here"):
        campaign(Function(found), n=6).run(tmp_path / "run")
