"""Inside `exact`, GPyTorch's answers are those of a Cholesky factorisation."""

import gpytorch
import pytest
import torch
from linear_operator import settings, to_linear_operator

from bostruct.surrogates.gpytorch_settings import cholesky_only

FLAGS = ("covar_root_decomposition", "log_prob", "solves")


def state():
    flags = [getattr(settings.fast_computations, name).on() for name in FLAGS]
    return [*flags, settings.cholesky_max_tries.value()]


@pytest.mark.parametrize("outer", [True, False])
def test_leaves_the_settings_as_they_were(outer):
    with settings.fast_computations(outer, outer, outer):
        before = state()
        with cholesky_only():
            assert state() == [False, False, False, 6]
        assert state() == before


def test_leaves_them_after_an_error_too():
    before = state()

    def fail():
        with cholesky_only():
            raise KeyError("any")

    with pytest.raises(KeyError, match="any"):
        fail()
    assert state() == before


def test_large_likelihood_is_exact():
    """With room for a Cholesky factor of one row only, as if there were millions."""
    x = torch.linspace(0, 1, 300, dtype=torch.float64)
    K = torch.exp(-((x.unsqueeze(-1) - x) ** 2) / 0.02) + 0.01 * torch.eye(300)
    y = (6 * x).sin()
    gaussian = torch.distributions.MultivariateNormal(torch.zeros_like(x), K)
    expected = float(gaussian.log_prob(y))
    lazy = gpytorch.distributions.MultivariateNormal(torch.zeros_like(x), to_linear_operator(K))
    with settings.max_cholesky_size(1), cholesky_only():
        found = float(lazy.log_prob(y))
    assert found == pytest.approx(expected, rel=1e-9)
