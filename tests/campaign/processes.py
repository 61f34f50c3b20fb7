"""Real processes that start at once: forked from a server that has imported torch."""

import functools
import multiprocessing
import os
import time

from bostruct.runtime import atomic_write
from tests.campaign.standin import counting

DIED = 77
"""Exit code of a process that ended itself at a durable step."""


@functools.cache
def context():
    """Return the context of processes that are forked from one which has imported torch."""
    forkserver = multiprocessing.get_context("forkserver")
    forkserver.set_forkserver_preload(["tests.campaign.processes"])
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
    counting(file, n, **arguments).run(folder)


def hold(folder, ready):
    """Keep a folder open until the process is killed."""
    with counting(ready.with_name("calls")).open(folder):
        ready.touch()
        while True:
            time.sleep(1)
