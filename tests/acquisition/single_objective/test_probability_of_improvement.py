import math

import pytest
import torch

from bostruct import acquisition as module
from bostruct.errors import InputError

EXACT = {"rtol": 1e-10, "atol": 1e-14}
MANY = 2**14


@pytest.mark.parametrize("best", [-50.0, 1.2, 1.7, 2.0, 50.0])
def test_closed_form(best, setting):
    X = setting.X[:, :1]
    mean, sigma = setting.model.mean(X), setting.model.sigma(X)
    u = ((best - mean) / sigma).squeeze(-1)
    value = module.ProbabilityOfImprovement().build(setting.context(best_f=best))(X)
    torch.testing.assert_close(value, torch.special.ndtr(u), **EXACT)
    log = module.LogProbabilityOfImprovement().build(setting.context(best_f=best))(X)
    expected = torch.special.log_ndtr(u)
    torch.testing.assert_close(log, expected, rtol=1e-8, atol=1e-14)


def test_joint_against_draws(setting):
    best, samples = 1.9, 200_000
    form = module.qProbabilityOfImprovement(n_samples=MANY)
    value = form.build(setting.context(best_f=best))(setting.X)
    for X, found in zip(setting.X, value, strict=True):
        hits = (setting.model.draw(X, samples).amin(-1) < best).double()
        # 5 standard errors of the draws, and what the sigmoid and 2¹⁴ points cost.
        assert abs(found - hits.mean()) < 5 * hits.std() / math.sqrt(samples) + 2e-3


def test_joint_of_one_is_the_single_form(setting):
    X, best = setting.X[:, :1], 1.9
    single = module.ProbabilityOfImprovement().build(setting.context(best_f=best))(X)
    form = module.qProbabilityOfImprovement(n_samples=MANY)
    value = form.build(setting.context(best_f=best))(X)
    torch.testing.assert_close(value, single, rtol=0, atol=2e-3)


@pytest.mark.parametrize("width", [0.0, -1.0, math.nan])
def test_refuses_width(width):
    with pytest.raises(InputError, match="`tau` must be positive"):
        module.qProbabilityOfImprovement(tau=width)


def test_refuses_no_samples():
    with pytest.raises(InputError, match="`n_samples` must be an integer of at least 1"):
        module.qProbabilityOfImprovement(n_samples=0)
