import math

import pytest
import torch

from bostruct.acquisition import StandardDeviation, qStandardDeviation
from bostruct.errors import InputError

MANY = 2**14


def test_closed_form_whatever_the_sign(setting):
    X = setting.X[:, :1]
    sigma = setting.model.sigma(X).squeeze(-1)
    for model in (setting.model, setting.flipped):
        value = StandardDeviation().build(setting.context(model=model))(X)
        torch.testing.assert_close(value, sigma, rtol=1e-10, atol=0)


def test_joint_of_one_is_the_single_form(setting):
    X = setting.X[:, :1]
    sigma = setting.model.sigma(X).squeeze(-1)
    value = qStandardDeviation(n_samples=MANY).build(setting.context())(X)
    torch.testing.assert_close(value, sigma, rtol=2e-3, atol=0)


def test_joint_against_draws(setting):
    """E max_i sqrt(pi / 2) |E_i - mu_i|."""
    samples = 200_000
    form = qStandardDeviation(n_samples=MANY)
    value = form.build(setting.context())(setting.X)
    for X, found in zip(setting.X, value, strict=True):
        draws = (setting.model.draw(X, samples) - setting.model.mean(X)).abs().amax(-1)
        draws = math.sqrt(math.pi / 2) * draws
        # 5 standard errors: a false alarm in two million.
        assert abs(found - draws.mean()) < 5 * draws.std() / math.sqrt(samples) + 1e-3


def test_refuses_no_samples():
    with pytest.raises(InputError, match="`n_samples` must be an integer of at least 1"):
        qStandardDeviation(n_samples=0)
