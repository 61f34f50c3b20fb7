"""Closed forms of mean and σ, beside BoTorch's functions and autograd."""

import pytest
import torch
from botorch.models.model import Model
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch.distributions import MultivariateNormal

from bostruct.acquisition import (
    AcquisitionContext,
    ExpectedImprovement,
    LogExpectedImprovement,
    LowerConfidenceBound,
)
from bostruct.acquisition.posterior_moments import ClosedFormAcquisition
from bostruct.errors import InputError

BEST = 1.7


class MeanAndSigma(Model):
    """A model whose coordinates are its mean and its σ."""

    num_outputs = 1
    batch_shape = torch.Size()

    def posterior(self, X, posterior_transform=None, **kwargs):
        return GPyTorchPosterior(MultivariateNormal(X[..., 0], X[..., 1:].square()))


# The mean at, above and far above the best energy, where the improvement underflows.
GAPS = (-3.0, -0.2, 0.0, 0.1, 1.0, 5.0, 30.0)
POINTS = torch.tensor([[BEST + u * s, s] for u in GAPS for s in (1e-3, 0.2, 4.0)]).double()

CLOSED = [LowerConfidenceBound(kappa=1.5), ExpectedImprovement(), LogExpectedImprovement()]


@pytest.mark.parametrize("acquisition", CLOSED, ids=lambda one: type(one).__name__)
def test_values_and_derivatives_are_those_of_botorch(acquisition):
    assert isinstance(acquisition, ClosedFormAcquisition)
    context = AcquisitionContext(MeanAndSigma(), best_f=BEST)
    X = POINTS.clone().requires_grad_()
    value = acquisition.build(context)(X.unsqueeze(-2))
    (derivatives,) = torch.autograd.grad(value.sum(), X)
    found = acquisition.value_and_derivatives(context, *POINTS.unbind(-1))
    torch.testing.assert_close(found.value, value.detach(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.mean_derivative, derivatives[:, 0], rtol=1e-7, atol=1e-12)
    torch.testing.assert_close(found.std_derivative, derivatives[:, 1], rtol=1e-6, atol=1e-11)
    assert (found.std_derivative >= 0).all()
    assert (found.mean_derivative <= 0).all()


@pytest.mark.parametrize("acquisition", CLOSED[1:], ids=lambda one: type(one).__name__)
def test_improvements_need_an_energy_to_improve(acquisition):
    with pytest.raises(InputError, match="best_f"):
        acquisition.value_and_derivatives(AcquisitionContext(MeanAndSigma()), *POINTS.unbind(-1))


def test_every_other_acquisition_keeps_botorchs_path(each):
    closed = {type(one) for one in CLOSED}
    assert isinstance(each, ClosedFormAcquisition) == (type(each) in closed)
