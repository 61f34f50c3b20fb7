"""Conditioning against the closed form on a Gaussian written out."""

import pytest
import torch
from botorch.acquisition import LogExpectedImprovement
from botorch.acquisition.objective import ScalarizedPosteriorTransform
from botorch.models.model import Model
from botorch.posteriors import GPyTorchPosterior
from botorch.sampling import SobolQMCNormalSampler
from gpytorch.distributions import MultivariateNormal
from linear_operator import to_linear_operator

from bostruct.errors import ShapeError
from bostruct.spaces import Composition
from bostruct.surrogates import (
    Committee,
    ConditionedModel,
    IndependentProperties,
    LocalGP,
    TrainingData,
    condition_on_observations,
)
from bostruct.surrogates.botorch_models.conditioned_model import ConditionableModel
from bostruct.surrogates.botorch_models.posterior import RELATIVE_JITTER
from tests.surrogates.small import SMALL

NOISE = 0.04  # eV²
CLOSE = 1e-8  # the update adds JITTER to the variance of what it is told


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


class Prior(Model):
    """A Gaussian process with mean sum(sin X) and a squared exponential kernel."""

    num_outputs = 1
    batch_shape = torch.Size()

    def moments(self, X):
        gap = (X.unsqueeze(-2) - X.unsqueeze(-3)).square().sum(-1)
        return X.sin().sum(-1), 2 * torch.exp(-gap / 2)

    def posterior(self, X, observation_noise=False, posterior_transform=None, **_):
        mean, C = self.moments(X)
        if observation_noise is True:
            C = C + NOISE * torch.eye(C.shape[-1])
        gaussian = MultivariateNormal(mean, to_linear_operator(C))
        posterior = GPyTorchPosterior(gaussian)
        if posterior_transform is not None:
            return posterior_transform(posterior)
        return posterior


def closed_form(x, X, Y, noise):
    """Return mean `[q]` and covariance `[q, q]` by the textbook, with solves."""
    q = len(x)
    mean, C = Prior().moments(torch.cat((x, X)))
    K = C[q:, q:] + torch.diag(noise)
    gain = torch.linalg.solve(K, C[q:, :q]).T
    return mean[:q] + gain @ (Y - mean[q:]), C[:q, :q] - gain @ C[q:, :q]


def moments(model, x, **arguments):
    posterior = model.posterior(x, **arguments)
    return posterior.mean.squeeze(-1), posterior.distribution.covariance_matrix


def test_equals_the_closed_form():
    x, X, Y = random(4, 3), random(5, 3, seed=1), random(5, 1, seed=2)
    noise = random(5, seed=3).abs() + 0.01
    mean, C = moments(condition_on_observations(Prior(), X, Y, noise), x)
    expected = closed_form(x, X, Y.squeeze(-1), noise)
    torch.testing.assert_close(mean, expected[0], rtol=0, atol=CLOSE)
    torch.testing.assert_close(C, expected[1], rtol=0, atol=CLOSE)


def test_batches_are_independent():
    x, X, Y = random(3, 2, 3), random(3, 4, 3, seed=1), random(3, 4, 1, seed=2)
    mean, C = moments(condition_on_observations(Prior(), X, Y), x)
    assert C.shape == (3, 2, 2)
    for k in range(3):
        noise = torch.full((4,), NOISE, dtype=torch.float64)
        expected = closed_form(x[k], X[k], Y[k, :, 0], noise)
        torch.testing.assert_close(mean[k], expected[0], rtol=0, atol=CLOSE)
        torch.testing.assert_close(C[k], expected[1], rtol=0, atol=CLOSE)


@pytest.mark.parametrize("shape", [(7,), (2, 7), (2, 1)])
def test_one_condition_for_many_questions(shape):
    X, Y = random(4, 3, seed=1), random(4, 1, seed=2)
    model = condition_on_observations(Prior(), X, Y)
    x = random(*shape, 3)
    mean, C = moments(model, x)
    flat = x.reshape(-1, shape[-1], 3)
    noise = torch.full((4,), NOISE, dtype=torch.float64)
    for k, one in enumerate(flat):
        expected = closed_form(one, X, Y.squeeze(-1), noise)
        found = mean.reshape(len(flat), -1)[k]
        torch.testing.assert_close(found, expected[0], rtol=0, atol=CLOSE)
        block = C.reshape(len(flat), shape[-1], shape[-1])[k]
        torch.testing.assert_close(block, expected[1], rtol=0, atol=CLOSE)


