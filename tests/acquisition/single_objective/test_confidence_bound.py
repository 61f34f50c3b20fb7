import math

import pytest
import torch

from bostruct.acquisition import LowerConfidenceBound, qLowerConfidenceBound
from bostruct.errors import InputError

EXACT = {"rtol": 1e-12, "atol": 1e-12}
# 2¹⁴ scrambled Sobol points of a smooth function in two dimensions.
QUASI = {"rtol": 2e-3, "atol": 2e-3}


@pytest.mark.parametrize("kappa", [0.0, 1.0, 2.5])
def test_closed_form(kappa, setting):
    X = setting.X[:, :1]
    value = LowerConfidenceBound(kappa).build(setting.context())(X)
    mean, sigma = setting.model.mean(X), setting.model.sigma(X)
    torch.testing.assert_close(value, (kappa * sigma - mean).squeeze(-1), **EXACT)


def test_joint_is_not_the_pessimistic_bound(setting):
    """BoTorch's `qLowerConfidenceBound` takes σ away from a utility; ours adds it."""
    X = setting.X[:, :1]
    mean = -setting.model.mean(X).squeeze(-1)
    assert (qLowerConfidenceBound().build(setting.context(best_f=0.0))(X) > mean).all()
    assert (LowerConfidenceBound().build(setting.context(best_f=0.0))(X) > mean).all()


def test_joint_of_one_is_the_single_form(setting):
    X = setting.X[:, :1]
    joint = qLowerConfidenceBound(1.5, n_samples=2**14)
    single = LowerConfidenceBound(1.5).build(setting.context())(X)
    value = joint.build(setting.context())(X)
    torch.testing.assert_close(value, single, **QUASI)


def test_joint_against_draws(setting):
    """E max_i (-mu_i + kappa sqrt(pi / 2) |E_i - mu_i|), as in [W17]."""
    kappa, samples = 1.5, 200_000
    joint = qLowerConfidenceBound(kappa, n_samples=2**14)
    value = joint.build(setting.context())(setting.X)
    for X, found in zip(setting.X, value, strict=True):
        mean = setting.model.mean(X)
        wide = kappa * math.sqrt(math.pi / 2)
        draws = setting.model.draw(X, samples) - mean
        best = (wide * draws.abs() - mean).amax(-1)
        # 5 standard errors: a false alarm in two million.
        assert abs(found - best.mean()) < 5 * best.std() / math.sqrt(samples) + 1e-3


def test_pending_candidates_join_every_set(setting):
    together = qLowerConfidenceBound().build(setting.context())(setting.X[:1])
    X, pending = setting.X[:1, :1], setting.X[0, 1:]
    function = qLowerConfidenceBound().build(setting.context(X_pending=pending))
    torch.testing.assert_close(function(X), together, **EXACT)


def test_no_pending_candidates_are_none(setting):
    X = setting.X[:, :1]
    empty = X.new_zeros(0, 2)
    for form in (LowerConfidenceBound(), qLowerConfidenceBound()):
        value = form.build(setting.context(X_pending=empty))(X)
        expected = form.build(setting.context())(X)
        torch.testing.assert_close(value, expected, **EXACT)


@pytest.mark.parametrize("form", [LowerConfidenceBound, qLowerConfidenceBound])
@pytest.mark.parametrize("kappa", [-1.0, math.nan, math.inf])
def test_refuses_kappa(form, kappa):
    with pytest.raises(InputError, match="`kappa` must be finite and not negative"):
        form(kappa)


def test_refuses_no_samples():
    with pytest.raises(InputError, match="`n_samples` must be an integer of at least 1"):
        qLowerConfidenceBound(n_samples=0)
