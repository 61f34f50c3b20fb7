import pytest
import torch

from bostruct.errors import InputError, ShapeError
from bostruct.uncertainty.calibration.isotonic import MonotonicCalibration, fit_isotonic
from bostruct.uncertainty.calibration.residuals import Residuals
from bostruct.uncertainty.calibration.scaling import calibrate


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussian(n, scale, seed=0, spread=0.5):
    """Residuals whose true standard deviations are `scale` times the predicted."""
    draws = stream(seed)
    s = (spread * torch.randn(n, generator=draws, dtype=torch.float64)).exp()
    e = scale * s * torch.randn(n, generator=draws, dtype=torch.float64)
    return Residuals.from_arrays(e, torch.zeros(n), s**2)


def test_a_map_repairs_what_one_factor_cannot():
    """Errors grow as s^1.5: after the map every third has mean z² near one."""
    n = 6000
    s = torch.linspace(0.1, 2, n, dtype=torch.float64)
    e = s**1.5 * torch.randn(n, generator=stream(), dtype=torch.float64)
    held = Residuals.from_arrays(e, torch.zeros(n), s**2)
    local = fit_isotonic(held)
    ratio = (e**2 / local.calibrated_variance(s**2)).reshape(3, -1).mean(-1)
    assert torch.all((ratio - 1).abs() < 0.15)
    flat = held.scaled(calibrate(held).alpha2)
    worst = (flat.z.square().reshape(3, -1).mean(-1) - 1).abs().max()
    assert float(worst) > 0.4
    assert torch.all(local.mean_squared_error.diff() >= 0)


def test_far_away_a_map_keeps_growing():
    local = fit_isotonic(gaussian(400, 1.0))
    edge = float(local.predicted_variance[-1])
    far = local.calibrated_variance([edge, 100 * edge])
    assert float(far[1] / far[0]) == pytest.approx(100)
    near = local.calibrated_variance(
        [float(local.predicted_variance[0]) / 100, local.predicted_variance[0]]
    )
    assert float(near[1] / near[0]) == pytest.approx(100)
    torch.testing.assert_close(
        local.calibrated_variance(local.predicted_variance), local.mean_squared_error
    )


def test_tied_variances_are_one_knot():
    held = gaussian(80, 1.0)
    s2 = torch.ones(80, dtype=torch.float64)
    s2[60:] = 4.0
    local = fit_isotonic(Residuals(held.error, s2), n_bins=4)
    assert local.predicted_variance.tolist() == [1.0, 4.0]


def test_it_is_stored_with_what_it_came_from():
    held = gaussian(50, 2.0)
    local = fit_isotonic(held)
    stored = MonotonicCalibration.from_json(local.to_json())
    assert torch.equal(
        stored.calibrated_variance(held.variance), local.calibrated_variance(held.variance)
    )
    assert stored.residuals_hash == held.hash
    with pytest.raises(InputError, match="`text` must be a stored MonotonicCalibration"):
        MonotonicCalibration.from_json(calibrate(held).to_json())


def test_refusals_of_isotonic():
    held = gaussian(20, 1.0)
    with pytest.raises(ShapeError, match=r"`residuals` must have shape \[n\]"):
        fit_isotonic(Residuals(torch.ones(2, 20), torch.ones(2, 20)))
    with pytest.raises(InputError, match="hold at least 16 points"):
        fit_isotonic(gaussian(15, 1.0))
    with pytest.raises(InputError, match="`n_bins` must leave at least 8 of 20"):
        fit_isotonic(held, n_bins=3)
    with pytest.raises(InputError, match="`n_bins` must be an integer of at least 2"):
        fit_isotonic(held, n_bins=1)
    with pytest.raises(InputError, match="`variance` must differ"):
        fit_isotonic(Residuals(held.error, torch.ones(20)))
    with pytest.raises(InputError, match="`error` must be non-zero in every bin"):
        fit_isotonic(Residuals(0 * held.error, held.variance))
    with pytest.raises(InputError, match="`variance` must be positive"):
        fit_isotonic(held).calibrated_variance([0.0])
