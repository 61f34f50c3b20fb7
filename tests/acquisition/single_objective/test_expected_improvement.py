import math

import pytest
import torch

from bostruct import acquisition as module
from bostruct.errors import InputError

EXACT = {"rtol": 1e-10, "atol": 1e-14}
# 2¹⁴ scrambled Sobol points; the kink of max(., 0) costs an order.
QUASI = {"rtol": 1e-2, "atol": 1e-4}
MANY = 2**14


def gain(model, X, best):
    """E[max(best - E, 0)] by the trapezoid rule on ±12 σ, `[b]` eV."""
    mean, sigma = model.mean(X), model.sigma(X)
    z = torch.linspace(-12, 12, 40_001, dtype=torch.float64)
    density = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)
    height = (best - mean - sigma * z).clamp_min(0)
    return torch.trapezoid(height * density, z, dim=-1)


@pytest.mark.parametrize("best", [1.2, 1.7, 2.0, 2.6])
def test_expected_improvement_is_its_integral(best, setting):
    X = setting.X[:, :1]
    expected = gain(setting.model, X, best)
    value = module.ExpectedImprovement().build(setting.context(best_f=best))(X)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-9)
    log = module.LogExpectedImprovement().build(setting.context(best_f=best))(X)
    torch.testing.assert_close(log, value.log(), rtol=1e-6, atol=1e-8)


def test_logarithm_has_a_gradient_where_the_plain_form_has_none(setting):
    X = setting.X[:, :1].clone().requires_grad_()
    plain = module.ExpectedImprovement().build(setting.context(best_f=-1000.0))(X)
    assert not plain.any()
    log = module.LogExpectedImprovement().build(setting.context(best_f=-1000.0))(X)
    (slope,) = torch.autograd.grad(log.sum(), X)
    assert log.isfinite().all()
    assert slope.isfinite().all()
    assert slope.any()


def test_joint_of_one_is_the_single_form(setting):
    X, best = setting.X[:, :1], 2.0
    single = module.ExpectedImprovement().build(setting.context(best_f=best))(X)
    joint = module.qExpectedImprovement(n_samples=MANY).build(setting.context(best_f=best))(X)
    torch.testing.assert_close(joint, single, **QUASI)
    log = module.qLogExpectedImprovement(n_samples=MANY).build(setting.context(best_f=best))(X)
    torch.testing.assert_close(log.exp(), single, **QUASI)


def test_joint_against_draws(setting):
    best, samples = 2.0, 200_000
    plain = module.qExpectedImprovement(n_samples=MANY).build(setting.context(best_f=best))
    log = module.qLogExpectedImprovement(n_samples=MANY).build(setting.context(best_f=best))
    for X in setting.X:
        draws = (best - setting.model.draw(X, samples).amin(-1)).clamp_min(0)
        # 5 standard errors: a false alarm in two million.
        error = 5 * draws.std() / math.sqrt(samples) + 1e-4
        assert abs(plain(X) - draws.mean()) < error
        # BoTorch's smooth maximum over q is at most 1 % above the hard one.
        assert abs(log(X).exp() - draws.mean()) < error + 1e-2 * draws.mean()


@pytest.mark.parametrize(
    "form", [module.qNoisyExpectedImprovement, module.qLogNoisyExpectedImprovement]
)
def test_noisy_forms_compare_with_the_posterior_at_what_was_observed(form, setting):
    samples = 200_000
    function = form(n_samples=MANY).build(
        setting.context(best_f=math.nan, X_baseline=setting.observed)
    )
    for X in setting.X:
        everything = torch.cat([setting.observed, X])
        draws = setting.model.draw(everything, samples)
        before, now = draws[:, :5].amin(-1), draws[:, 5:].amin(-1)
        gains = (before - now).clamp_min(0)
        found = function(X)
        if form is module.qLogNoisyExpectedImprovement:
            found = found.exp()
        error = 5 * gains.std() / math.sqrt(samples) + 1e-4
        assert abs(found - gains.mean()) < error + 2e-2 * gains.mean()


@pytest.mark.parametrize(
    "form", [module.qNoisyExpectedImprovement(), module.qLogNoisyExpectedImprovement()]
)
@pytest.mark.parametrize("observed", [None, torch.zeros(0, 2)])
def test_noisy_forms_need_what_was_observed(form, observed, setting):
    with pytest.raises(InputError, match="`X_baseline` must hold a structure"):
        form.build(setting.context(X_baseline=observed))


def test_pending_candidates_join_every_set(setting):
    X, pending = setting.X[:1, :1], setting.X[0, 1:]
    form = module.qExpectedImprovement()
    together = form.build(setting.context())(setting.X[:1])
    apart = form.build(setting.context(X_pending=pending))(X)
    torch.testing.assert_close(apart, together, **EXACT)


def test_pending_candidates_are_observed_ones_of_the_logarithm(setting):
    X, pending = setting.X[:1, :1], setting.X[0, 1:]
    form = module.qLogNoisyExpectedImprovement(n_samples=MANY)
    observed = setting.observed
    value = form.build(setting.context(X_baseline=observed, X_pending=pending))(X)
    draws = setting.model.draw(torch.cat([observed, pending, X[0]]), 200_000)
    gains = (draws[:, :6].amin(-1) - draws[:, 6]).clamp_min(0)
    error = 5 * gains.std() / math.sqrt(200_000) + 1e-4
    assert abs(value.exp() - gains.mean()) < error + 2e-2 * gains.mean()


@pytest.mark.parametrize(
    "form",
    [
        module.qExpectedImprovement,
        module.qLogExpectedImprovement,
        module.qNoisyExpectedImprovement,
        module.qLogNoisyExpectedImprovement,
    ],
)
def test_refuses_no_samples(form):
    with pytest.raises(InputError, match="`n_samples` must be an integer of at least 1"):
        form(n_samples=0)
