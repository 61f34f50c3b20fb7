import os
import signal
import time

import pytest

from bostruct.campaign import RetryPolicy
from bostruct.campaign.engines import DaskWorkers
from bostruct.campaign.log.verify import verify_log
from bostruct.errors import InputError
from bostruct.evaluators import Function, current_context
from tests.campaign.replanned import assert_replanned
from tests.campaign.standin import campaign, energy


@pytest.fixture(scope="module")
def workers():
    executor = DaskWorkers(2)
    yield executor
    executor.shutdown()


def square(x):
    return x * x, os.getpid()


def test_calls_are_computed_elsewhere_and_not_deduplicated(workers):
    futures = [workers.submit(square, 3) for _ in range(4)]
    results = [future.result(60) for future in futures]
    assert {value for value, _ in results} == {9}
    assert os.getpid() not in {pid for _, pid in results}
    error = workers.submit(lambda: {}["no such key"]).exception(60)
    assert isinstance(error, KeyError)


def dies_once(atoms):
    """Kill the process of the first attempt at the fourth trial."""
    context = current_context()
    if (context.trial, context.attempt) == (3, 1):
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return energy(atoms)


def test_a_client_of_the_user_serves_a_campaign_and_stays(workers, tmp_path):
    """A lost worker loses one evaluation, which is made again on another one."""
    workers.submit(int).result(60)
    client = workers._owned[0]
    made = campaign(
        *(Function(dies_once), 8),
        **{"batch_size": 2, "asynchronous": True, "retries": RetryPolicy(delay=0.01)},
        executor=DaskWorkers(client=client),
    )
    made.run(tmp_path / "run")
    log = assert_replanned(made, tmp_path / "run")
    assert {trial.state for trial in log.trial_records()} == {"done"}
    assert {t.number: t.attempt for t in log.trial_records() if t.attempt > 1} == {3: 2}
    (attempt,) = log.attempts()
    assert attempt.reason.startswith("the executor lost the call: KilledWorker")
    assert verify_log(log).is_valid
    assert client.submit(int).result(60) == 0


def test_the_address_of_a_scheduler(workers, tmp_path):
    workers.submit(int).result(60)
    address = workers._owned[1].scheduler_address
    executor = DaskWorkers(client=address)
    campaign(n=3, executor=executor).run(tmp_path / "run")
    assert executor._executor is None  # its own client ended with the run
    assert workers.submit(square, 2).result(60)[0] == 4


def test_no_scheduler_at_an_address(monkeypatch):
    monkeypatch.setattr("bostruct.campaign.engines.dask_workers.START_SECONDS", 0.2)
    with pytest.raises(InputError, match="`client` must be the address of a Dask scheduler, got"):
        DaskWorkers(client="tcp://127.0.0.1:9").submit(int)


def test_refuses_what_is_no_count_and_a_machine_without_dask(monkeypatch):
    with pytest.raises(InputError, match="`n_workers` must be an integer of at least 1"):
        DaskWorkers(0)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'bostruct\[dask\]'"):
        DaskWorkers()
