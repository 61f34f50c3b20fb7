import json
import math

import pytest

from bostruct.bench.single_objective.run import EnergyPrediction, Run


def run(energies, max_evaluations=5, **more):
    return Run("task", "method", 0, max_evaluations, target_energy=1.0, energies=energies, **more)


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
def test_failed_evaluations_count_and_what_is_beyond_the_cap_does_not(energies, expected):
    assert run(energies).evaluations_to_success == expected


def test_finished_when_solved_or_at_the_cap_or_broken():
    assert not run((3.0,)).is_finished
    assert run((3.0, 1.0)).is_finished
    assert run((3.0, None, 3.0, 3.0, 3.0)).is_finished
    assert run((3.0,), reason="its process died").is_finished


def test_best_is_the_lowest_within_the_cap():
    assert run((3.0, None, 2.0)).best_energy == 2.0
    assert run((3.0, 3.0, 3.0, 3.0, 3.0, 0.0)).best_energy == 3.0
    assert run((None,)).best_energy is None


def test_json():
    found = run((3.0, None, 1.0), step_seconds=((0.5, 1.0, 0.25),)).json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["evaluations_to_success"], found["is_finished"], found["best_energy"]) == (
        3,
        True,
        1.0,
    )
    assert found["energies"] == [3.0, None, 1.0]
    assert found["step_seconds"] == [{"fit": 0.5, "search": 1.0, "log": 0.25}]


def test_own_time_is_the_sum_of_its_parts():
    assert run((), step_seconds=((0.5, 1.0, 0.25), (1.0, 1.0, 1.0))).total_step_seconds == [
        1.75,
        3.0,
    ]


BELIEFS = (
    None,
    EnergyPrediction(2.0, 0.5, 1.0),  # z = 1 of an energy of 3
    EnergyPrediction(1.0, 0.5, 1.0),  # z = 2
    EnergyPrediction(3.0, 0.5, 1.0),  # the evaluator failed
)


def test_calibration_counts_what_was_predicted_before_it_was_known():
    found = run((3.0, 3.0, 3.0, None), predictions=BELIEFS)
    assert found.z2_values == [1.0, 4.0]
    assert (found.z2, found.coverage_1sigma) == (2.5, 0.5)
    nothing = run((3.0,))
    assert (nothing.z2_values, nothing.z2, nothing.coverage_1sigma) == ([], None, None)
    beyond = run((3.0, 3.0, 3.0), max_evaluations=2, predictions=BELIEFS)
    assert beyond.z2_values == [1.0]


@pytest.mark.parametrize(
    "belief",
    [
        EnergyPrediction(math.nan, 1.0, 1.0),
        EnergyPrediction(0.0, 1.0, math.nan),
        EnergyPrediction(1, 0, 0),
    ],
)
def test_what_is_no_number_is_infinitely_wrong(belief):
    found = run((3.0,), predictions=(belief,))
    assert found.z2_values == [math.inf]
    assert found.coverage_1sigma == 0.0
    text = json.loads(json.dumps(found.json(), allow_nan=False))
    assert text["z2"] is None


def test_predictions_in_json():
    (first, second, *_) = run((3.0, 3.0), predictions=BELIEFS).json()["predictions"]
    assert first is None
    assert second == {"mean": 2.0, "latent_std": 0.5, "predictive_std": 1.0}
