import math

import pytest
import torch
from scipy import stats

from bostruct.errors import InputError
from bostruct.uncertainty.calibration.residuals import Residuals
from bostruct.uncertainty.calibration.scores import (
    calibration_curve,
    coverage,
    crps,
    dispersion,
    miscalibration_area,
    nll,
    sharpness,
    sparsification_error,
    spearman,
)

ALL = (sharpness, dispersion, nll, crps, coverage, spearman, sparsification_error)
TOOLBOX = Residuals.from_arrays([1.5, 3, 2], [1, 2, 3], [0.01, 0.25, 1.0])


def gaussian(*shape, scale=1.0, seed=0):
    """Residuals whose predicted standard deviations are `scale` times the true."""
    draws = torch.Generator().manual_seed(seed)
    s = (0.7 * torch.randn(shape, generator=draws, dtype=torch.float64)).exp()
    e = s * torch.randn(shape, generator=draws, dtype=torch.float64)
    return Residuals(e, (scale * s) ** 2)


def test_numbers_of_the_uncertainty_toolbox():
    assert float(sharpness(TOOLBOX)) == pytest.approx(0.648074, abs=5e-7)
    assert float(nll(TOOLBOX)) == pytest.approx(4.920361, abs=5e-7)
    assert float(crps(TOOLBOX)) == pytest.approx(0.590806, abs=5e-7)


@pytest.mark.parametrize(
    ("definition", "area", "rms", "mean"),
    [("interval", 0.377104, 0.416576, 0.373333), ("quantile", 0.239162, 0.303626, 0.237576)],
)
def test_curves_of_the_uncertainty_toolbox(definition, area, rms, mean):
    found = miscalibration_area(TOOLBOX, definition=definition, n_levels=100)
    assert float(found.area) == pytest.approx(area, abs=5e-7)
    assert found.definition == definition
    p = torch.linspace(0, 1, 100, dtype=torch.float64)
    gap = calibration_curve(TOOLBOX, p, definition=definition) - p
    assert float(gap.square().mean().sqrt()) == pytest.approx(rms, abs=5e-7)
    assert float(gap.abs().mean()) == pytest.approx(mean, abs=5e-7)


def test_errors_of_zero_and_huge_errors_have_one_area():
    """And signs that tell them apart; 0.495 is the sum over 99 levels."""
    ones, p = torch.ones(50, dtype=torch.float64), torch.arange(1, 100) / 100.0
    for error, sign in ((0 * ones, 1), (1e9 * ones, -1)):
        held = Residuals(error, ones)
        found = miscalibration_area(held)
        assert float(found.area) == pytest.approx(0.5, abs=1e-15)
        assert float(found.signed_area) == pytest.approx(0.5 * sign, abs=1e-15)
        assert float((calibration_curve(held, p) - p).abs().sum() / 100) == pytest.approx(0.495)


@pytest.mark.parametrize("c", [0.5, 1.0, 2.0])
def test_the_signed_area_of_a_wrong_scale(c):
    """(2/π) atan(c) - 1/2, ± 0.20483 at 2 and 1/2; negative is overconfident."""
    found = miscalibration_area(gaussian(100_000, scale=c))
    law = (2 / math.pi) * math.atan(c) - 0.5
    assert float(found.signed_area) == pytest.approx(law, abs=0.004)
    if c != 1:
        assert float(found.area) == pytest.approx(0.20483, abs=0.004)


def test_quantiles_give_half_the_area_of_intervals():
    held = gaussian(100_000, scale=3.0)
    both = [miscalibration_area(held, definition=x).area for x in ("interval", "quantile")]
    assert float(both[0] / both[1]) == pytest.approx(2, abs=0.05)


def test_quantiles_see_the_sign_of_a_shift():
    held = gaussian(10_000)
    for shift in (0.5, -0.5):  # of the means
        moved = Residuals(held.error - shift * held.std, held.variance)
        found = miscalibration_area(moved, definition="quantile")
        assert float(found.signed_area) * shift > 0


def test_the_grid_approaches_the_integral():
    held = gaussian(200, scale=0.6)
    for definition in ("interval", "quantile"):
        exact = miscalibration_area(held, definition=definition)
        grid = miscalibration_area(held, definition=definition, n_levels=20_001)
        torch.testing.assert_close(grid.area, exact.area, atol=1e-5, rtol=0)
        torch.testing.assert_close(grid.signed_area, exact.signed_area, atol=1e-5, rtol=0)