def test_fantasies_share_their_covariance():
    """Y has three fantasies `[3, t, 1]`; only the mean depends on which."""
    x, X, Y = random(5, 2, 3), random(5, 4, 3, seed=1), random(3, 5, 4, 1, seed=2)
    model = condition_on_observations(Prior(), X, Y)
    assert model.batch_shape == (3, 5)
    assert model.num_outputs == 1
    mean, C = moments(model, x)
    assert mean.shape == (3, 5, 2)
    assert C.shape == (3, 5, 2, 2)
    for k in range(3):
        alone = moments(condition_on_observations(Prior(), X, Y[k]), x)
        torch.testing.assert_close(mean[k], alone[0])
        torch.testing.assert_close(C[k], alone[1])
    assert not torch.allclose(mean[0], mean[1])


def test_in_two_steps_as_in_one():
    x, X, Y = random(4, 3), random(6, 3, seed=1), random(6, 1, seed=2)
    once = moments(condition_on_observations(Prior(), X, Y), x)
    first = condition_on_observations(Prior(), X[:2], Y[:2])
    second = first.condition_on_observations(X[2:], Y[2:])
    assert isinstance(second, ConditionedModel)
    for found, expected in zip(moments(second, x), once, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=CLOSE)


def test_fantasies_may_be_told_more():
    """The noise of the second step is known for each fantasy of the first."""
    X, Y = random(5, 4, 3, seed=1), random(3, 5, 4, 1, seed=2)
    more, value = random(5, 2, 3, seed=4), random(3, 5, 2, 1, seed=5)
    x = random(5, 1, 3)
    model = condition_on_observations(Prior(), X, Y).condition_on_observations(more, value)
    both = condition_on_observations(Prior(), torch.cat((X, more), -2), torch.cat((Y, value), -2))
    for found, expected in zip(moments(model, x), moments(both, x), strict=True):
        assert found.shape == expected.shape
        torch.testing.assert_close(found, expected, rtol=0, atol=CLOSE)


def test_order_does_not_matter():
    x, X, Y = random(4, 3), random(6, 3, seed=1), random(6, 1, seed=2)
    back = torch.arange(5, -1, -1)
    one = moments(condition_on_observations(Prior(), X, Y), x)
    other = moments(condition_on_observations(Prior(), X[back], Y[back]), x)
    for found, expected in zip(one, other, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=CLOSE)


def test_repeated_observations_average():
    """Four looks at one place are one look with a quarter of the noise."""
    x, X = random(2, 3), random(1, 3, seed=1)
    Y = random(4, 1, seed=2)
    four = moments(condition_on_observations(Prior(), X.expand(4, 3), Y), x)
    noise = torch.tensor([NOISE / 4]).double()
    one = moments(condition_on_observations(Prior(), X, Y.mean(0, keepdim=True), noise), x)
    for found, expected in zip(four, one, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=CLOSE)


def test_variance_shrinks_to_the_noise():
    X, Y = random(3, 3), random(3, 1, seed=2)
    for noise in (1e-6, 1e-3, 0.1):
        told = condition_on_observations(Prior(), X, Y, torch.full((3,), noise).double())
        mean, C = moments(told, X)
        assert (C.diagonal() < noise + 10 * RELATIVE_JITTER).all()
        assert (C.diagonal() > 0.8 * noise).all()
        gap = (mean - Y.squeeze(-1)).abs().max()
        assert gap < 10 * noise


def test_observed_and_latent_are_told_apart():
    x, X, Y = random(5, 2, 3), random(5, 4, 3, seed=1), random(3, 5, 4, 1, seed=2)
    for Y_k in (Y, Y[0]):
        model = condition_on_observations(Prior(), X, Y_k)
        mean, C = moments(model, x)
        noisy = moments(model, x, observation_noise=True)
        torch.testing.assert_close(noisy[0], mean)
        expected = C + NOISE * torch.eye(2)
        torch.testing.assert_close(noisy[1], expected)


