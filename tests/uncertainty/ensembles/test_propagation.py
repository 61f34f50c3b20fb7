import math

import pytest
import torch

from bostruct.errors import InputError, ShapeError
from bostruct.uncertainty import BayesianLinearModel, WeightPosteriorSamples
from bostruct.uncertainty.ensembles.propagation import (
    Ensemble,
    Extensivity,
    difference_variance,
    fit_extensivity,
    propagate,
)


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


F, Y, NEW = normal(40, 6) + 0.5, normal(40, seed=1), normal(9, 6, seed=2)
METRIC = BayesianLinearModel.fit(F, Y, ridge=0.3, alpha2=2.0)

# U22 ----------------------------------------------------------------------------------


def test_copies_of_a_cell_are_uncertain_in_proportion():
    """s(E) is linear in copies if the model is a sum over atoms."""
    metric = BayesianLinearModel.fit(F, ridge=0.3)
    copies = torch.arange(1, 9).double()
    variance = metric.variance(copies[:, None] * NEW[0])
    torch.testing.assert_close(variance.sqrt(), copies * variance[0].sqrt())
    found = fit_extensivity(variance, copies)
    assert found.exponent == pytest.approx(1)
    assert found.independent == pytest.approx(0, abs=1e-9)
    assert found.correlated == pytest.approx(float(variance[0]))
    assert found.correlation_ratio > 1e6


def test_the_fit_finds_what_was_put_in():
    n = torch.tensor([8.0, 32.0, 64.0, 256.0, 1000.0])
    found = fit_extensivity(3e-6 * n + 2e-8 * n**2, n)
    assert found.independent == pytest.approx(3e-6)
    assert found.correlated == pytest.approx(2e-8)
    assert found.correlation_ratio == pytest.approx(2 / 300)
    assert found.variance(100) == pytest.approx(3e-4 + 2e-4)
    assert 0.5 < found.exponent < 1


def test_independent_errors_grow_as_the_root():
    n = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    found = fit_extensivity(0.04 * n, n)
    assert found.exponent == pytest.approx(0.5)
    assert found.correlated == pytest.approx(0, abs=1e-12)
    assert Extensivity(0.0, 1.0, 1.0).correlation_ratio == math.inf


def test_noise_makes_no_coefficient_negative():
    n = torch.tensor([1.0, 10.0, 100.0])
    found = fit_extensivity(n**0.5, n)
    assert found.independent > 0
    assert found.correlated == 0


def test_sizes_that_say_nothing_are_refused():
    two = torch.tensor([1.0, 2.0])
    with pytest.raises(InputError, match="`n_atoms` must hold at least two sizes"):
        fit_extensivity(two, torch.tensor([5.0, 5.0]))
    with pytest.raises(InputError, match="`variance` must be positive and finite"):
        fit_extensivity(-two, two)
    with pytest.raises(InputError, match="`n_atoms` must be positive and finite"):
        fit_extensivity(two, -two)
    with pytest.raises(ShapeError, match=r"`variance` must have the shape \[n\]"):
        fit_extensivity(two, torch.ones(3))
    with pytest.raises(InputError, match="`n_atoms` must be positive"):
        Extensivity(1.0, 1.0, 1.0).variance(0)


# U23 ----------------------------------------------------------------------------------


def test_an_affine_function_is_exact():
    a, b = normal(3, 9, seed=5), normal(3, seed=6)
    c = METRIC.covariance(NEW)
    found = propagate(lambda y: a @ y + b, METRIC.mean(NEW), c)
    torch.testing.assert_close(found.value, a @ METRIC.mean(NEW) + b)
    torch.testing.assert_close(found.covariance, a @ c @ a.T)


@pytest.mark.parametrize(("s", "linear", "exact"), [(0.05, 0.06107, 0.06118), (0.5, 0.611, 0.738)])
def test_an_exponential_is_good_to_first_order(s, linear, exact):
    """[V21]: exact is sqrt(exp(s²) - 1) exp(m + s² / 2)."""
    mean = torch.tensor([0.2]).double()
    c = torch.tensor([[s**2]]).double()
    found = propagate(lambda y: y.exp(), mean, c).covariance
    assert float(found) ** 0.5 == pytest.approx(linear, rel=1e-3)
    closed = math.sqrt(math.expm1(s**2)) * math.exp(0.2 + s**2 / 2)
    assert closed == pytest.approx(exact, rel=1e-3)
    members = Ensemble(0.2 + s * normal(200_000, seed=7)).map(torch.exp)
    assert float(members.variance.sqrt()) == pytest.approx(closed, rel=0.02)


