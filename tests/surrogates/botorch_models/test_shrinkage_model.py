"""A model combined with the spread that energies have."""

import math

import pytest
import torch

from bostruct.errors import InputError
from bostruct.surrogates import LocalGP
from bostruct.surrogates.botorch_models.shrinkage_model import ShrinkageModel
from bostruct.testing.central_differences import assert_gradient


@pytest.fixture(scope="module")
def case(data, space):
    model = LocalGP(n_max=3, l_max=2, max_inducing=30, label_noise=1e-4).fit(data[:12], space)
    return model, space.encode(data[15:20])


@pytest.mark.parametrize("ratio", [0.3, 1.0, 3.0])
def test_two_normal_densities_multiply(case, ratio):
    """Mean and variance are those of the product, normalized, on a grid."""
    model, X = case
    own = model.posterior(X.unsqueeze(-2))
    mean, std = float(own.mean[0]), float(own.variance[0].sqrt())
    prior_mean, prior_std = mean + 1.5 * std, ratio * std
    width = 12 * max(std, prior_std)
    grid = torch.linspace(mean - width, mean + width, 20001, dtype=torch.float64)
    exponent = ((grid - mean) / std).square() + ((grid - prior_mean) / prior_std).square()
    weight = torch.softmax(-exponent / 2, 0)
    expected = float((weight * grid).sum())
    variance = float((weight * (grid - expected).square()).sum())
    shrunk = ShrinkageModel(model, prior_mean, prior_std).posterior(X[:1])
    assert float(shrunk.mean) == pytest.approx(expected, abs=1e-8 * width)
    assert float(shrunk.variance) == pytest.approx(variance, rel=1e-8)


def test_a_wide_spread_changes_nothing_and_a_narrow_one_leaves_nothing(case):
    model, X = case
    own = model.posterior(X)
    wide = ShrinkageModel(model, 0.0, 1e8).posterior(X)
    torch.testing.assert_close(wide.mean, own.mean)
    C = own.distribution.covariance_matrix
    torch.testing.assert_close(wide.distribution.covariance_matrix, C)
    narrow = ShrinkageModel(model, -3.0, 1e-9).posterior(X)
    torch.testing.assert_close(narrow.mean, torch.full_like(own.mean, -3.0))
    assert float(narrow.variance.max()) <= 1e-17


def test_the_noise_of_an_energy_stays(case):
    model, X = case
    shrunk = ShrinkageModel(model, 0.0, 0.1)
    noise = [
        one.posterior(X, observation_noise=True).variance - one.posterior(X).variance
        for one in (model, shrunk)
    ]
    torch.testing.assert_close(noise[0], noise[1])


@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_closed_forms_are_those_of_the_posterior(case, ratio):
    model, X = case
    std = float(model.posterior(X).variance.mean().sqrt())
    shrunk = ShrinkageModel(model, float(model.posterior(X).mean.mean()) + std, ratio * std)
    assert shrunk.has_closed_form_gradients
    moments, posterior = shrunk.posterior_moments(X), shrunk.posterior(X.unsqueeze(-2))
    torch.testing.assert_close(moments.mean, posterior.mean.flatten())
    torch.testing.assert_close(moments.std, posterior.variance.sqrt().flatten())
    factors = torch.linspace(-1, 1, len(X)).to(X), torch.linspace(2, 1, len(X)).to(X)

    def value(X):
        found = shrunk.posterior(X.unsqueeze(-2))
        std = found.variance.sqrt().flatten()
        return (factors[0] * found.mean.flatten() + factors[1] * std).sum()

    assert_gradient(value, X, moments.gradient(*factors), rtol=5e-4)
    assert_gradient(value, X, rtol=5e-4)


@pytest.mark.parametrize("spread", [0.0, -1.0, math.nan])
def test_a_spread_is_positive(case, spread):
    with pytest.raises(InputError, match=r"`prior_std` must be .*positive"):
        ShrinkageModel(case[0], 0.0, spread)
