import pytest

from bostruct.errors import LogError
from bostruct.runtime.canonical_json import (
    describe_differences,
    parse_json,
    to_canonical_json,
)


def test_canonical_json_does_not_depend_on_order():
    assert to_canonical_json({"a": 1, "b": [1, 2]}) == to_canonical_json({"b": (1, 2), "a": 1})


def test_equal_descriptions_have_no_differences():
    there = {"a": {"b": [1, 2.5, None]}, "c": "x"}
    assert describe_differences(there, {"c": "x", "a": {"b": (1, 2.5, None)}}) == []


def test_differences_are_named():
    there = {"space": {"formula": "Cu15", "radius": 5.0}, "batch": 1}
    here = {"space": {"formula": "Cu13", "kind": "cluster"}, "batch": 1}
    assert describe_differences(there, here) == [
        'space.formula is "Cu15" there and "Cu13" here',
        'space.kind is absent there and "cluster" here',
        "space.radius is 5.0 there and absent here",
    ]


def test_long_values_are_shortened():
    (phrase,) = describe_differences({"a": "x" * 500}, {"a": 1})
    assert len(phrase) < 120


def test_refuses_values_that_json_cannot_hold():
    with pytest.raises(TypeError, match="not JSON serializable"):
        to_canonical_json({"a": object()})


def test_json_of_anybody():
    assert parse_json('{"a": 1, "b": 2.5}', "x", dict, (int, float)) == {"a": 1, "b": 2.5}
    assert parse_json("[1, 2]", "x", list, int) == [1, 2]
    for text in ("[" * 100_000, '{"a":' * 100_000, "", "{", "nul", "1" * 5_000):
        for kind in (dict, list):
            with pytest.raises(LogError, match="x is not JSON that can be read"):
                parse_json(text, "x", kind, object)
    for text in ("[]", "1", "null", '"a"', '{"a": "1"}', '{"a": null}'):
        with pytest.raises(LogError, match="x is not a JSON object as bostruct writes it"):
            parse_json(text, "x", dict, (int, float))
    for text in ("{}", "1", "null", "[1.5]", "[[1]]"):
        with pytest.raises(LogError, match="x is not a JSON array as bostruct writes it"):
            parse_json(text, "x", list, int)