def test_the_sign_of_a_slope_does_not_matter():
    c = torch.tensor([[0.09]]).double()
    found = propagate(lambda y: -2 * y.sum(), torch.ones(1).double(), c)
    assert found.covariance.shape == ()
    assert float(found.covariance) ** 0.5 == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("mean", "covariance", "error", "sentence"),
    [
        (torch.ones(2, 1), torch.eye(2), ShapeError, r"`mean` must have shape \[d\]"),
        (torch.ones(2), torch.ones(2), ShapeError, r"must have shape \[2, 2\], got"),
        (torch.ones(2), -torch.eye(2), InputError, "have no negative variance"),
        (torch.ones(2), math.nan * torch.eye(2), InputError, "`covariance` must be fin"),
        (math.inf * torch.ones(2), torch.eye(2), InputError, "`mean` must be finite"),
    ],
)
def test_inputs_that_cannot_be_used_are_refused(mean, covariance, error, sentence):
    with pytest.raises(error, match=sentence):
        propagate(torch.sum, mean, covariance)


def test_a_value_of_two_dimensions_is_refused():
    with pytest.raises(ShapeError, match=r"`fn` must return a shape of \[\] or \[k\]"):
        propagate(lambda y: y[:, None], torch.ones(2), torch.eye(2))


# U24 ----------------------------------------------------------------------------------


def test_differences_of_members_are_the_analytic_difference():
    """4000 members know a variance to 2.2 %; 5 of these."""
    generator = torch.Generator().manual_seed(3)
    members = WeightPosteriorSamples.sample(METRIC, 4000, generator)
    found = (Ensemble(members(NEW[:4])) - Ensemble(members(NEW[4:8]))).variance
    expected = difference_variance(METRIC, NEW[:4], NEW[4:8])
    assert float((found / expected - 1).abs().max()) < 5 * (2 / 3999) ** 0.5
    c = METRIC.covariance(NEW)
    assert float(expected[0]) == pytest.approx(float(c[0, 0] + c[4, 4] - 2 * c[0, 4]))


def test_what_neighbours_share_cancels():
    """[V20]: the formula of independent errors is more than 20 times too large."""
    near = NEW[:1] + 0.02 * normal(1, 6, seed=8)
    found = float(difference_variance(METRIC, NEW[:1], near)) ** 0.5
    independent = float((METRIC.variance(NEW[:1]) + METRIC.variance(near)) ** 0.5)
    assert found < independent / 20


def test_a_linear_function_of_members_is_linear_propagation():
    y = Ensemble(normal(50, 9))
    a = normal(3, 9, seed=5)
    found = y.map(lambda member: a @ member)
    linear = propagate(lambda m: a @ m, y.mean, y.covariance)
    torch.testing.assert_close(found.covariance, linear.covariance)
    torch.testing.assert_close(found.mean, linear.value)
    torch.testing.assert_close(found.variance, found.covariance.diagonal())


def test_a_constant_has_no_variance():
    found = Ensemble(normal(8, 9)).map(lambda _: torch.tensor(3.25))
    assert float(found.variance) == 0
    assert float(found.mean) == 3.25


def test_members_are_calibrated_before_anything_is_computed():
    y = Ensemble(normal(50, 9))
    scaled = y.scaled(3.0)
    torch.testing.assert_close(scaled.mean, y.mean)
    torch.testing.assert_close(scaled.variance, 9 * y.variance)
    after = y.map(torch.exp).scaled(3.0).variance
    before = scaled.map(torch.exp).variance
    assert not torch.allclose(after, before, rtol=0.1)


def test_members_that_cannot_be_used_are_refused():
    with pytest.raises(InputError, match="`members` must be an integer of at least 2"):
        Ensemble(torch.ones(1, 3))
    with pytest.raises(ShapeError, match=r"`other.members` must have shape \[8, 3\]"):
        Ensemble(normal(8, 3)) - Ensemble(normal(7, 3))
    with pytest.raises(ShapeError, match=r"`members` must have shape \[M, d\]"):
        _ = Ensemble(normal(8, 3, 2)).covariance
    with pytest.raises(InputError, match="`alpha` must be positive and finite"):
        Ensemble(normal(8, 3)).scaled(0.0)
    with pytest.raises(ShapeError, match="`second` must have shape"):
        difference_variance(METRIC, NEW[:2], NEW[:3])
