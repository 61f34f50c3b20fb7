"""A model and a known term."""

import pytest
import torch

from bostruct.surrogates import LocalGP, condition_on_observations
from bostruct.surrogates.botorch_models.offset_model import OffsetModel
from bostruct.surrogates.botorch_models.recalibrated_model import RecalibratedModel
from bostruct.testing.central_differences import assert_gradient


@pytest.fixture(scope="module")
def case(data, space):
    model = LocalGP(n_max=3, l_max=2, max_inducing=30, label_noise=1e-4).fit(data[:12], space)
    return model, space.encode(data[15:20])


def offset(X):
    return 0.3 * X.pow(2).sum(-1)


def test_the_mean_is_shifted_and_nothing_else(case):
    model, X = case
    for points in (X, X.unsqueeze(-2), X[:4].view(2, 2, -1)):
        for noise in (False, True):
            own = model.posterior(points, observation_noise=noise)
            found = OffsetModel(model, offset).posterior(points, observation_noise=noise)
            torch.testing.assert_close(found.mean, own.mean + offset(points).unsqueeze(-1))
            C = own.distribution.covariance_matrix
            assert torch.equal(found.distribution.covariance_matrix, C)


@pytest.mark.parametrize("is_recalibrated", [False, True])
def test_closed_forms_are_those_of_the_posterior(case, is_recalibrated):
    model, X = case
    if is_recalibrated:
        model = RecalibratedModel(model, torch.tensor([0.7]), torch.tensor([1.8]))
    shifted = OffsetModel(model, offset)
    assert shifted.has_closed_form_gradients
    moments, posterior = shifted.posterior_moments(X), shifted.posterior(X.unsqueeze(-2))
    torch.testing.assert_close(moments.mean, posterior.mean.flatten())
    torch.testing.assert_close(moments.std, posterior.variance.sqrt().flatten())
    factors = torch.linspace(-1, 1, len(X)).to(X), torch.linspace(2, 1, len(X)).to(X)

    def value(X):
        found = shifted.posterior(X.unsqueeze(-2))
        std = found.variance.sqrt().flatten()
        return (factors[0] * found.mean.flatten() + factors[1] * std).sum()

    assert_gradient(value, X, moments.gradient(*factors), rtol=1e-4)
    assert_gradient(value, X, rtol=1e-4)


def test_observations_are_of_the_sum(case):
    model, X = case
    shifted = OffsetModel(model, offset)
    Y = shifted.posterior(X).mean.detach()
    conditioned = condition_on_observations(shifted, X, Y)
    torch.testing.assert_close(conditioned.posterior(X).mean, Y)
    before = shifted.posterior(X).variance
    assert bool((conditioned.posterior(X).variance < before).all())
