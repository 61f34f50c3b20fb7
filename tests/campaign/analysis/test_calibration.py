"""How honest σ has been, from errors that are known."""

import math
from dataclasses import replace

import pytest
import torch

from bostruct.campaign.analysis.calibration import (
    BELIEF,
    RECENT,
    WORST,
    Calibrated,
    before,
    calibrated,
    needed,
    scores,
)
from bostruct.errors import InputError
from bostruct.uncertainty.calibration.scaling import LEAST
from tests.campaign.planning.test_adaptive_kappa import trial, trials


def normal(n, scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, generator=generator, dtype=torch.float64)
    return tuple((scale * z).tolist())


def test_alpha_is_the_root_of_the_mean_square():
    found = calibrated(trials((3.0,), *[(1.0, 0.0, 0.5)] * 6, *[(0.0, 0.5, 0.5)] * 6))
    assert found.z == (2.0,) * 6 + (-1.0,) * 6
    assert found.alpha == pytest.approx(math.sqrt(2.5), rel=1e-15)
    assert found.z2 == 2.5
    assert found.bias == 0.5
    assert found.factor == found.alpha
    assert found.within(1.0)[0] == 0.5
    assert found.within(2.0)[0] == 1.0


@pytest.mark.parametrize("scale", [2.0, 0.5, 30.0])
def test_a_known_error_of_sigma_is_recovered(scale):
    many = Calibrated(normal(4000, scale), recent=4000)
    assert many.alpha == pytest.approx(scale, rel=0.03)
    low, high = many.interval
    assert 0.95 * scale < low < scale < high < 1.05 * scale
    few = Calibrated(normal(4000, scale))
    low, high = few.interval
    assert low < scale < high
    assert high / low < 2
    expected = few.expect(1.0, 0.25)
    assert expected.calibrated == pytest.approx(few.alpha * 0.5)


@pytest.mark.parametrize("n", [LEAST, 20])
def test_the_interval_holds_the_truth_as_often_as_it_says(n):
    draws = [Calibrated(normal(n, 2.0, seed)).interval for seed in range(1000)]
    held = sum(low < 2 < high for low, high in draws) / len(draws)
    assert held == pytest.approx(0.9, abs=0.03)  # three standard errors


def test_outliers_widen_the_interval():
    even = Calibrated((1.0,) * 20)
    uneven = Calibrated((0.0,) * 19 + (math.sqrt(20),))
    assert even.alpha == pytest.approx(uneven.alpha)
    assert uneven.interval[1] / uneven.interval[0] > 5
    assert even.interval[1] / even.interval[0] < 2


def test_what_is_long_ago_does_not_count():
    old, new = normal(50, 10.0), normal(RECENT, 1.0, seed=1)
    assert Calibrated(old + new).alpha == Calibrated(new).alpha
    assert Calibrated(old + new).quantile() == Calibrated(new).quantile()
    drifted = Calibrated(normal(50) + normal(RECENT // 2, 3.0, seed=2))
    assert drifted.interval[0] > 1
    with pytest.raises(InputError, match="`recent` must be an integer of at least 1"):
        replace(drifted, recent=0)


def test_a_few_predictions_only_widen():
    assert Calibrated(()).factor == 1.0
    assert Calibrated((0.1,) * (LEAST - 1)).factor == 1.0
    few = Calibrated((2.0,) * (LEAST - 1))
    assert few.alpha is None
    assert few.interval is None
    n = LEAST - 1
    assert few.factor == pytest.approx(math.sqrt((BELIEF + 4 * n) / (BELIEF + n)))
    worst = math.sqrt((BELIEF + WORST) / (BELIEF + 1))
    assert Calibrated((1e6,)).factor == pytest.approx(worst)


def test_it_says_what_is_missing():
    none, one = Calibrated(()).notes, Calibrated((1.0,)).notes
    assert none[0].startswith("0 predictions tested: calibrating σ takes 8")
    assert one[1] == "1 prediction tested: intervals of 90% need at least 9"
    assert len(Calibrated((1.0,) * 8).notes) == 1
    assert Calibrated((1.0,) * 9).notes == ()
    exact = Calibrated((0.0,) * 9)
    assert exact.alpha is None
    assert exact.factor == 1.0
    assert exact.notes == ("every prediction was exact: nothing to calibrate by",)


def test_the_quantile_is_exact_in_small_samples():
    z = tuple((-1.0) ** i * (i + 1) for i in range(20))
    assert Calibrated(z[:8]).quantile() == math.inf
    assert Calibrated(z[:9]).quantile() == 9
    assert Calibrated(z[:18]).quantile() == 18
    assert Calibrated(z[:19]).quantile() == 18
    assert Calibrated(z[:18]).quantile(0.05) == math.inf
    assert Calibrated(z[:19]).quantile(0.05) == 19
    found = Calibrated(z[:9]).expect(1.0, 0.25)
    assert (found.low, found.high, found.sigma) == (-3.5, 5.5, 0.5)
    assert [found.holds(e) for e in (5.5, 5.6, None)] == [True, False, None]
    infinite = Calibrated(z[:8]).expect(1.0, 0.25)
    assert (infinite.low, infinite.high, infinite.holds(1.0)) == (None, None, None)


def test_intervals_of_exchangeable_errors_hold_as_promised():
    draws = [normal(10, 3.0, seed) for seed in range(2000)]
    held = [abs(z[-1]) <= Calibrated(z[:-1]).quantile() for z in draws]
    assert sum(held) / len(held) == pytest.approx(0.9, abs=0.02)


def test_needed():
    assert [needed(eps) for eps in (0.5, 1 / 3, 0.1, 0.05, 0.01)] == [1, 2, 9, 19, 99]
    for eps in (0.0, 1.0, -0.1):
        with pytest.raises(InputError, match="`eps` must be between 0 and 1"):
            needed(eps)
        with pytest.raises(InputError, match="`eps` must be between 0 and 1"):
            Calibrated(normal(20)).expect(0.0, 1.0, eps)


def test_before_knows_no_more_than_the_step():
    rows = trials((3.0,), *[(1.0, 0.0, 0.5)] * 12)
    there = before(scores(rows), range(10))
    rows[11] = trial(11, 99.0, 0.0)
    rows[12] = replace(rows[12], state="running", energy=None)
    assert before(scores(rows), range(10)) == there
    assert there.n == 9
    assert calibrated(rows).n == 11


def test_what_a_step_logs():
    few = Calibrated((2.0,) * 3).numbers()
    assert few == {
        "calibration_factor": Calibrated((2.0,) * 3).factor,
        "calibration_tested": 3,
    }
    many = Calibrated(normal(30))
    low, high = many.interval
    assert many.numbers() == {
        "calibration_factor": many.alpha,
        "calibration_low": low,
        "calibration_high": high,
        "calibration_tested": 30,
        "calibration_conformal": many.quantile(),
    }
