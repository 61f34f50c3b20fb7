import json
import math

import pytest

from bostruct.bench.single_objective.run import Belief, Run


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


BELIEFS = (
    None,
    Belief(2.0, 0.5, 1.0),  # z = 1 of an energy of 3
    Belief(1.0, 0.5, 1.0),  # z = 2
    Belief(3.0, 0.5, 1.0),  # the evaluator failed
)


def test_calibration_counts_what_was_predicted_before_it_was_known():
    found = run((3.0, 3.0, 3.0, None), beliefs=BELIEFS)
    assert found.squares == [1.0, 4.0]
    assert (found.z2, found.within) == (2.5, 0.5)
    nothing = run((3.0,))
    assert (nothing.squares, nothing.z2, nothing.within) == ([], None, None)
    beyond = run((3.0, 3.0, 3.0), cap=2, beliefs=BELIEFS)
    assert beyond.squares == [1.0]


@pytest.mark.parametrize(
    "belief", [Belief(math.nan, 1.0, 1.0), Belief(0.0, 1.0, math.nan), Belief(1, 0, 0)]
)
def test_what_is_no_number_is_infinitely_wrong(belief):
    found = run((3.0,), beliefs=(belief,))
    assert found.squares == [math.inf]
    assert found.within == 0.0
    text = json.loads(json.dumps(found.json(), allow_nan=False))
    assert text["z2"] is None


def test_predictions_in_json():
    (first, second, *_) = run((3.0, 3.0), beliefs=BELIEFS).json()["predictions"]
    assert first is None
    assert second == {"mean": 2.0, "latent": 0.5, "observed": 1.0}
