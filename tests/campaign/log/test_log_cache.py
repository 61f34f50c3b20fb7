from dataclasses import fields

import pytest
import torch

from bostruct.campaign.log.log_cache import LogCache
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.verify import verify_log
from bostruct.errors import LogError
from bostruct.evaluators import Evaluation, Failure
from bostruct.runtime import atomic_write
from tests.campaign import alloys
from tests.campaign.standin import GP, Box, campaign


def assert_equal(first, second):
    assert type(first) is type(second)
    for field in fields(first):
        a, b = getattr(first, field.name), getattr(second, field.name)
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b, field.name


def assert_as_on_disk(writer):
    """Compare what the writer holds with what another process reads."""
    fresh = Log(writer.folder)
    for states in ((), ("planned", "running"), ("done",), ("failed", "retracted")):
        held, read = writer.trial_records(*states), fresh.trial_records(*states)
        assert len(held) == len(read)
        for first, second in zip(held, read, strict=True):
            assert_equal(first, second)
    assert len(writer.steps()) == len(fresh.steps())
    for first, second in zip(writer.steps(), fresh.steps(), strict=True):
        assert_equal(first, second)
    for kind in ("initial_data", "random", "model", "relaxation"):
        numbers = {step.number for step in fresh.steps() if step.kind == kind}
        assert writer.step_numbers(kind) == numbers
    for trial in fresh.trial_records():
        assert writer.trial_with_key(trial.key).number == trial.number
        assert writer.trial_with_key(f"{trial.key.rpartition('-')[0]}-99").number == trial.number
    assert writer.trial_with_key("none-1") is None
    assert writer.fingerprint() == fresh.fingerprint()


def result(i):
    forces = torch.full((3, 3), 0.1 * i, dtype=torch.float64)
    return Evaluation(-1.0 * i, forces, {"gap": 1.0 * i}, 0.5, {"code": "x"})


def test_after_every_operation_it_is_what_a_reader_reads(tmp_path):
    run = campaign()
    with run.open(tmp_path):
        writer = run.log
        assert_as_on_disk(writer)
        for i in range(8):
            (trial,) = run.ask()
            assert_as_on_disk(writer)
            if i == 2:
                run.tell(trial, Failure("killed", retryable=True))
                assert_as_on_disk(writer)
                run.tell(trial, Failure("killed again", retryable=True))
            elif i == 3:
                run.abandon(trial, "no")
            elif i == 5:
                continue
            else:
                run.tell(trial, result(i))
            assert_as_on_disk(writer)
        run.retract(1, "another structure")
        assert_as_on_disk(writer)
        writer.mark_doubt(4, "low")
        assert_as_on_disk(writer)
    again = campaign()
    with again.open(tmp_path):
        assert_as_on_disk(again.log)  # the running one is planned again
        assert [trial.attempt for trial in again.log.trial_records("planned")] == [2]
        again.tell(again.ask()[0], result(9))
        assert_as_on_disk(again.log)
    assert verify_log(Log(tmp_path, Box(), GP())).is_valid


def test_with_outcomes(tmp_path):
    run = alloys.campaign()
    evaluator = alloys.Alloy(broken=(2,))
    with run.open(tmp_path):
        for _ in range(6):
            (trial,) = run.ask()
            run.tell(trial, evaluator(trial.structures))
            assert_as_on_disk(run.log)


@pytest.mark.parametrize("is_committed", [False, True])
def test_after_an_interrupted_commit_the_disk_tells(tmp_path, monkeypatch, is_committed):
    run = campaign()
    original = atomic_write.commit

    def interrupted(connection):
        if is_committed:
            original(connection)
        raise KeyboardInterrupt

    with run.open(tmp_path):
        (trial,) = run.ask()
        with monkeypatch.context() as patch:
            patch.setattr(atomic_write, "commit", interrupted)
            with pytest.raises(KeyboardInterrupt):
                run.tell(trial, result(1))
        assert_as_on_disk(run.log)
        assert run.log.trial_records()[0].state == ("done" if is_committed else "running")
        if not is_committed:
            run.tell(trial, result(1))
        run.tell(run.ask()[0], result(2))
        assert_as_on_disk(run.log)


def test_a_closed_writer_reads_the_disk(tmp_path):
    run = campaign()
    with run.open(tmp_path):
        writer = run.log
        run.tell(run.ask()[0], result(1))
    assert_equal(writer.trial_records("done")[0], Log(tmp_path).trial_records("done")[0])
    assert len(writer.steps()) == 1
    with pytest.raises(LogError, match="is closed: open it again"):
        writer.mark_doubt(0, "x")


def test_rows_come_in_the_order_of_their_numbers(log):
    steps, trials = log.steps(), log.trial_records()
    cache = LogCache(steps, trials)
    assert cache.trials() == trials
    assert cache.steps() == steps
    assert (cache.n_steps, cache.n_trials) == (len(steps), len(trials))
    cache.put_trial(trials[3])
    assert cache.trials("done") == trials
