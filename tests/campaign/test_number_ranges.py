import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bostruct.campaign.number_ranges import NumberRanges


@given(st.lists(st.integers(0, 40)))
def test_a_round_trip(numbers):
    ranges = NumberRanges.from_numbers(numbers)
    assert list(ranges) == numbers
    assert ranges == numbers
    assert ranges == tuple(numbers)
    assert len(ranges) == len(numbers)
    assert ranges[1:4] == tuple(numbers[1:4])
    assert {n for n in range(42) if n in ranges} == set(numbers)
    assert hash(ranges) == hash(NumberRanges(ranges.text))


def test_a_run_takes_no_more_room_than_two_numbers():
    assert NumberRanges.from_numbers(range(5000)).text == "[[0,4999]]"
    assert NumberRanges.from_numbers([3, 5, 4]).text == "[3,5,4]"
    assert NumberRanges.from_numbers([]).text == "[]"


def test_lists_of_numbers_of_earlier_formats():
    assert NumberRanges(json.dumps([0, 1, 2, 9])) == [0, 1, 2, 9]
    assert NumberRanges("[4,[6,8]]")[-1] == 8
    with pytest.raises(IndexError):
        NumberRanges("[]")[0]
    assert NumberRanges("[1]") != {1}
    assert repr(NumberRanges("[[0,3]]")) == "NumberRanges('[[0,3]]')"
