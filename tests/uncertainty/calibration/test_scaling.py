import math
import warnings

import pytest
import torch

from bostruct.errors import InputError, ShapeError
from bostruct.uncertainty import Prediction
from bostruct.uncertainty.calibration.residuals import Residuals
from bostruct.uncertainty.calibration.scaling import Calibration, calibrate

ANALYTIC = ("likelihood", "absolute", "median", "crps")


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussian(n, scale, seed=0, spread=0.5):
    """Residuals whose true standard deviations are `scale` times the predicted."""
    draws = stream(seed)
    s = (spread * torch.randn(n, generator=draws, dtype=torch.float64)).exp()
    e = scale * s * torch.randn(n, generator=draws, dtype=torch.float64)
    return Residuals.from_arrays(e, torch.zeros(n), s**2)


def committee(n, members, alpha, seed=0):
    """Truths alpha times as far from the centre as members are; equation (27)."""
    draws = stream(seed)
    y = torch.randn(members, n, generator=draws, dtype=torch.float64)
    truth = alpha * torch.randn(n, generator=draws, dtype=torch.float64)
    return truth, y


@pytest.mark.parametrize("method", ANALYTIC)
def test_all_methods_find_the_scale_of_gaussian_errors(method):
    """alpha2 = 4 to 4 standard errors: the worst, the median's, is 0.9 %."""
    found = calibrate(gaussian(100_000, 2.0), method)
    assert float(found.alpha2) == pytest.approx(4.0, rel=0.036)
    assert float(found.alpha) == pytest.approx(2.0, rel=0.018)


def test_the_likelihood_is_largest_at_26():
    held = gaussian(500, 1.7)
    alpha2 = calibrate(held).alpha2.clone().requires_grad_()
    after = held.variance * alpha2
    loss = (0.5 * held.error**2 / after + 0.5 * after.log()).mean()
    (slope,) = torch.autograd.grad(loss, alpha2)
    assert abs(float(slope)) < 1e-14
    mean_z2 = held.scaled(alpha2.detach()).z.square().mean()
    assert float(mean_z2) == pytest.approx(1.0, abs=1e-13)


def test_the_crps_is_least_at_its_factor():
    held = gaussian(300, 1.7)
    alpha = calibrate(held, "crps").alpha.clone().requires_grad_()
    s = held.std * alpha
    z = held.error / s
    normal = torch.distributions.Normal(s.new_zeros(()), s.new_ones(()))
    density = normal.log_prob(z).exp()
    crps = s * (z * (2 * normal.cdf(z) - 1) + 2 * density - 1 / math.sqrt(math.pi))
    (slope,) = torch.autograd.grad(crps.mean(), alpha)
    assert abs(float(slope)) < 1e-13


@pytest.mark.parametrize(("members", "alpha"), [(8, 1.5), (16, 0.7), (64, 1.0)])
def test_27_is_unbiased_and_26_is_off_by_its_law(members, alpha):
    """Four standard errors of the sample of (members 8: 2 %)."""
    n = 200_000 if members == 8 else 60_000
    truth, y = committee(n, members, alpha)
    held = Residuals.from_arrays(truth, y.mean(0), y.var(0))
    rel = 4 * float(held.z.square().std()) / math.sqrt(n)
    found = float(calibrate(held, "committee", n_members=members).alpha2)
    assert found == pytest.approx(alpha**2, abs=rel)
    plain = float(calibrate(held).alpha2)
    law = (alpha**2 + 1 / members) * (members - 1) / (members - 3)
    assert plain == pytest.approx(law, abs=rel)
    biased = Residuals.from_arrays(truth, y.mean(0), y.var(0, correction=0))
    other = calibrate(biased, "committee", n_members=members, ddof=0)
    assert float(other.alpha2) == pytest.approx(found, rel=1e-12)


def test_members_are_moved_to_the_calibrated_spread():
    truth, y = committee(60_000, 8, 1.5)
    mean, s2 = y.mean(0), y.var(0)
    found = calibrate(Residuals.from_arrays(truth, mean, s2), "committee", n_members=8)
    moved = found.rescale_members(y)
    torch.testing.assert_close(moved.mean(0), mean)
    torch.testing.assert_close(moved.var(0), found.calibrated_variance(s2))
    squared = float((truth - mean).square().mean())
    assert float(found.expected_squared_error(s2).mean()) == pytest.approx(squared, rel=0.05)
    one = calibrate(gaussian(20, 1.0))
    assert torch.equal(one.expected_squared_error(s2), one.calibrated_variance(s2))


@pytest.mark.parametrize("method", ANALYTIC)
def test_units_and_scales(method):
    """A unit cancels; variances times c give alpha2 / c."""
    held = gaussian(101, 1.3)
    plain = float(calibrate(held, method).alpha2)
    in_mev = Residuals(1000 * held.error, 1e6 * held.variance)
    assert float(calibrate(in_mev, method).alpha2) == pytest.approx(plain, rel=1e-12)
    wider = calibrate(held.scaled(9.0), method)
    assert float(wider.alpha2) == pytest.approx(plain / 9, rel=1e-12)


def test_an_outlier_moves_26_and_not_the_median():
    """One variance of 1e-12 among 1001, as a dropout network gave; not floored."""
    held = gaussian(1001, 1.0)
    s2 = held.variance.clone()
    s2[7] = 1e-12
    broken = Residuals(held.error, s2)
    assert float(calibrate(broken).alpha2) > 1e6
    assert float(calibrate(broken, "median").alpha2) == pytest.approx(1, rel=0.2)


