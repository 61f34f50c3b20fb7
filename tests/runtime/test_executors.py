import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
from pebble import ProcessExpired

from bostruct.campaign.report.summary import summarize
from bostruct.errors import InputError
from bostruct.evaluators import Function
from bostruct.runtime.executors import InProcess, Workers, failure_reason
from tests.campaign.standin import campaign, energy


@pytest.fixture
def workers():
    with Workers(2) as pool:
        yield pool


def test_in_process():
    executor = InProcess()
    assert executor.submit(divmod, 7, 2).result() == (3, 1)
    assert isinstance(executor.submit(divmod, 7, 0).exception(), ZeroDivisionError)
    with pytest.raises(KeyboardInterrupt):
        executor.submit(_interrupt)


def _interrupt():
    raise KeyboardInterrupt


def test_workers_compute_elsewhere_and_start_again(workers):
    closure = 5
    first = workers.submit(lambda x: (x + closure, os.getpid()), 1).result(60)
    assert first[0] == 6
    assert first[1] != os.getpid()
    workers.shutdown()
    workers.shutdown()
    assert workers.submit(lambda: "again").result(60) == "again"
    error = workers.submit(divmod, 1, 0).exception(60)
    assert isinstance(error, ZeroDivisionError)


def test_a_function_is_unpacked_once_in_a_process():
    with Workers(1) as pool:
        counter = _Counter()
        assert [pool.submit(counter).result(60) for _ in range(3)] == [1, 2, 3]


class _Counter:
    count = 0

    def __call__(self):
        self.count += 1
        return self.count


def test_workers_refuse():
    with pytest.raises(InputError, match="`max_workers` must be an integer of at least 1"):
        Workers(0)
    with pytest.raises(InputError, match="`time_limit` must be positive and finite"):
        Workers(time_limit=0)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "took longer than the time limit of 3 s"),
        (ProcessExpired("x", code=-11), "died: killed by SIGSEGV"),
        (ProcessExpired("x", code=-99), "died: killed by signal 99"),
        (ProcessExpired("x", code=3), "died: exit code 3"),
        (MemoryError("x"), "the executor lost the call: MemoryError: x"),
        (BrokenProcessPool(), None),
        (CancelledError(), None),
    ],
)
def test_why_a_call_is_lost(error, reason):
    found = failure_reason(error, 3.0)
    assert (found is None) == (reason is None)
    assert reason is None or reason in found


def test_a_time_limit_without_a_number():
    assert failure_reason(TimeoutError()).endswith("the time limit")


def difficult(file, atoms):
    """Crash, hang, exit, or answer: by the number of the call."""
    with open(file, "a") as out:
        out.write("x")
    number = os.path.getsize(file)
    if number == 2:
        ctypes.string_at(0)
    if number == 3:
        time.sleep(60)
    if number == 4:
        os._exit(5)
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return energy(atoms)


def test_the_campaign_survives_failing_workers(tmp_path):
    evaluator = Function(lambda atoms: difficult(tmp_path / "calls", atoms))
    executor = Workers(1, time_limit=6.0)
    log = campaign(evaluator, n=8, executor=executor).run(tmp_path / "run")
    reasons = [trial.reason for trial in log.trials("failed")]
    assert reasons == [
        "the process of the evaluator died: killed by SIGSEGV",
        "the evaluator took longer than the time limit of 6 s",
        "the process of the evaluator died: exit code 5",
        "the process of the evaluator died: killed by SIGKILL",
    ]
    assert len(log.trials("done")) == 4
    assert executor._pool is None


def test_the_log_does_not_depend_on_where_it_was_computed(tmp_path):
    here = campaign(n=10, batch_size=3).run(tmp_path / "here")
    there = campaign(n=10, batch_size=3).run(tmp_path / "there", executor=Workers(2))
    assert here.fingerprint() == there.fingerprint()
    assert summarize(there).status == "finished"


@pytest.fixture
def _ctrl_c():
    """As on a terminal: a shell starts what runs in its background without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
def test_ctrl_c_ends_the_workers(tmp_path):
    evaluator = Function(lambda atoms: time.sleep(60))
    executor = Workers(1)
    mine = campaign(evaluator, executor=executor)
    here = threading.main_thread().ident
    threading.Timer(2.0, signal.pthread_kill, [here, signal.SIGINT]).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        mine.run(tmp_path / "run")
    assert time.monotonic() - start < 30
    assert executor._pool is None
    assert [trial.state for trial in mine.log.trials()] == ["running"] * 4


ORPHAN = """
import os, sys, time
from pathlib import Path
from bostruct.runtime.executors import Workers
from bostruct.evaluators import Function
from tests.campaign.standin import campaign

def hang(atoms):
    Path("worker").write_text(str(os.getpid()))
    time.sleep(300)

if __name__ == "__main__":
    campaign(Function(hang), executor=Workers(1)).run("run")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_do_not_outlive_a_campaign_that_is_killed(tmp_path):
    root = Path(__file__).parent.parent.parent
    (tmp_path / "mine.py").write_text(ORPHAN)
    process = subprocess.Popen(
        [sys.executable, "mine.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
    )
    file = tmp_path / "worker"
    try:
        wait_for(lambda: file.exists() and file.read_text())
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: not alive(int(file.read_text())))


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid):
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
    return "\nState:\tZ" not in status
