import errno
import fcntl
import json
import os
import socket
import time

import pytest

from bostruct.campaign.log import lock
from bostruct.campaign.log.lock import Lock, is_locked
from bostruct.errors import LockedError
from tests.campaign import processes


def test_only_one_at_a_time(tmp_path):
    assert not is_locked(tmp_path)
    held = Lock(tmp_path)
    assert is_locked(tmp_path)
    with pytest.raises(LockedError, match=f"process {os.getpid()} on"):
        Lock(tmp_path)
    held.release()
    held.release()
    assert not is_locked(tmp_path)
    Lock(tmp_path).release()


def test_another_process_is_named_and_its_death_frees_the_folder(tmp_path):
    folder, ready = tmp_path / "run", tmp_path / "ready"
    process = processes.start(processes.hold, folder, ready)
    deadline = time.monotonic() + 60
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert is_locked(folder)
    host = socket.gethostname()
    with pytest.raises(LockedError, match=f"process {process.pid} on {host}"):
        Lock(folder)
    process.kill()
    process.join()
    assert not is_locked(folder)
    Lock(folder).release()


def test_children_do_not_inherit_it(tmp_path):
    held = Lock(tmp_path)
    child = os.fork()
    if child == 0:
        try:
            time.sleep(60)
        finally:
            os._exit(0)
    held.release()
    try:
        assert not is_locked(tmp_path)
        Lock(tmp_path).release()
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


@pytest.fixture
def no_locks(monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)


@pytest.mark.parametrize(
    ("owner", "free"),
    [
        ({}, True),
        ([], True),
        ({"host": socket.gethostname(), "pid": 2**22 + 1}, True),
        ({"host": socket.gethostname(), "pid": "x"}, True),
        ({"host": socket.gethostname(), "pid": os.getppid()}, False),
        ({"host": "elsewhere", "pid": 1}, False),
    ],
)
def test_without_locks_names_and_hosts_must_do(tmp_path, no_locks, owner, free):
    (tmp_path / lock.LOCK_FILE_NAME).write_text(json.dumps(owner))
    assert is_locked(tmp_path) is not free
    if free:
        Lock(tmp_path).release()
    else:
        with pytest.raises(LockedError, match="is being written by process"):
            Lock(tmp_path)


def test_a_process_of_another_user_lives(tmp_path, no_locks, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    owner = {"host": socket.gethostname(), "pid": 1}
    (tmp_path / lock.LOCK_FILE_NAME).write_text(json.dumps(owner))
    assert is_locked(tmp_path)
