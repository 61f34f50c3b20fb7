import pytest
import torch
from botorch.acquisition.objective import ScalarizedPosteriorTransform
from botorch.sampling.normal import SobolQMCNormalSampler

from bostruct.acquisition.multi_objective.deterministic_outcomes import (
    DeterministicOutcomesModel,
    DeterministicOutcomesPosterior,
)
from bostruct.errors import InputError

X = torch.tensor([[[0.1, 0.2, 1 / 3], [0.3, 0.4, 1e6 / 7]]], dtype=torch.float64)


def joined(case):
    """Outcomes in the order known, learnt, learnt."""
    model = case([[1.0, 2.0]]).model
    return model, DeterministicOutcomesModel(
        model, lambda X: X[..., 2:], ("b", "a"), ("k", "a", "b")
    )


def test_the_exact_outcome_is_exact(case):
    """To the last bit, in every sample: no jitter, no rounding."""
    _, model = joined(case)
    posterior = model.posterior(X)
    draws = SobolQMCNormalSampler(torch.Size([16]), seed=0)(posterior)
    assert draws.shape == (16, 1, 2, 3)
    assert torch.equal(draws[..., 0], X[..., 2].expand(16, 1, 2))
    assert torch.equal(posterior.mean[..., 0], X[..., 2])
    assert torch.equal(posterior.variance[..., 0], torch.zeros(1, 2).double())
    assert torch.equal(posterior.rsample(torch.Size([3]))[0, ..., 0], X[..., 2])


def test_the_learnt_outcomes_are_the_models(case):
    learnt, model = joined(case)
    posterior, alone = model.posterior(X), learnt.posterior(X)
    assert torch.equal(posterior.mean[..., [2, 1]], alone.mean)
    assert torch.equal(posterior.variance[..., [2, 1]], alone.variance)
    sampler = SobolQMCNormalSampler(torch.Size([16]), seed=0)
    again = SobolQMCNormalSampler(torch.Size([16]), seed=0)
    assert torch.equal(sampler(posterior)[..., [2, 1]], again(alone))


def test_shapes_and_kind(case):
    _, model = joined(case)
    posterior = model.posterior(X)
    assert model.num_outputs == 3
    assert model.batch_shape == torch.Size()
    assert posterior.batch_shape == (1,)
    assert posterior._extended_shape(torch.Size([5])) == (5, 1, 2, 3)
    assert posterior.batch_range == (0, -2)
    assert posterior.base_sample_shape == (1, 2, 2)
    assert posterior.dtype == torch.float64
    assert posterior.device == X.device


def test_without_known_outcomes_there_is_another_order(case):
    learnt = case([[1.0, 2.0]]).model
    model = DeterministicOutcomesModel(learnt, None, ("b", "a"), ("a", "b"))
    assert torch.equal(model.posterior(X).mean, learnt.posterior(X).mean.flip(-1))


def test_takes_a_transform(case):
    """What BoTorch hands over is applied to all outcomes."""

    class Same(ScalarizedPosteriorTransform):
        def forward(self, posterior, X=None):
            return posterior

    _, model = joined(case)
    same = Same(torch.ones(3))
    assert isinstance(model.posterior(X, posterior_transform=same), DeterministicOutcomesPosterior)


def test_gradients_go_through(case):
    _, model = joined(case)
    moved = X.clone().requires_grad_()
    draws = SobolQMCNormalSampler(torch.Size([4]), seed=0)(model.posterior(moved))
    (slope,) = torch.autograd.grad(draws[..., 0].sum(), moved)
    assert torch.equal(slope, 4.0 * torch.tensor([0.0, 0.0, 1.0]).expand_as(X))


def test_noise_is_that_of_the_modeled_outcomes(case):
    """Exact outcomes are measured without noise, whatever is passed for them."""
    modeled, model = joined(case)
    latent = model.posterior(X).variance
    observed = model.posterior(X, observation_noise=True).variance
    alone = modeled.posterior(X, observation_noise=True).variance
    assert torch.equal(observed[..., [2, 1]], alone)
    expected = torch.tensor([0.0, 0.2, 0.1]).double().expand(1, 2, 3)  # of k, a, b
    torch.testing.assert_close(observed - latent, expected)
    noise = torch.tensor([7.0, 0.3, 0.5], dtype=torch.float64)
    extra = model.posterior(X, observation_noise=noise).variance - latent
    torch.testing.assert_close(extra, torch.tensor([0.0, 0.3, 0.5]).double().expand(1, 2, 3))


@pytest.mark.parametrize("indices", [[0], [1], [2, 0], [1, 2], [2, 1, 0]])
def test_some_outcomes_are_columns_of_all(case, indices):
    _, model = joined(case)
    some, every = model.posterior(X, output_indices=indices), model.posterior(X)
    assert torch.equal(some.mean, every.mean[..., indices])
    assert torch.equal(some.variance, every.variance[..., indices])
    sampler = SobolQMCNormalSampler(torch.Size([16]), seed=0)
    again = SobolQMCNormalSampler(torch.Size([16]), seed=0)
    assert torch.equal(sampler(some), again(every)[..., indices])
    noisy = model.posterior(X, output_indices=indices, observation_noise=True).variance
    every = model.posterior(X, observation_noise=True).variance
    assert torch.equal(noisy, every[..., indices])


def test_a_posterior_without_the_shape_of_its_samples_is_refused():
    bare = DeterministicOutcomesPosterior(object(), X[..., 2:], [0])
    with pytest.raises(InputError, match=r"`botorch` must have `object\._extended_shape`, got ver"):
        bare._extended_shape()
