"""How honest σ has been, from errors that are known."""

import math
from dataclasses import replace

import pytest
import torch
from scipy import stats

from bostruct.campaign.analysis.calibration import (
    MAX_Z2,
    N_RECENT,
    PRIOR_WEIGHT,
    OnlineCalibration,
    calibration_at_step,
    min_predictions,
    online_calibration,
    trial_z_scores,
    wilson_interval,
)
from bostruct.errors import InputError
from bostruct.uncertainty.calibration.scaling import MIN_POINTS
from tests.campaign.planning.test_adaptive_kappa import trial, trials


def normal(n, scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, generator=generator, dtype=torch.float64)
    return tuple((scale * z).tolist())


def test_alpha_is_the_root_of_the_mean_square():
    found = online_calibration(trials((3.0,), *[(1.0, 0.0, 0.5)] * 6, *[(0.0, 0.5, 0.5)] * 6))
    assert found.z == (2.0,) * 6 + (-1.0,) * 6
    assert found.alpha == pytest.approx(math.sqrt(2.5), rel=1e-15)
    assert found.mean_z2 == 2.5
    assert found.bias == 0.5
    assert found.sigma_factor == found.alpha
    assert found.coverage(1.0)[0] == 0.5
    assert found.coverage(2.0)[0] == 1.0


@pytest.mark.parametrize("scale", [2.0, 0.5, 30.0])
def test_a_known_error_of_sigma_is_recovered(scale):
    many = OnlineCalibration(normal(4000, scale), n_recent=4000)
    assert many.alpha == pytest.approx(scale, rel=0.03)
    low, high = many.alpha_interval
    assert 0.95 * scale < low < scale < high < 1.05 * scale
    few = OnlineCalibration(normal(4000, scale))
    low, high = few.alpha_interval
    assert low < scale < high
    assert high / low < 2
    expected = few.predict(1.0, 0.25)
    assert expected.calibrated_sigma == pytest.approx(few.alpha * 0.5)


@pytest.mark.parametrize("n", [MIN_POINTS, 20])
def test_the_interval_holds_the_truth_as_often_as_it_says(n):
    draws = [OnlineCalibration(normal(n, 2.0, seed)).alpha_interval for seed in range(1000)]
    held = sum(low < 2 < high for low, high in draws) / len(draws)
    assert held == pytest.approx(0.9, abs=0.03)  # three standard errors


def test_outliers_widen_the_interval():
    even = OnlineCalibration((1.0,) * 20)
    uneven = OnlineCalibration((0.0,) * 19 + (math.sqrt(20),))
    assert even.alpha == pytest.approx(uneven.alpha)
    assert uneven.alpha_interval[1] / uneven.alpha_interval[0] > 5
    assert even.alpha_interval[1] / even.alpha_interval[0] < 2


