"""Faults of evaluators, each with the reason that the log must give for it."""

import ctypes
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np

from bostruct.evaluators import Evaluation, Failure, current_context
from tests.campaign.standin import energy

PROGRAM = "import time; time.sleep(600)  # left behind by a fault"
"""Program that a fault leaves behind when its process dies."""


class NeedsTwoError(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def raise_value_error():
    raise ValueError("not converged")


def raise_what_needs_arguments():
    raise NeedsTwoError(1, 2)


def raise_what_cannot_be_pickled():
    raise RuntimeError(i for i in range(3))


def raise_keyboard_interrupt():
    raise KeyboardInterrupt("by itself")


def lose_connection():
    raise ConnectionError("the licence server is away")


def recurse():
    return recurse()


def exit_politely():
    sys.exit(0)


def stop_as_fortran_does():
    os._exit(0)


def exit_with_code():
    os._exit(3)


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def crash():
    ctypes.string_at(0)


def hang():
    time.sleep(600)


def leave_a_program_behind():
    subprocess.Popen([sys.executable, "-c", PROGRAM])
    os._exit(1)


def run_a_program_that_fails():
    script = 'print("SCF 40"); print("ZBRENT: fatal error"); raise SystemExit(255)'
    with (current_context().folder / "code.out").open("w") as file:
        subprocess.run([sys.executable, "-c", script], check=True, stdout=file)


def return_not_a_number():
    return math.nan


def return_an_absurd_energy():
    return 1e12


def return_wrong_forces():
    return 1.0, np.zeros((5, 3))


def return_a_generator():
    return (i for i in range(3))


def return_no_reason():
    return Failure(None)


def return_an_unreadable_reason():
    return Failure(b"\xff\xfe \x1b[31m")


def return_a_local_class_without_properties():
    class Local(Evaluation):
        @property
        def properties(self):
            raise LookupError("lost")

    result = object.__new__(Local)
    result.__dict__.update(energy=1.0, forces=None, seconds=0.0, provenance={"f": lambda: None})
    return result


FAULTS = {
    raise_value_error: "raised ValueError: not converged",
    raise_what_needs_arguments: "raised NeedsTwoError: 1 and 2",
    raise_what_cannot_be_pickled: "raised RuntimeError: <generator",
    raise_keyboard_interrupt: "raised KeyboardInterrupt: by itself",
    lose_connection: "raised ConnectionError: the licence server is away",
    recurse: "raised RecursionError: maximum recursion depth",
    exit_politely: "raised SystemExit: 0",
    stop_as_fortran_does: "process of the evaluator died: exit code 0",
    exit_with_code: "process of the evaluator died: exit code 3",
    kill_itself: "process of the evaluator died: killed by SIGKILL",
    crash: "process of the evaluator died: killed by SIGSEGV",
    hang: "took longer than the time limit of 5 s",
    leave_a_program_behind: "process of the evaluator died: exit code 1",
    run_a_program_that_fails: "code.out ends with: SCF 40 | ZBRENT: fatal error",
    return_not_a_number: "the energy is not finite: nan eV",
    return_an_absurd_energy: "the energy is absurd: 1e+12 eV",
    return_wrong_forces: "the forces have the wrong shape: [5, 3], not [3, 3]",
    return_no_reason: "the evaluator gave no reason",
    return_an_unreadable_reason: r"b'\xff\xfe \x1b[31m'",
    return_a_local_class_without_properties: "not a number: lost",
}
"""The faults, each with a part of its reason."""


def fault_of(trial, period):
    """Return the fault of a trial, None for those that have none: one in `period` has."""
    if trial % period != 1:
        return None
    return list(FAULTS)[trial // period % len(FAULTS)]


def faulty_energy(period, atoms):
    """Return the energy of the stand-in, or what the fault of the trial makes of it."""
    fault = fault_of(current_context().trial, period)
    return energy(atoms) if fault is None else fault()
