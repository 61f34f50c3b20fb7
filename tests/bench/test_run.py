import json

import pytest

from bostruct.bench.run import Run


def run(energies, cap=5, **more):
    return Run("task", "method", 0, cap, target=1.0, energies=energies, **more)


@pytest.mark.parametrize(
    ("energies", "expected"),
    [
        ((), None),
        ((3.0, 2.0), None),
        ((3.0, 1.0, 0.5), 2),
        ((None, None, 0.9), 3),
        ((2.0, 2.0, 2.0, 2.0, 0.9), 5),
        ((2.0, 2.0, 2.0, 2.0, 2.0, 0.9), None),
    ],
)
def test_failed_evaluations_count_and_what_is_beyond_the_cap_does_not(
    energies, expected
):
    assert run(energies).evaluations == expected


def test_finished_when_solved_or_at_the_cap_or_broken():
    assert not run((3.0,)).finished
    assert run((3.0, 1.0)).finished
    assert run((3.0, None, 3.0, 3.0, 3.0)).finished
    assert run((3.0,), reason="its process died").finished


def test_best_is_the_lowest_within_the_cap():
    assert run((3.0, None, 2.0)).best == 2.0
    assert run((3.0, 3.0, 3.0, 3.0, 3.0, 0.0)).best == 3.0
    assert run((None,)).best is None


def test_json():
    found = run((3.0, None, 1.0), seconds=((0.5, 1.0, 0.25),)).json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["evaluations"], found["finished"], found["best"]) == (3, True, 1.0)
    assert found["energies"] == [3.0, None, 1.0]
    assert found["seconds"] == [{"fit": 0.5, "search": 1.0, "log": 0.25}]


def test_own_time_is_the_sum_of_its_parts():
    assert run((), seconds=((0.5, 1.0, 0.25), (1.0, 1.0, 1.0))).own == [1.75, 3.0]
