import concurrent.futures
import errno
import fcntl
import json
import multiprocessing
import os
import shutil
import socket
import time

import pytest

from bostruct.campaign.log import lock
from bostruct.campaign.log.lock import Lock, is_locked
from bostruct.errors import LockedError, LogError
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


@pytest.fixture(params=[True, pytest.param(False, marks=pytest.mark.slow)])
def description_locks(request, monkeypatch):
    """Record locks of open file descriptions, and the `flock` locks of other systems."""
    if request.param and not lock.HAS_DESCRIPTION_LOCKS:
        pytest.skip("no such locks here")
    monkeypatch.setattr(lock, "HAS_DESCRIPTION_LOCKS", request.param)


def locked_elsewhere(folder):
    """Return whether another process finds the folder locked."""
    arguments = (folder, lock.HAS_DESCRIPTION_LOCKS)
    return processes.call(processes.end_if_locked, *arguments) == processes.LOCKED


def test_a_copy_made_by_the_same_process_keeps_it(tmp_path, description_locks):
    """Whoever closes the file: `shutil.copytree` of an evaluator, or a look at it."""
    folder = tmp_path / "run"
    folder.mkdir()
    held = Lock(folder)
    shutil.copytree(folder, tmp_path / "copy")
    os.close(os.open(folder / lock.LOCK_FILE_NAME, os.O_RDWR))
    assert is_locked(folder)
    with pytest.raises(LockedError):
        Lock(folder)
    assert locked_elsewhere(folder)
    Lock(tmp_path / "copy").release()
    held.release()
    assert not locked_elsewhere(folder)


def test_a_kernel_without_locks_of_descriptions(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    held = Lock(tmp_path)
    assert is_locked(tmp_path)
    held.release()
    assert not is_locked(tmp_path)


def fork_worker(folder, ready):
    """Lock a folder, and leave a forked worker behind that outlives the kill."""
    folder.mkdir()
    Lock(folder)
    pool = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("fork"))
    worker = pool.submit(os.getpid).result()
    ready.with_suffix(".new").write_text(str(worker))
    ready.with_suffix(".new").rename(ready)
    time.sleep(600)


def test_a_worker_that_outlives_the_driver_keeps_no_lock(tmp_path):
    folder, ready = tmp_path / "run", tmp_path / "ready"
    process = processes.start(fork_worker, folder, ready)
    deadline = time.monotonic() + 60
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    worker = int(ready.read_text())
    assert is_locked(folder)
    process.kill()
    process.join()
    try:
        os.kill(worker, 0)  # it lives
        assert not is_locked(folder)
        Lock(folder).release()
    finally:
        os.kill(worker, 9)


def test_no_link_is_followed(tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("precious")
    folder = tmp_path / "run"
    folder.mkdir()
    path = folder / lock.LOCK_FILE_NAME
    path.symlink_to(mine)
    for opens in (Lock, is_locked):
        with pytest.raises(LogError, match=r"campaign\.lock is a link, not a file"):
            opens(folder)
    path.unlink()
    path.hardlink_to(mine)
    with pytest.raises(LogError, match="is no lock file of bostruct"):
        Lock(folder)
    path.unlink()
    path.write_bytes(b" " * 9999)
    with pytest.raises(LogError, match="is no lock file of bostruct"):
        Lock(folder)
    path.unlink()
    os.mkfifo(path)
    for opens in (Lock, is_locked):
        with pytest.raises(LogError, match="is a pipe, not a file"):
            opens(folder)
    path.unlink()
    path.write_text("[" * 4000)
    with pytest.raises(LogError, match="is no lock file of bostruct"):
        Lock(folder)
    assert not is_locked(folder)
    assert mine.read_text() == "precious"


@pytest.fixture
def no_locks(monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "fcntl", refuse)


@pytest.mark.parametrize(
    ("owner", "free"),
    [
        ({}, True),
        ([], True),
        ({"host": socket.gethostname(), "pid": 2**22 + 1}, True),
        ({"host": socket.gethostname(), "pid": "x"}, True),
        ({"host": socket.gethostname(), "pid": os.getppid()}, False),
        ({"host": "elsewhere", "pid": 1}, False),
        ({"host": "elsewhere", "pid": 1, "file": 0}, True),  # of a folder that was copied
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
