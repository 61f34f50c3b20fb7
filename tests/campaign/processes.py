"""Real processes that start at once: forked from a server that has imported torch."""

import functools
import multiprocessing
import os
import time

import torch

from bostruct.campaign.engines import make_engine
from bostruct.campaign.log import database, lock, run_folder
from bostruct.campaign.session import Session
from bostruct.evaluators import Evaluation
from bostruct.runtime import atomic_write
from bostruct.runtime.executors import PRELOADED_MODULES
from tests.campaign import sqlite_writes
from tests.campaign.standin import counting, energy

DIED = 77
"""Exit code of a process that ended itself at a durable step."""


LOCKED = 78
"""Exit code of a process that found a folder locked."""


@functools.cache
def context():
    """Return the context of processes that are forked from one which has imported torch."""
    forkserver = multiprocessing.get_context("forkserver")
    forkserver.set_forkserver_preload(PRELOADED_MODULES)
    return forkserver


def start(target, *arguments):
    """Start a process that calls the function."""
    process = context().Process(target=target, args=arguments)
    process.start()
    return process


def call(target, *arguments):
    """Call a function in a process and return its exit code."""
    process = start(target, *arguments)
    process.join(120)
    return process.exitcode


def run(folder, file, n, **arguments):
    """Run a counting campaign to its end."""
    counting(file, n, **arguments).run(folder)


def die_at(step, folder, file, n, arguments):
    """Run it, but end the process before the durable operation of that number."""
    left = [step]

    def counted(operation):
        @functools.wraps(operation)
        def wrapped(*given, **named):
            left[0] -= 1
            if left[0] < 0:
                os._exit(DIED)
            return operation(*given, **named)

        return wrapped

    os.fsync = counted(os.fsync)
    os.replace = counted(os.replace)
    os.open = counted(os.open)
    os.mkdir = counted(os.mkdir)
    atomic_write.commit = counted(atomic_write.commit)
    atomic_write.checkpoint = counted(atomic_write.checkpoint)
    counting(file, n, **arguments).run(folder)


def pretend_network_file_system():
    """Let this process take every folder for one on a network file system."""
    run_folder.file_system_type = database.file_system_type = lambda _: "nfs4"


def die_at_write(count, folder, calls, acknowledged, n, is_network):
    """Run a campaign; SIGKILL at SQLite's write of that number.

    Energies are acknowledged in a file, as an evaluator may know them.
    """
    if is_network:
        pretend_network_file_system()
    tell = Session.tell

    def tell_and_acknowledge(session, trial, result):
        recorded = tell(session, trial, result)
        with acknowledged.open("a") as out:
            out.write(f"{trial.X.numpy().tobytes().hex()} {result.energy!r}\n")
        return recorded

    Session.tell = tell_and_acknowledge
    sqlite_writes.kill_at(count)
    counting(calls, n).run(folder)


def hold(folder, ready):
    """Keep a folder open until the process is killed."""
    with counting(ready.with_name("calls")).open(folder):
        ready.touch()
        while True:
            time.sleep(1)


def end_if_locked(folder, has_description_locks):
    """End with `LOCKED` if a process writes in the folder."""
    lock.HAS_DESCRIPTION_LOCKS = has_description_locks
    if lock.is_locked(folder):
        os._exit(LOCKED)


def ask_and_tell(folder, n, **arguments):
    """Evaluate one structure in sessions of their own for question and answer, until all are."""
    while True:
        made = counting(folder.with_name("calls"), **arguments)
        with made.open(folder, wait=60) as opened:
            if len(opened.log.trial_records()) >= n:
                return
            (trial,) = opened.ask(1)
        value, forces = energy(trial.atoms)
        time.sleep(0.05)
        with made.open(folder, wait=60) as opened:
            opened.tell(trial.key, Evaluation(value, torch.tensor(forces)))


def run_on_engine(folder, file, n, q, engine):
    """Run an asynchronous campaign whose evaluations take 15 to 45 ms each."""
    counting(file, n, asynchronous=True, batch_size=q, seconds=0.03).run(
        folder, executor=make_engine(engine, q), progress=False
    )
