import pytest

from bostruct.runtime.canonical_json import canonical, differences


def test_canonical_does_not_depend_on_order():
    assert canonical({"a": 1, "b": [1, 2]}) == canonical({"b": (1, 2), "a": 1})


def test_nothing_differs():
    there = {"a": {"b": [1, 2.5, None]}, "c": "x"}
    assert differences(there, {"c": "x", "a": {"b": (1, 2.5, None)}}) == []


def test_what_differs_is_named():
    there = {"space": {"formula": "Cu15", "radius": 5.0}, "batch": 1}
    here = {"space": {"formula": "Cu13", "kind": "cluster"}, "batch": 1}
    assert differences(there, here) == [
        'space.formula is "Cu15" there and "Cu13" here',
        'space.kind is absent there and "cluster" here',
        "space.radius is 5.0 there and absent here",
    ]


def test_long_values_are_shortened():
    (phrase,) = differences({"a": "x" * 500}, {"a": 1})
    assert len(phrase) < 120


def test_refuses_what_json_cannot_hold():
    with pytest.raises(TypeError, match="not JSON serializable"):
        canonical({"a": object()})
