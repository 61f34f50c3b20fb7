import pytest
import torch

from bostruct.spaces import Composition
from bostruct.surrogates import Believing, Properties


@pytest.fixture(scope="module")
def setting():
    space = Composition(["Cu", "Pd", "Au"], step=1 / 8)
    X = space.rows(0, 45)
    cu, pd = X[:, 0], X[:, 1]
    Y = torch.stack([(3 * cu).sin() + pd, cu * pd], -1)
    shown = torch.arange(0, 45, 5)
    names = ("first", "second")
    model = Properties().fit(X[shown], Y[shown], names, space)
    return model, X


def test_means_stay_and_doubt_shrinks(setting):
    model, X = setting
    told = Believing(model, X[[7, 22]])
    at = X[[7, 8, 40]].unsqueeze(-2)
    before, after = model.posterior(at), told.posterior(at)
    torch.testing.assert_close(before.mean, after.mean)
    assert (after.variance <= before.variance + 1e-12).all()
    assert (after.variance[0] < 0.1 * before.variance[0]).all()
    assert told.num_outputs == 2
    assert told.batch_shape == torch.Size()


def test_it_is_what_measuring_the_mean_would_do(setting):
    """A dense three-line reference, property by property."""
    model, X = setting
    told = Believing(model, X[[7, 22]])
    after = told.posterior(X[[8, 40]]).distribution.covariance_matrix
    every = X[[8, 40, 7, 22]]
    C = model.posterior(every).distribution.covariance_matrix.reshape(4, 2, 4, 2)
    noise = model.posterior(every, observation_noise=True).variance
    noise = noise - model.posterior(every).variance
    for j in range(2):
        K = C[:, j, :, j]
        inner = K[2:, 2:] + noise[2:, j].diag()
        wanted = K[:2, :2] - K[:2, 2:] @ torch.linalg.solve(inner, K[2:, :2])
        found = after.reshape(2, 2, 2, 2)[:, j, :, j]
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-9)


def test_noise_is_added_where_asked_for(setting):
    model, X = setting
    told = Believing(model, X[[7]])
    at = X[[8, 40]].unsqueeze(-2)
    latent = told.posterior(at).variance
    given = torch.full((2, 1, 2), 0.5, dtype=torch.float64)
    noisy = told.posterior(at, observation_noise=given).variance
    torch.testing.assert_close(noisy, latent + 0.5)
    own = told.posterior(at, observation_noise=True).variance
    torch.testing.assert_close(
        own - latent,
        model.posterior(at, observation_noise=True).variance
        - model.posterior(at).variance,
    )


def test_some_outputs_alone(setting):
    model, X = setting
    told = Believing(model, X[[7]])
    every, one = told.posterior(X[[8, 40]]), told.posterior(X[[8, 40]], [1])
    torch.testing.assert_close(one.mean, every.mean[:, 1:])
    torch.testing.assert_close(one.variance, every.variance[:, 1:])