def test_what_is_long_ago_does_not_count():
    old, new = normal(50, 10.0), normal(N_RECENT, 1.0, seed=1)
    assert OnlineCalibration(old + new).alpha == OnlineCalibration(new).alpha
    assert OnlineCalibration(old + new).quantile() == OnlineCalibration(new).quantile()
    drifted = OnlineCalibration(normal(50) + normal(N_RECENT // 2, 3.0, seed=2))
    assert drifted.alpha_interval[0] > 1
    with pytest.raises(InputError, match="`n_recent` must be an integer of at least 1"):
        replace(drifted, n_recent=0)


def test_a_few_predictions_only_widen():
    assert OnlineCalibration(()).sigma_factor == 1.0
    assert OnlineCalibration((0.1,) * (MIN_POINTS - 1)).sigma_factor == 1.0
    few = OnlineCalibration((2.0,) * (MIN_POINTS - 1))
    assert few.alpha is None
    assert few.alpha_interval is None
    n = MIN_POINTS - 1
    assert few.sigma_factor == pytest.approx(math.sqrt((PRIOR_WEIGHT + 4 * n) / (PRIOR_WEIGHT + n)))
    worst = math.sqrt((PRIOR_WEIGHT + MAX_Z2) / (PRIOR_WEIGHT + 1))
    assert OnlineCalibration((1e6,)).sigma_factor == pytest.approx(worst)


def test_it_says_what_is_missing():
    none, one = OnlineCalibration(()).notes, OnlineCalibration((1.0,)).notes
    assert none[0].startswith("0 predictions tested: calibrating σ takes 8")
    assert one[1] == "1 prediction tested: intervals of 90% need at least 9"
    assert len(OnlineCalibration((1.0,) * 8).notes) == 1
    assert OnlineCalibration((1.0,) * 9).notes == ()
    exact = OnlineCalibration((0.0,) * 9)
    assert exact.alpha is None
    assert exact.sigma_factor == 1.0
    assert exact.notes == ("every prediction was exact: nothing to calibrate by",)


def test_the_quantile_is_exact_in_small_samples():
    z = tuple((-1.0) ** i * (i + 1) for i in range(20))
    assert OnlineCalibration(z[:8]).quantile() == math.inf
    assert OnlineCalibration(z[:9]).quantile() == 9
    assert OnlineCalibration(z[:18]).quantile() == 18
    assert OnlineCalibration(z[:19]).quantile() == 18
    assert OnlineCalibration(z[:18]).quantile(0.05) == math.inf
    assert OnlineCalibration(z[:19]).quantile(0.05) == 19
    found = OnlineCalibration(z[:9]).predict(1.0, 0.25)
    assert (found.low, found.high, found.sigma) == (-3.5, 5.5, 0.5)
    assert [found.covers(e) for e in (5.5, 5.6, None)] == [True, False, None]
    infinite = OnlineCalibration(z[:8]).predict(1.0, 0.25)
    assert (infinite.low, infinite.high, infinite.covers(1.0)) == (None, None, None)


def test_intervals_of_exchangeable_errors_hold_as_promised():
    draws = [normal(10, 3.0, seed) for seed in range(2000)]
    held = [abs(z[-1]) <= OnlineCalibration(z[:-1]).quantile() for z in draws]
    assert sum(held) / len(held) == pytest.approx(0.9, abs=0.02)


def test_needed():
    assert [min_predictions(eps) for eps in (0.5, 1 / 3, 0.1, 0.05, 0.01)] == [
        1,
        2,
        9,
        19,
        99,
    ]
    for eps in (0.0, 1.0, -0.1):
        with pytest.raises(InputError, match="`eps` must be between 0 and 1"):
            min_predictions(eps)
        with pytest.raises(InputError, match="`eps` must be between 0 and 1"):
            OnlineCalibration(normal(20)).predict(0.0, 1.0, eps)


def test_before_knows_no_more_than_the_step():
    rows = trials((3.0,), *[(1.0, 0.0, 0.5)] * 12)
    there = calibration_at_step(trial_z_scores(rows), range(10))
    rows[11] = trial(11, 99.0, 0.0)
    rows[12] = replace(rows[12], state="running", energy=None)
    assert calibration_at_step(trial_z_scores(rows), range(10)) == there
    assert there.n == 9
    assert online_calibration(rows).n == 11


def test_what_a_step_logs():
    few = OnlineCalibration((2.0,) * 3).logged_values()
    assert few == {
        "calibration_factor": OnlineCalibration((2.0,) * 3).sigma_factor,
        "calibration_tested": 3,
    }
    many = OnlineCalibration(normal(30))
    low, high = many.alpha_interval
    assert many.logged_values() == {
        "calibration_factor": many.alpha,
        "calibration_low": low,
        "calibration_high": high,
        "calibration_tested": 30,
        "calibration_conformal": many.quantile(),
    }


@pytest.mark.parametrize("n", [1, 7, 20])
def test_intervals_of_proportions_are_wilsons(n):
    """Their ends are the proportions from which the observed one is just 1.96 σ away."""
    assert wilson_interval(0, 0) == (0, 1)
    q = stats.norm.isf(0.025)
    for count in range(n + 1):
        for end in wilson_interval(count, n):
            distance = q * math.sqrt(end * (1 - end) / n)
            assert abs(count / n - end) == pytest.approx(distance, abs=1e-12)