def test_batches_are_calibrated_one_by_one():
    one, other = gaussian(50, 1.0, 1), gaussian(50, 3.0, 2)
    both = Residuals(
        torch.stack([one.error, other.error]), torch.stack([one.variance, other.variance])
    )
    for method in ANALYTIC:
        found = calibrate(both, method)
        alone = torch.stack([calibrate(x, method).alpha2 for x in (one, other)])
        torch.testing.assert_close(found.alpha2, alone)
    assert found.calibrated_variance(both.variance).shape == (2, 50)


def test_the_interval_covers_the_truth_and_narrows():
    found = calibrate(gaussian(200, 2.0), generator=stream())
    assert float(found.lower) < 4.0 < float(found.upper)
    # 90 % of a Gaussian: ± 1.645 standard errors of sqrt(2 / n).
    width = float(found.upper - found.lower) / float(found.alpha2)
    assert width == pytest.approx(2 * 1.645 * math.sqrt(2 / 200), rel=0.3)
    again = calibrate(gaussian(200, 2.0), generator=stream())
    assert torch.equal(found.lower, again.lower)


def test_a_negative_factor_is_zero_and_says_so():
    n = 20
    held = Residuals(torch.full((n,), 1e-3).double(), torch.ones(n).double())
    with pytest.warns(UserWarning, match="came out negative"):
        found = calibrate(held, "committee", n_members=8)
    assert float(found.alpha2) == 0.0
    assert float(found.expected_squared_error(held.variance)[0]) == pytest.approx(1 / 8)


def test_few_members_are_warned_of():
    truth, y = committee(100, 5, 1.0)
    held = Residuals.from_arrays(truth, y.mean(0), y.var(0))
    with pytest.warns(UserWarning, match="scatters without bound"):
        calibrate(held, "committee", n_members=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calibrate(held, "committee", n_members=6)


def test_a_prediction_is_scaled_as_a_whole():
    one = torch.ones(2, dtype=torch.float64)
    forces = torch.ones(3, 3, dtype=torch.float64)
    members = 1 + torch.tensor([[-1.0], [0.0], [1.0]]).double() * one
    prediction = Prediction(
        one, one, 0.5 * one, covariance=torch.eye(2), force_variance=forces, members=members
    )
    found = calibrate(gaussian(50, 2.0))
    after = found.calibrated_prediction(prediction)
    torch.testing.assert_close(after.members.mean(0), one)
    torch.testing.assert_close(after.members.var(0), after.variance)
    torch.testing.assert_close(
        after.predictive_variance, found.calibrated_variance(prediction.predictive_variance)
    )
    torch.testing.assert_close(after.variance, after.covariance.diagonal().double())
    assert torch.equal(after.mean, one)
    assert torch.equal(after.force_variance, forces)


def test_forces_are_scaled_as_a_whole_with_a_factor_of_their_own():
    one = torch.ones(1, dtype=torch.float64)
    forces = torch.ones(3, 3, dtype=torch.float64)
    members = torch.stack([0 * forces, 2 * forces])
    prediction = Prediction(
        *(one, one, one, forces),
        force_variance=2 * forces,
        force_noise_variance=forces,
        member_forces=members,
    )
    found = calibrate(gaussian(50, 2.0))
    after = found.calibrated_forces(prediction)
    torch.testing.assert_close(
        after.predictive_force_variance,
        found.calibrated_variance(prediction.predictive_force_variance),
    )
    torch.testing.assert_close(after.member_forces.var(0), after.force_variance)
    assert torch.equal(after.variance, one)
    bare = Prediction(one, one, one)
    assert found.calibrated_forces(bare).force_variance is None


def test_it_is_stored_with_what_it_came_from():
    held = gaussian(50, 2.0)
    found = calibrate(held, generator=stream())
    again = Calibration.from_json(found.to_json())
    assert torch.equal(again.alpha2, found.alpha2)
    assert torch.equal(again.upper, found.upper)
    assert (again.method, again.n_points, again.residuals_hash) == ("likelihood", 50, held.hash)
    assert Calibration.from_json(calibrate(held).to_json()).lower is None
    with pytest.raises(InputError, match="`text` must be a stored Calibration"):
        Calibration.from_json("[]")
    with pytest.raises(InputError, match="`text` must be JSON"):
        Calibration.from_json("no")


def test_refusals_of_calibrate():
    held = gaussian(20, 1.0)
    with pytest.raises(InputError, match="`residuals` must hold at least 8 points, got 7"):
        calibrate(gaussian(7, 1.0))
    with pytest.raises(InputError, match="`n_members` must be an integer of at least 4"):
        calibrate(held, "committee", n_members=3)
    with pytest.raises(InputError, match="`n_members` must be given for the method"):
        calibrate(held, "committee")
    with pytest.raises(InputError, match="`n_members` must be given for the method"):
        calibrate(held, n_members=8)
    with pytest.raises(InputError, match="`ddof` must be 1"):
        calibrate(held, "committee", n_members=8, ddof=2)
    with pytest.raises(InputError, match="`method` must be one of likelihood"):
        calibrate(held, "best")
    with pytest.raises(InputError, match="`alpha2` must be positive"):
        calibrate(Residuals(torch.zeros(9), torch.ones(9)))
    batches = Residuals(torch.ones(2, 9), torch.ones(2, 9))
    with pytest.raises(ShapeError, match=r"`residuals` must have shape \[n\]"):
        calibrate(batches, generator=stream())
    with pytest.raises(InputError, match="`confidence` must be between 0 and 1"):
        calibrate(held, generator=stream(), confidence=90)
