import math

import pytest
import torch

from bostruct.errors import InputError
from bostruct.uncertainty.calibration.reliability import ence, ence_intercept, reliability_diagram
from bostruct.uncertainty.calibration.residuals import Residuals


def gaussian(*shape, scale=1.0, seed=0, spread=0.7):
    draws = torch.Generator().manual_seed(seed)
    s = (spread * torch.randn(shape, generator=draws, dtype=torch.float64)).exp()
    e = scale * s * torch.randn(shape, generator=draws, dtype=torch.float64)
    return Residuals(e, s**2)


def arrays():
    """The arrays of chemprop's own test."""
    s2 = torch.linspace(1, 10, 100, dtype=torch.float64)
    e = torch.tensor([-2.0, -1.0, 1.0, 2.0]).double().tile(25)
    return Residuals(e, s2)


@pytest.mark.parametrize(("bins", "value"), [(100, 0.39201), (20, 0.31638)])
def test_arrays_of_chemprop(bins, value):
    assert float(ence(arrays(), bins).value) == pytest.approx(value, abs=5e-6)
    assert float(ence(arrays(), 10).value) == pytest.approx(0.31432, abs=5e-6)


def test_limits_of_ence():
    ones = torch.ones(100, dtype=torch.float64)
    signs = ones * (-1) ** torch.arange(100)
    assert float(ence(Residuals(3 * signs, 9 * ones)).value) == 0
    assert float(ence(Residuals(0 * ones, arrays().variance)).value) == 1


def test_the_floor_of_calibrated_data():
    """Mean over 300 sets of 2000 points: 0.0389 ± 0.0005 against 0.0399."""
    found = ence(gaussian(300, 2000))
    assert found.value.shape == (300,)
    assert found.floor == pytest.approx(0.0399, abs=5e-5)
    assert float(found.value.mean()) == pytest.approx(found.floor, rel=0.06)
    assert (found.n_bins, found.n_points) == (10, 2000)


def test_a_factor_on_s():
    held, c = arrays(), 1.7
    diagram = reliability_diagram(held)
    wanted = ((c * diagram.rmv - diagram.rmse).abs() / (c * diagram.rmv)).mean()
    torch.testing.assert_close(ence(held.scaled(c * c)).value, wanted)


def test_bins_hold_equal_counts_and_not_equal_widths():
    """Equal widths gave 0.178 on such data, most of it from nearly empty bins."""
    held = gaussian(20_000, spread=1.0)
    assert float(ence(held).value) < 0.03
    assert reliability_diagram(gaussian(103), 10).n_points.tolist() == 3 * [11] + 7 * [10]


def test_ties_keep_their_order():
    error = torch.arange(1.0, 9.0).double()
    diagram = reliability_diagram(Residuals(error, torch.ones(8).double()), 4)
    pairs = error.square().reshape(4, 2).mean(-1).sqrt()
    torch.testing.assert_close(diagram.rmse, pairs)


def test_the_intercept_is_free_of_the_bins():
    good, bad = gaussian(200, 3000), gaussian(200, 3000, scale=1.5)
    assert float(ence_intercept(good).mean()) == pytest.approx(0, abs=0.005)
    assert float(ence_intercept(bad).mean()) == pytest.approx(0.5, abs=0.02)


def test_calibrated_data_fall_inside_the_band():
    """2000 bins: 0.683 ± 4 standard errors."""
    diagram = reliability_diagram(gaussian(200, 500), 10)
    share = float(diagram.fraction_in_band.mean())
    assert share == pytest.approx(0.6827, abs=4 * math.sqrt(0.22 / 2000))
    assert float(diagram.slope.mean()) == pytest.approx(1, abs=0.02)
    wide = reliability_diagram(gaussian(200, 500), 10, confidence=0.95)
    assert float(wide.fraction_in_band.mean()) == pytest.approx(0.95, abs=0.02)


def test_the_band_is_the_law_of_the_spread_of_a_bin():
    """For n equal points the relative deviation of the MSE is sqrt(2 / n)."""
    draws = torch.Generator().manual_seed(0)
    s2 = torch.ones(1000, dtype=torch.float64)
    e = torch.randn(1000, generator=draws, dtype=torch.float64)
    diagram = reliability_diagram(Residuals(e, s2), 2)
    half = (diagram.band_upper**2 - diagram.band_lower**2) / 2
    assert float(half[0]) == pytest.approx(math.sqrt(2 / 500), rel=0.01)
    assert diagram.n_effective.tolist() == pytest.approx([500, 500])


def test_a_factor_shifts_and_an_uninformed_variance_is_flat():
    held = gaussian(5000)
    plain, wide = reliability_diagram(held), reliability_diagram(held.scaled(4.0))
    torch.testing.assert_close(wide.rmv, 2 * plain.rmv)
    torch.testing.assert_close(wide.slope, plain.slope)
    turned = Residuals(held.error.flip(0), held.variance)
    assert abs(float(reliability_diagram(turned).slope)) < 0.1


def test_refusals():
    with pytest.raises(InputError, match="`n_bins` must be at most the number of points"):
        ence(arrays(), 101)
    with pytest.raises(InputError, match="`n_bins` must be an integer of at least 1"):
        reliability_diagram(arrays(), 0)
    with pytest.raises(InputError, match="`confidence` must be between 0 and 1"):
        reliability_diagram(arrays(), confidence=68)
    with pytest.raises(InputError, match="`bin_counts` must hold two different numbers"):
        ence_intercept(arrays(), (10, 10))
