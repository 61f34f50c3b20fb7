"""A model whose outcomes are scaled and shifted."""

import pytest
import torch

from bostruct.surrogates import LocalGP, condition_on_observations
from bostruct.surrogates.botorch_models.affine_model import AffineModel
from bostruct.surrogates.botorch_models.recalibrated_model import RecalibratedModel
from bostruct.testing.central_differences import assert_gradient


@pytest.fixture(scope="module")
def case(data, space):
    model = LocalGP(n_max=3, l_max=2, max_inducing=30, label_noise=1e-4).fit(data[:12], space)
    return model, space.encode(data[15:20])


def scale_and_shift(X):
    """Return numbers that differ between structures, and change with none of them."""
    level = X.detach().round().sum(-1) % 5
    return 1 / (2 + level), 0.4 * level - 1


def test_means_and_covariances_are_scaled(case):
    model, X = case
    affine = AffineModel(model, scale_and_shift)
    for points in (X, X.unsqueeze(-2), X[:4].view(2, 2, -1)):
        a, c = scale_and_shift(points)
        for noise in (False, True):
            own = model.posterior(points, observation_noise=noise)
            found = affine.posterior(points, observation_noise=noise)
            torch.testing.assert_close(found.mean, own.mean * a.unsqueeze(-1) + c.unsqueeze(-1))
            C = own.distribution.covariance_matrix * a.unsqueeze(-1) * a.unsqueeze(-2)
            torch.testing.assert_close(found.distribution.covariance_matrix, C)


def test_noise_that_is_given_is_that_of_the_result(case):
    model, X = case
    affine = AffineModel(model, scale_and_shift)
    noise = torch.linspace(0.1, 0.2, len(X)).to(X)
    found = affine.posterior(X, observation_noise=noise).variance
    torch.testing.assert_close(found, affine.posterior(X).variance + noise.unsqueeze(-1))


@pytest.mark.parametrize("is_recalibrated", [False, True])
def test_closed_forms_are_those_of_the_posterior(case, is_recalibrated):
    model, X = case
    if is_recalibrated:
        model = RecalibratedModel(model, torch.tensor([0.7]), torch.tensor([1.8]))
    affine = AffineModel(model, scale_and_shift)
    assert affine.has_closed_form_gradients
    moments, posterior = affine.posterior_moments(X), affine.posterior(X.unsqueeze(-2))
    torch.testing.assert_close(moments.mean, posterior.mean.flatten())
    torch.testing.assert_close(moments.std, posterior.variance.sqrt().flatten())
    factors = torch.linspace(-1, 1, len(X)).to(X), torch.linspace(2, 1, len(X)).to(X)

    def value(X):
        found = affine.posterior(X.unsqueeze(-2))
        std = found.variance.sqrt().flatten()
        return (factors[0] * found.mean.flatten() + factors[1] * std).sum()

    assert_gradient(value, X, moments.gradient(*factors), rtol=1e-4)


def test_observations_are_of_the_result(case):
    model, X = case
    affine = AffineModel(model, scale_and_shift)
    Y = affine.posterior(X).mean.detach()
    conditioned = condition_on_observations(affine, X, Y)
    torch.testing.assert_close(conditioned.posterior(X).mean, Y)
    assert (conditioned.posterior(X).variance < affine.posterior(X).variance).all()
