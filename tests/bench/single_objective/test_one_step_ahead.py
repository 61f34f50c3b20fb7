import math

import numpy as np
import pytest

from bostruct.bench.single_objective.one_step_ahead import (
    ALL_TASKS,
    central_coverage,
    median_z2,
    score_methods,
    score_one_step_ahead,
)
from bostruct.bench.single_objective.run import EnergyPrediction, Run


def run(z, task="a", method="bostruct", seed=0):
    """Return a run of predicted energies with given errors over σ = 2."""
    energies = (5.0, *(1.0 + 2 * value for value in z))
    predictions = (None, *(EnergyPrediction(1.0, 1.0, 2.0) for _ in z))
    return Run(task, method, seed, 100, -math.inf, energies, predictions)


def test_right_predictions_have_the_nominal_scores():
    z = np.random.default_rng(0).standard_normal(20_000)
    scores = score_one_step_ahead("a", [run(z[k : k + 50]) for k in range(0, len(z), 50)])
    assert scores.coverage_50 == pytest.approx(0.5, abs=0.01)
    assert scores.coverage_90 == pytest.approx(0.9, abs=0.01)
    assert scores.coverage_95 == pytest.approx(0.95, abs=0.01)
    assert scores.z2_median == pytest.approx(1.0, abs=0.05)
    assert scores.z2 == pytest.approx(1.0, abs=0.03)
    assert scores.z_mean == pytest.approx(0.0, abs=0.02)


def test_what_a_campaign_states_has_learnt_from_its_errors():
    """Energies 1.5 σ above the mean with twice the σ, and right ones."""
    z = np.random.default_rng(1).standard_normal((200, 30))
    wrong = score_one_step_ahead("a", [run(1.5 + 2 * each) for each in z])
    assert wrong.coverage_90 < 0.6
    assert wrong.stated_90 == pytest.approx(0.9, abs=0.03)
    assert wrong.stated_95 == pytest.approx(0.95, abs=0.03)
    right = score_one_step_ahead("a", [run(each) for each in z])
    found = (right.stated_50, right.stated_90, right.stated_95)
    assert found == pytest.approx((0.5, 0.9, 0.95), abs=0.05)


def test_a_sigma_of_half_its_size_has_four_times_the_squares():
    z = np.random.default_rng(0).standard_normal(2001)
    assert median_z2(2 * z) == pytest.approx(4 * median_z2(z))
    assert central_coverage(2 * z, 0.95) == pytest.approx(math.erf(1.959964 / 8**0.5), abs=0.02)


def test_ends_of_intervals():
    z = [-0.6744, 0.6746, 1.6448, -1.6449, 1.9599, 1.96]
    assert central_coverage(z, 0.5) == 1 / 6
    assert central_coverage(z, 0.9) == pytest.approx(3 / 6)
    assert central_coverage(z, 0.95) == pytest.approx(5 / 6)


def test_early_predictions_of_each_run_are_left_out_of_the_late_score():
    scores = score_one_step_ahead("a", [run([10.0] * 8 + [1.0, 3.0]), run([10.0] * 5)])
    assert (scores.n, scores.n_late, scores.z2_late) == (15, 2, 5.0)
    assert score_one_step_ahead("a", [run([1.0])]).z2_late is None


def test_the_sign_is_that_of_energy_minus_mean():
    assert score_one_step_ahead("a", [run([2.0, 1.0])]).z_mean == 1.5


def test_an_invalid_sigma_is_outside_and_leaves_means_open():
    broken = Run("a", "m", 0, 9, 0.0, (1.0, 1.0), (EnergyPrediction(1.0, 0.0, 0.0),) * 2)
    scores = score_one_step_ahead("a", [broken])
    assert scores.coverage_95 == 0
    assert scores.z2 is scores.z_mean is None


def test_scores_by_task_then_together():
    runs = [run([1.0, 1.0]), run([3.0], task="b"), run([], task="b", method="random search")]
    scores = score_methods(runs)
    assert [(row.task, row.n) for row in scores] == [("a", 2), ("b", 1), (ALL_TASKS, 3)]
    assert scores[-1].z2 == pytest.approx(11 / 3)
    assert score_methods([run([], method="random search")]) == []
