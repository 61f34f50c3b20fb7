import ctypes
import multiprocessing
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import (
    CancelledError,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import cloudpickle
import pytest

from bostruct.campaign.report.summary import summarize
from bostruct.errors import InputError
from bostruct.evaluators import Function
from bostruct.runtime.executors import (
    InProcess,
    WorkerDiedError,
    Workers,
    call_pickled,
    failure_reason,
    is_in_this_process,
    rebuilt,
)
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


def test_a_pickled_call_keeps_its_function_too():
    counter, arguments = cloudpickle.dumps(_Counter()), cloudpickle.dumps(((), {}))
    assert [call_pickled(counter, arguments) for _ in range(3)] == [1, 2, 3]
    error = cloudpickle.dumps(((7, 0), {}))
    with pytest.raises(ZeroDivisionError):
        call_pickled(cloudpickle.dumps(divmod), error)


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


def exit_silently():
    os._exit(0)  # what the STOP of a Fortran library does


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def crash():
    ctypes.string_at(0)


def ignore_sigterm_and_hang():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (exit_silently, "exit code 0"),
        (kill_itself, "killed by SIGKILL"),
        (crash, "killed by SIGSEGV"),
    ],
)
def test_a_worker_that_ends_is_noticed_and_disturbs_no_other(workers, tmp_path, end, reason):
    def wait_for_file():
        while not (tmp_path / "go").exists():
            time.sleep(0.01)
        return "undisturbed"

    other = workers.submit(wait_for_file)
    error = workers.submit(end).exception(60)
    assert isinstance(error, WorkerDiedError)
    assert str(error) == f"the process of the evaluator died: {reason}"
    assert workers.submit(int).result(60) == 0
    (tmp_path / "go").touch()
    assert other.result(60) == "undisturbed"


def test_a_worker_that_died_between_two_calls_is_replaced():
    with Workers(1) as pool:
        pid = pool.submit(os.getpid).result(60)
        os.kill(pid, signal.SIGKILL)  # the fork server may notice later than the next call
        assert pool.submit(os.getpid).result(60) != pid


class KillsItsReader:
    def __init__(self, path):
        self.path = path

    def __setstate__(self, state):
        with open(state["path"], "a") as file:
            file.write("read\n")
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_call_that_kills_whoever_reads_it_is_sent_twice(tmp_path):
    with Workers(1) as pool:
        call = pool.submit(str, KillsItsReader(str(tmp_path / "log")))
        with pytest.raises(WorkerDiedError, match="SIGKILL"):
            call.result(60)
        assert (tmp_path / "log").read_text() == "read\n" * 2
        assert pool.submit(int, "3").result(60) == 3


class NeedsTwoError(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


class NoTextError(Exception):
    def __str__(self):
        raise ValueError("no text")


def raising(kind, *arguments):
    def function():
        raise kind(*arguments)

    return function


def raising_generator():
    raise ValueError(i for i in range(3))


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("function", "kind", "text"),
    [
        (lambda: (i for i in range(3)), TypeError, "cannot pickle 'generator'"),
        (threading.Lock, TypeError, "cannot pickle '_thread.lock'"),
        (lambda: nested(10**5), pickle.PicklingError, "recursion"),
        (raising(NeedsTwoError, 1, 2), RuntimeError, "NeedsTwoError: .*1 and 2"),
        (raising_generator, RuntimeError, "ValueError: .*generator"),
        (raising(NoTextError, "x"), NoTextError, None),
        (raising(KeyboardInterrupt), KeyboardInterrupt, ""),
        (lambda: sys.exit(0), SystemExit, "0"),
    ],
)
def test_what_cannot_travel_is_the_error_of_one_call(workers, function, kind, text):
    error = workers.submit(function).exception(60)
    assert isinstance(error, kind)
    assert text is None or re.search(text, str(error))
    assert workers.submit(int).result(60) == 0


