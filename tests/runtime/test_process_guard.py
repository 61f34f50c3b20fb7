"""Programs end with the process that started them, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]

OWNER = """
import subprocess, sys, time
from bostruct.runtime.process_guard import guarded_programs

script = "import time; time.sleep(60)"
nested = "import subprocess, sys; subprocess.run([sys.executable, '-c', " + repr(script) + "])"
with guarded_programs(), guarded_programs():
    children = [
        subprocess.Popen([sys.executable, "-c", nested]),
        subprocess.Popen([sys.executable, "-c", script], start_new_session=True),
    ]
print(*[child.pid for child in children], flush=True)
time.sleep(60)
"""


def is_alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition, seconds=15.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_programs_end_with_their_owner(how):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", OWNER]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as owner:
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert wait_until(lambda: psutil.Process(pids[0]).children())
        pids += [child.pid for child in psutil.Process(pids[0]).children()]
        assert len(pids) == 3
        owner.send_signal(how)
        owner.wait()
        assert wait_until(lambda: not any(map(is_alive, pids)))


def test_programs_of_others_go_on():
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        script = (
            "import subprocess, sys\n"
            "from bostruct.runtime.process_guard import guarded_programs\n"
            "with guarded_programs():\n    pass\n"
            "sleep = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
            "print(subprocess.Popen(sleep, stdout=subprocess.DEVNULL).pid)\n"
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, check=True, stdout=subprocess.PIPE
        )
        time.sleep(1.0)
        assert is_alive(other.pid)
        assert is_alive(int(done.stdout))  # started outside of an evaluation
        os.kill(int(done.stdout), signal.SIGKILL)
    finally:
        other.kill()
        other.wait()
