"""Compiled functions do what they say, with a cache and without one."""

import subprocess
import sys

import numpy as np
import pytest

from bostruct.runtime import jit
from bostruct.runtime.jit import lazy_njit


def total(values):
    found = 0.0
    for i in range(len(values)):
        found += values[i]
    return found


@lazy_njit()
def square(x):
    return x * x


@lazy_njit()
def sum_of_squares(values):
    found = 0.0
    for i in range(len(values)):
        found += square(values[i])
    return found


def test_a_function_is_compiled_and_keeps_its_name():
    made = lazy_njit()(total)
    assert made(np.arange(4.0)) == 6.0
    assert made.__name__ == "total"
    assert made.compiled.signatures


def test_compiled_functions_call_each_other():
    assert sum_of_squares(np.arange(4.0)) == 14.0
    assert square(3.0) == 9.0
    assert sum_of_squares.compiled.signatures


def test_importing_compiled_functions_does_not_import_numba():
    code = "import sys, bostruct.runtime.jit, bostruct.descriptors.soap.power_spectrum_numba as c; "
    code += "print('numba' in sys.modules, c.power_spectrum.__name__)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "power_spectrum"]


def test_a_function_without_a_file_is_compiled_without_a_cache():
    """Numba finds no place for a cache there, as where nobody may write."""
    scope = {}
    exec("def twice(x):\n    return 2 * x", scope)
    with pytest.raises(RuntimeError, match="cannot cache"):
        jit._njit(scope["twice"], cache=True)
    assert lazy_njit()(scope["twice"])(3.0) == 6.0


def test_flags_reach_the_compiler():
    made = lazy_njit(fastmath={"contract"})(total)
    assert made.compiled.targetoptions["fastmath"] == {"contract"}