def test_what_can_travel_does(workers):
    class Local(float):
        pass

    assert workers.submit(lambda: Local(2.5)).result(60) == 2.5
    assert workers.submit(lambda: lambda x: x + 1).result(60)(1) == 2
    assert len(workers.submit(bytes, 30_000_000).result(60)) == 30_000_000


def test_an_answer_that_cannot_be_read_here_is_the_error_of_one_call(workers):
    class Elsewhere:
        def __reduce__(self):
            return _only_in_process, (os.getpid(),)

    error = workers.submit(Elsewhere).exception(60)
    assert isinstance(error, OSError)
    assert workers.submit(int).result(60) == 0


def _only_in_process(pid):
    if pid != os.getpid():
        raise OSError("not here")
    return pid


def test_a_call_that_waits_can_be_cancelled(tmp_path):
    def wait_for_file():
        while not (tmp_path / "go").exists():
            time.sleep(0.01)

    with Workers(1) as pool:
        first = pool.submit(wait_for_file)
        second, third = pool.submit(int), pool.submit(int)
        assert second.cancel()
        (tmp_path / "go").touch()
        assert third.result(60) == 0
        assert first.result(60) is None


def test_shutdown_at_once_ends_calls_that_never_would():
    pool = Workers(1)
    pids = pool.submit(os.getpid)
    hanging, waiting = pool.submit(ignore_sigterm_and_hang), pool.submit(int)
    pid = pids.result(60)
    pool.shutdown(wait=False)
    assert isinstance(
        hanging.exception(0) if not hanging.cancelled() else CancelledError(), CancelledError
    )
    assert waiting.cancelled()
    assert not alive(pid)


def test_a_time_limit_that_no_signal_but_the_last_ends():
    with Workers(1, time_limit=0.5) as pool:
        assert isinstance(pool.submit(ignore_sigterm_and_hang).exception(60), TimeoutError)
        assert pool.submit(int).result(60) == 0


UNGUARDED = """
from bostruct.runtime import executors
executors.check_main_guard = lambda starts_processes: None  # as where it cannot be seen
executors.Workers(1).submit(int).result()
"""


def test_a_worker_that_cannot_start_is_said_at_once(tmp_path):
    (tmp_path / "mine.py").write_text(UNGUARDED)
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [sys.executable, "mine.py"],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 1
    assert "a worker process could not start: exit code 1. A script that" in done.stderr
    assert '`if __name__ == "__main__":`' in done.stderr.splitlines()[-1]


def test_where_calls_run():
    with ThreadPoolExecutor(1) as threads, ProcessPoolExecutor(1) as processes:
        assert is_in_this_process(InProcess())
        assert is_in_this_process(threads)
        assert not is_in_this_process(processes)
        assert not is_in_this_process(Workers())


def test_a_broken_pool_is_rebuilt_with_its_settings():
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(2, context, time.sleep, (0.0,), max_tasks_per_child=5) as pool:
        assert isinstance(pool.submit(os._exit, 0).exception(60), BrokenProcessPool)
        again = rebuilt(pool)
        for name in ("max_workers", "mp_context", "initializer", "initargs", "max_tasks_per_child"):
            assert getattr(again, f"_{name}") == getattr(pool, f"_{name}")
        assert again.submit(int).result(60) == 0
        again.shutdown()


def test_other_executors_cannot_be_rebuilt():
    class Mine(ProcessPoolExecutor):
        pass

    with Mine(1) as mine, ThreadPoolExecutor(1) as threads:
        assert rebuilt(mine) is None
        assert rebuilt(threads) is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "took longer than the time limit of 3 s"),
        (WorkerDiedError(-11), "died: killed by SIGSEGV"),
        (WorkerDiedError(-99), "died: killed by signal 99"),
        (WorkerDiedError(3), "died: exit code 3"),
        (MemoryError("x"), "the executor lost the call: MemoryError: x"),
        (BrokenProcessPool(), None),
        (CancelledError(), "the executor cancelled the call"),
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


@pytest.mark.slow
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
    except (FileNotFoundError, ProcessLookupError):
        return False
    return "\nState:\tZ" not in status
