"""Compiled functions do what they say, with a cache and without one."""

import numpy as np
import pytest

from bostruct import jit
from bostruct.jit import compiled


def total(values):
    found = 0.0
    for i in range(len(values)):
        found += values[i]
    return found


def test_a_function_is_compiled_and_keeps_its_name():
    made = compiled()(total)
    assert made(np.arange(4.0)) == 6.0
    assert made.__name__ == "total"
    assert made.signatures


def test_a_function_without_a_file_is_compiled_without_a_cache():
    """Numba finds no place for a cache there, as where nobody may write."""
    scope = {}
    exec("def twice(x):\n    return 2 * x", scope)
    with pytest.raises(RuntimeError, match="cannot cache"):
        jit._njit(scope["twice"], cache=True)
    assert compiled()(scope["twice"])(3.0) == 6.0


def test_flags_reach_the_compiler():
    made = compiled(fastmath={"contract"})(total)
    assert made.targetoptions["fastmath"] == {"contract"}
