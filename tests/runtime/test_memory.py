import pytest

from bostruct.errors import InputError
from bostruct.runtime.memory import check_memory, free_bytes, rows_per_block


def test_an_allocation_beyond_the_free_memory_is_refused():
    with pytest.raises(
        InputError, match=r"`x` must need at most the 1 GiB that are free, got 2 GiB"
    ):
        check_memory("x", 2 * 2**30, 2**30, "Ask for less.")
    assert check_memory("x", 5, 5) == 5


def test_free_memory_is_between_a_megabyte_and_a_petabyte():
    assert 2**20 < free_bytes() < 2**50


def test_rows_of_a_block():
    assert rows_per_block(4, 64) == 2
    assert rows_per_block(10**6, 64) == 1
