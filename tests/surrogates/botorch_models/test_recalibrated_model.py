"""A model with other means and standard deviations than its own."""

import pytest
import torch
from botorch.acquisition import ExpectedImprovement, UpperConfidenceBound, qExpectedImprovement
from botorch.sampling import SobolQMCNormalSampler
from torch.distributions import Normal

from bostruct.errors import ShapeError
from bostruct.surrogates import LocalGP, condition_on_observations
from bostruct.surrogates.botorch_models.recalibrated_model import RecalibratedModel

SHIFT, SCALE = 0.7, 1.8


@pytest.fixture(scope="module")
def case(data, space):
    model = LocalGP(n_max=3, l_max=2, max_inducing=30, label_noise=1e-5).fit(data[:12], space)
    return model, space.encode(data[15:20])


def wide(model, shift=SHIFT, scale=SCALE):
    return RecalibratedModel(model, torch.tensor([shift]), torch.tensor([scale]))


def test_means_are_shifted_and_deviations_scaled(case):
    model, X = case
    for points in (X, X.unsqueeze(-2), X[:4].view(2, 2, -1)):
        own, found = model.posterior(points), wide(model).posterior(points)
        std = own.variance.sqrt()
        torch.testing.assert_close(found.mean, own.mean + SHIFT * std)
        torch.testing.assert_close(found.variance.sqrt(), SCALE * std)
        torch.testing.assert_close(
            found.distribution.covariance_matrix, SCALE**2 * own.distribution.covariance_matrix
        )
    noisy = wide(model).posterior(X, observation_noise=True).variance
    expected = SCALE**2 * model.posterior(X, observation_noise=True).variance
    torch.testing.assert_close(noisy, expected)
    given = wide(model).posterior(X, observation_noise=torch.full((5,), 0.3).double()).variance
    torch.testing.assert_close(given, SCALE**2 * model.posterior(X).variance + 0.3)


def test_without_a_correction_it_is_the_model(case):
    model, X = case
    found = wide(model, 0.0, 1.0).posterior(X)
    assert torch.equal(found.mean, model.posterior(X).mean)
    assert torch.equal(found.variance, model.posterior(X).variance)


@pytest.mark.filterwarnings("ignore::botorch.exceptions.warnings.NumericsWarning")
def test_acquisitions_see_the_correction(case):
    model, X = case
    points = X.unsqueeze(-2)
    own = model.posterior(points)
    mean = (own.mean + SHIFT * own.variance.sqrt()).flatten()
    std = SCALE * own.variance.sqrt().flatten()
    bound = UpperConfidenceBound(wide(model), beta=4.0, maximize=False)(points)
    torch.testing.assert_close(bound, 2 * std - mean)
    best = float(mean.mean())
    u = (best - mean) / std
    unit = Normal(torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64))
    expected = std * (u * unit.cdf(u) + unit.log_prob(u).exp())
    found = ExpectedImprovement(wide(model), best_f=best, maximize=False)(points)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)
    sampler = SobolQMCNormalSampler(torch.Size([16]), seed=0)
    value = qExpectedImprovement(wide(model), best_f=-best, sampler=sampler)(X[:4].view(2, 2, -1))
    assert value.shape == (2,)


def test_it_has_slopes(case):
    model, X = case
    acquisition = UpperConfidenceBound(wide(model), beta=1.0, maximize=False)
    x = X[:1].clone().requires_grad_()
    (slope,) = torch.autograd.grad(acquisition(x.unsqueeze(-2)).sum(), x)
    along = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    with torch.no_grad():
        up, down = (acquisition((x + h * along).unsqueeze(-2)) for h in (1e-4, -1e-4))
    torch.testing.assert_close(
        (slope * along).sum(), (up - down).sum() / 2e-4, rtol=1e-4, atol=1e-6
    )


def test_what_is_observed_is_known(case):
    model, X = case
    before = wide(model).posterior(X[:1])
    energy = before.mean + 2 * before.variance.sqrt()
    after = condition_on_observations(wide(model), X[:1], energy)
    found = after.posterior(X[:2].unsqueeze(-2))
    std = float(before.variance.sqrt())
    assert float(found.mean[0]) == pytest.approx(float(energy), abs=0.1 * std)
    assert float(found.variance[0]) < 3e-2 * float(wide(model).posterior(X[:1]).variance)
    assert wide(model).condition_on_observations(X[:1], torch.zeros(1, 1).double()).num_outputs == 1
    assert wide(model).batch_shape == torch.Size()


def test_each_outcome_has_its_own():
    class Two(torch.nn.Module):
        num_outputs, batch_shape = 2, torch.Size()

        def posterior(self, X, observation_noise=False):
            from bostruct.surrogates.botorch_models.posterior import joint_posterior

            q = X.shape[-2]
            C = torch.eye(2 * q, dtype=torch.float64) + 0.5
            return joint_posterior(torch.zeros(q, 2, dtype=torch.float64), C, None)

    model = RecalibratedModel(Two(), torch.tensor([0.0, 2.0]), torch.tensor([1.0, 3.0]))
    found = model.posterior(torch.zeros(3, 4).double())
    std = 1.5**0.5
    torch.testing.assert_close(found.mean, torch.tensor([[0.0, 2 * std]]).double().expand(3, 2))
    torch.testing.assert_close(found.variance, torch.tensor([[1.5, 13.5]]).double().expand(3, 2))
    C = found.distribution.covariance_matrix
    assert float(C[0, 3]) == pytest.approx(0.5 * 3)
    only = model.posterior(torch.zeros(3, 4).double(), output_indices=[1])
    torch.testing.assert_close(only.variance.flatten(), torch.full((3,), 13.5).double())


@pytest.mark.parametrize("name", ["shift", "scale"])
def test_a_number_for_each_outcome(case, name):
    numbers = {"shift": torch.zeros(1), "scale": torch.ones(1)} | {name: torch.ones(2)}
    with pytest.raises(ShapeError, match=f"`{name}` must have shape"):
        RecalibratedModel(case[0], **numbers)


def test_closed_forms_are_those_of_the_posterior(case):
    model, X = case
    X = X.clone().requires_grad_()
    posterior = wide(model).posterior(X.unsqueeze(-2))
    mean, std = posterior.mean.flatten(), posterior.variance.sqrt().flatten()
    assert wide(model).has_closed_form_gradients
    moments = wide(model).posterior_moments(X)
    torch.testing.assert_close(moments.mean, mean.detach(), rtol=1e-10, atol=1e-7)
    torch.testing.assert_close(moments.std, std.detach(), rtol=1e-6, atol=1e-7)
    factors = torch.linspace(-1, 1, len(X)).to(X), torch.linspace(2, 3, len(X)).to(X)
    (expected,) = torch.autograd.grad((factors[0] * mean + factors[1] * std).sum(), X)
    torch.testing.assert_close(moments.gradient(*factors), expected, rtol=1e-5, atol=1e-6)


def test_a_model_without_closed_forms_has_none_afterwards(case):
    model, _ = case
    assert not wide(
        wide(model).condition_on_observations(case[1][:1], torch.zeros(1, 1))
    ).has_closed_form_gradients