def test_closed_forms_of_one_point():
    one = Residuals.from_arrays([0.0], [0.0], [1.0])
    assert float(nll(one)) == pytest.approx(0.5 * math.log(2 * math.pi))
    assert float(crps(one)) == pytest.approx((math.sqrt(2) - 1) / math.sqrt(math.pi))


def test_crps_is_its_integral():
    """∫ (Φ((x - m) / s) - [x > y])² dx, by the midpoint rule."""
    y, m, s = 0.7, -0.2, 0.4
    x = torch.linspace(-5, 5, 200_001, dtype=torch.float64)
    middle = (x[1:] + x[:-1]) / 2
    step = torch.special.ndtr((middle - m) / s) - (middle > y).double()
    integral = float((step.square() * x.diff()).sum())
    assert float(crps(Residuals.from_arrays([y], [m], [s**2]))) == pytest.approx(integral, abs=1e-6)


def test_crps_of_a_certain_prediction_is_its_error():
    held = Residuals.from_arrays([2.0, -1.0], [0.0, 0.0], [1e-16, 1e-16])
    assert float(crps(held)) == pytest.approx(1.5, abs=1e-7)


def test_spearman_is_scipys_with_ties():
    held = gaussian(60)
    s2 = (held.variance * 2).round() + 1
    tied = Residuals(held.error.round(decimals=1), s2)
    wanted = stats.spearmanr(tied.error.abs().numpy(), s2.numpy()).statistic
    assert float(spearman(tied)) == pytest.approx(wanted, abs=1e-12)
    assert spearman(Residuals(held.error, torch.ones(60).double())).isnan()


def test_sparsification_of_the_best_and_the_worst_order():
    error = torch.arange(1.0, 101.0).double()
    best = float(sparsification_error(Residuals(error, error**2)))
    worst = float(sparsification_error(Residuals(error, error.flip(0) ** 2)))
    assert best == pytest.approx(0, abs=1e-12)
    assert worst > 0.4
    turned = gaussian(2000)
    useless = sparsification_error(Residuals(turned.error.flip(0), turned.variance))
    assert 0 < float(sparsification_error(turned)) < float(useless)


def test_coverage_of_calibrated_data():
    """4 binomial standard errors of 20000 points."""
    found = coverage(gaussian(20_000))
    for share, p in zip(found.tolist(), (0.5, 0.9, 0.95), strict=True):
        assert share == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / 20_000))
    assert coverage(gaussian(10), [0.0, 1.0]).tolist() == [0.0, 1.0]


def test_dispersion_has_the_divisor_of_a_sample():
    held = Residuals(torch.zeros(2), torch.tensor([1.0, 9.0]).double())
    assert float(dispersion(held)) == pytest.approx(math.sqrt(2) / 2)


def test_batches_are_scored_one_by_one():
    both = gaussian(2, 30)
    rows = [Residuals(both.error[i], both.variance[i]) for i in range(2)]
    for score in ALL:
        torch.testing.assert_close(score(both), torch.stack([*map(score, rows)]))
    areas = miscalibration_area(both), *(miscalibration_area(row) for row in rows)
    torch.testing.assert_close(areas[0].area[1], areas[2].area)
    torch.testing.assert_close(areas[0].signed_area[0], areas[1].signed_area)


def test_refusals():
    one = Residuals.from_arrays([0.0], [0.0], [1.0])
    for score in (dispersion, spearman):
        with pytest.raises(InputError, match="`residuals` must hold at least 2 points"):
            score(one)
    with pytest.raises(InputError, match="`confidence_levels` must be between 0 and 1"):
        coverage(one, [90.0])
    with pytest.raises(InputError, match="`definition` must be one of interval, quantile"):
        calibration_curve(one, [0.5], definition="central")
    with pytest.raises(InputError, match="`definition` must be one of interval, quantile"):
        miscalibration_area(one, definition="central")
    with pytest.raises(InputError, match="`n_levels` must be an integer of at least 2"):
        miscalibration_area(one, n_levels=1)
