"""Equations 19 and 20 by their closed forms."""

import math

import pytest
import torch

from bostruct.errors import InputError, ShapeError
from bostruct.uncertainty import beta_nll, decompose_variance, gaussian_nll


def draws(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_the_constant_is_there():
    zero, one = torch.zeros(1).double(), torch.ones(1).double()
    assert float(gaussian_nll(zero, one)) == pytest.approx(0.5 * math.log(2 * math.pi))


def test_it_is_torchs_with_full():
    e, t2 = draws(50), draws(50, seed=1).exp()
    loss = torch.nn.GaussianNLLLoss(full=True, reduction="none")
    torch.testing.assert_close(gaussian_nll(e, t2), loss(e, torch.zeros_like(e), t2))


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_the_best_variance_is_the_mean_square_of_a_group(beta):
    e = draws(2, 400) * torch.tensor([[0.1], [3.0]]).double()
    best = e.square().mean(1, keepdim=True).requires_grad_()
    loss = beta_nll(e, best.expand(2, 400), beta).sum()
    (slope,) = torch.autograd.grad(loss, best)
    assert slope.abs().max() < 1e-9 * 400 / best.detach().min()
    for factor in (0.9, 1.1):
        worse = gaussian_nll(e, best.detach() * factor).sum()
        assert worse > gaussian_nll(e, best.detach()).sum()


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_slope_with_the_mean(beta):
    e, t2 = draws(20).requires_grad_(), draws(20, seed=1).exp()
    (slope,) = torch.autograd.grad(beta_nll(e, t2, beta).sum(), e)
    torch.testing.assert_close(slope, e.detach() * t2 ** (beta - 1))


def test_slope_with_the_variance_is_that_of_differences():
    e, t2 = draws(20), draws(20, seed=1).exp().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: gaussian_nll(e, v), (t2,))


def test_a_large_variance_is_no_excuse_with_beta_of_one():
    """The trap: where the variance is large, (19) hardly pulls at the mean."""
    e = torch.full((1,), 1.0).double().requires_grad_()
    wide = torch.full((1,), 1e4).double()
    (lazy,) = torch.autograd.grad(gaussian_nll(e, wide).sum(), e)
    (eager,) = torch.autograd.grad(beta_nll(e, wide, 1.0).sum(), e)
    assert float(lazy) == pytest.approx(1e-4)
    assert float(eager) == pytest.approx(1.0)


def test_with_the_divisor_m_it_is_the_variance_of_the_mixture():
    y, t2 = draws(5, 7), draws(5, 7, seed=1).exp()
    second = (t2 + y.square()).mean(0)
    mixture = second - y.mean(0).square()
    torch.testing.assert_close(decompose_variance(y, t2, ddof=0).total, mixture)
    shares = decompose_variance(y, t2)
    torch.testing.assert_close(shares.between, y.var(0))
    torch.testing.assert_close(shares.within, t2.mean(0))


def test_limits_of_members_and_of_one():
    y, t2 = draws(5, 7), draws(5, 7, seed=1).exp()
    bare = decompose_variance(y, torch.zeros_like(t2)).total
    torch.testing.assert_close(bare, y.var(0))
    one = decompose_variance(y[:1], t2[:1], ddof=0).total
    torch.testing.assert_close(one, t2[0])


def test_refusals():
    y = draws(1, 3)
    with pytest.raises(InputError, match="`variance` must be positive, got 0"):
        gaussian_nll(y, torch.zeros_like(y))
    with pytest.raises(InputError, match="`beta` must be from 0 to 1, got 2"):
        beta_nll(y, y.square(), 2.0)
    with pytest.raises(InputError, match="`means` must hold more than 1 members"):
        decompose_variance(y, y.square())
    with pytest.raises(InputError, match="`ddof` must be 1 for the divisor"):
        decompose_variance(y, y.square(), ddof=2)
    with pytest.raises(InputError, match="`variances` must be not negative"):
        decompose_variance(y, -y.square(), ddof=0)
    with pytest.raises(ShapeError, match=r"`variances` must have shape \[1, 3\]"):
        decompose_variance(y, y[0])