@pytest.mark.parametrize("q", [1, 2])
@pytest.mark.parametrize("shape", ["", "q", "q 1", "1 q 1", "b q", "b q 1"])
def test_noise_may_be_given(shape, q):
    """As BoTorch gives it, with one output, or without."""
    sizes = {"q": q, "b": 5, "1": 1}
    noise = random(*(sizes[name] for name in shape.split()), seed=6).abs() + 0.1
    wide = noise if shape.endswith("1") else noise.unsqueeze(-1)
    wide = wide.expand(5, q, 1).squeeze(-1)
    x, X, Y = random(5, q, 3), random(5, q, 3, seed=1), random(5, q, 1, seed=2)
    model = condition_on_observations(Prior(), X, Y)
    found = moments(model, x, observation_noise=noise)[1]
    torch.testing.assert_close(found, moments(model, x)[1] + torch.diag_embed(wide))
    told = moments(condition_on_observations(Prior(), X, Y, noise), x)
    expected = moments(condition_on_observations(Prior(), X, Y, wide), x)
    for one, other in zip(told, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_posterior_transform_comes_last():
    model = condition_on_observations(Prior(), random(2, 3), random(2, 1))
    flip = ScalarizedPosteriorTransform(torch.tensor([-1.0], dtype=torch.float64))
    x = random(3, 3, seed=1)
    found = model.posterior(x, posterior_transform=flip)
    torch.testing.assert_close(found.mean, -model.posterior(x).mean)


def test_gradients_match_finite_differences():
    model = condition_on_observations(Prior(), random(4, 3), random(4, 1))

    def both(x):
        mean, C = moments(model, x)
        return torch.cat((mean, C.flatten()))

    x = random(2, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(both, (x,), atol=1e-6)


def test_gradients_reach_what_was_told():
    X, Y = random(4, 3).requires_grad_(), random(4, 1).requires_grad_()
    noise = torch.full((4,), NOISE, dtype=torch.float64)

    def both(X, Y):
        mean, C = moments(condition_on_observations(Prior(), X, Y, noise), random(2, 3, seed=1))
        return torch.cat((mean, C.flatten()))

    assert torch.autograd.gradcheck(both, (X, Y), atol=1e-6)


def test_sampling_works_at_what_is_known():
    X, Y = random(3, 3), random(3, 1)
    model = condition_on_observations(Prior(), X.repeat(2, 1), Y.repeat(2, 1))
    posterior = model.posterior(X)
    samples = posterior.rsample(torch.Size([16]))
    assert samples.shape == (16, 3, 1)
    assert samples.isfinite().all()


class TestOfTheFittedModel:
    """The same on the sparse process over environments."""

    @pytest.fixture(scope="class")
    @staticmethod
    def fitted(data, space):
        gp = LocalGP(n_max=3, l_max=2, max_inducing=40)
        return gp.fit(data[:10], space), space.encode(data[10:20])

    def test_learns_what_it_is_told(self, fitted):
        model, X = fitted
        Y = model.posterior(X[:2]).mean.detach() + 0.3
        told = model.condition_on_observations(X[:2], Y)
        before, after = model.posterior(X), told.posterior(X)
        assert (after.variance <= before.variance * (1 + 1e-6)).all()
        noise = 6 * float(model.fitted.energy_noise_std) ** 2
        assert (after.variance[:2] <= noise).all()
        shift = (after.mean - before.mean)[:2]
        share = before.variance[:2] / (before.variance[:2] + noise)
        assert (shift > 0.5 * 0.3 * share).all()
        assert (shift < 1.2 * 0.3).all()

    def test_its_own_mean_changes_no_mean(self, fitted):
        """What greedy batches are told while the true energies are out."""
        model, X = fitted
        told = model.condition_on_observations(X[:3], model.posterior(X[:3]).mean)
        torch.testing.assert_close(
            told.posterior(X).mean, model.posterior(X).mean, rtol=0, atol=1e-6
        )

    def test_told_the_same_again_and_again(self, fitted):
        model, X = fitted
        for _ in range(4):
            model = model.condition_on_observations(X[:1], model.posterior(X[:1]).mean)
        variance = model.posterior(X).variance
        assert (variance > 0).all()
        assert model.posterior(X.repeat(2, 1)).rsample().isfinite().all()

    def test_acquisitions_see_it(self, fitted):
        model, X = fitted
        told = model.condition_on_observations(X[:1], model.posterior(X[:1]).mean)
        before = LogExpectedImprovement(model, 0.0, maximize=False)(X.unsqueeze(1))
        after = LogExpectedImprovement(told, 0.0, maximize=False)(X.unsqueeze(1))
        assert after[0] < before[0] + 1e-9
        assert after.isfinite().all()

    def test_fantasies_of_fantasies(self, fitted):
        model, X = fitted
        sampler = SobolQMCNormalSampler(torch.Size([3]), seed=0)
        first = model.fantasize(X[:2].view(2, 1, -1), sampler)
        inner = SobolQMCNormalSampler(torch.Size([4]), seed=1)
        second = first.fantasize(X[2:4].view(2, 1, -1), inner)
        assert second.batch_shape == (4, 3, 2)
        posterior = second.posterior(X[4:8].view(2, 2, -1))
        assert posterior.mean.shape == (4, 3, 2, 2, 1)


@pytest.mark.parametrize("shape", [(3,), (2, 1), (3, 2), (4, 1, 1)])
def test_refuses_values_that_do_not_belong(shape):
    with pytest.raises(ShapeError, match=r"`Y` must have shape \[..., 3, 1\], got"):
        condition_on_observations(Prior(), random(3, 3), random(*shape))


def test_jitter_is_small():
    assert RELATIVE_JITTER <= CLOSE / 10


@pytest.fixture(scope="module")
def setting():
    space = Composition(["Cu", "Pd", "Au"], step=1 / 8)
    X = space.members(0, 45)
    cu, pd = X[:, 0], X[:, 1]
    Y = torch.stack([(3 * cu).sin() + pd, cu * pd], -1)
    shown = torch.arange(0, 45, 5)
    names = ("first", "second")
    model = IndependentProperties().fit(TrainingData(X[shown], Y[shown], names), space)
    return model, X


def test_means_stay_and_doubt_shrinks(setting):
    model, X = setting
    told = ConditionedModel(model, X[[7, 22]])
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
    told = ConditionedModel(model, X[[7, 22]])
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
    told = ConditionedModel(model, X[[7]])
    at = X[[8, 40]].unsqueeze(-2)
    latent = told.posterior(at).variance
    given = torch.full((2, 1, 2), 0.5, dtype=torch.float64)
    noisy = told.posterior(at, observation_noise=given).variance
    torch.testing.assert_close(noisy, latent + 0.5)
    own = told.posterior(at, observation_noise=True).variance
    torch.testing.assert_close(
        own - latent,
        model.posterior(at, observation_noise=True).variance - model.posterior(at).variance,
    )


def test_some_outputs_alone(setting):
    model, X = setting
    told = ConditionedModel(model, X[[7]])
    every, one = told.posterior(X[[8, 40]]), told.posterior(X[[8, 40]], [1])
    torch.testing.assert_close(one.mean, every.mean[:, 1:])
    torch.testing.assert_close(one.variance, every.variance[:, 1:])


@pytest.mark.parametrize("noise", [None, (0.1, 0.2)])
def test_several_outcomes_are_conditioned_together(setting, noise):
    """Against the textbook, outcome by outcome, as they are independent."""
    model, X = setting
    points, at = X[[7, 22]], X[[8, 40, 12]]
    Y = model.posterior(points).mean + torch.tensor([0.1, -0.05]).double()
    given = None if noise is None else torch.tensor(noise).double()
    told = condition_on_observations(model, points, Y, given)
    assert told.num_outputs == 2
    found = told.posterior(at)
    mean, C = found.mean, found.distribution.covariance_matrix.reshape(3, 2, 3, 2)
    prior = model.posterior(torch.cat((at, points)))
    K = prior.distribution.covariance_matrix.reshape(5, 2, 5, 2)
    own = (
        model.posterior(points, observation_noise=True).variance - model.posterior(points).variance
    )
    own = own if given is None else given.expand(2, 2)
    for j in range(2):
        block = K[:, j, :, j]
        gain = torch.linalg.solve(block[3:, 3:] + own[:, j].diag(), block[3:, :3]).T
        wanted = prior.mean[:3, j] + gain @ (Y[:, j] - prior.mean[3:, j])
        torch.testing.assert_close(mean[:, j], wanted, rtol=1e-6, atol=1e-9)
        wanted = block[:3, :3] - gain @ block[3:, :3]
        torch.testing.assert_close(C[:, j, :, j], wanted, rtol=1e-5, atol=1e-9)
    alone = told.posterior(at, [1], observation_noise=torch.tensor([0.1, 0.3]).double())
    torch.testing.assert_close(alone.mean, mean[:, 1:])
    torch.testing.assert_close(alone.variance, found.variance[:, 1:] + 0.3)


@pytest.mark.parametrize("surrogate", [LocalGP(max_inducing=5), Committee(SMALL)])
def test_models_of_energies_have_one_outcome_and_can_be_conditioned(surrogate, data, space):
    model = surrogate.fit(data[:3], space)
    assert isinstance(model, ConditionableModel)
    assert model.num_outputs == 1
    assert model.batch_shape == torch.Size()
    X = space.encode(data[3:5])
    conditioned = model.condition_on_observations(X, data[3:5].energy.unsqueeze(-1))
    assert isinstance(conditioned, ConditionedModel)
    assert conditioned.posterior(X).variance.sum() < model.posterior(X).variance.sum()
