import pytest
import torch

from bostruct.candidates.batched_lbfgs import relax
from bostruct.candidates.rigid_relaxation import RigidAcquisition, relax_rigidly
from bostruct.spaces import Cluster
from bostruct.testing import seeded_generator
from bostruct.testing.central_differences import assert_gradient


class Attraction:
    """Minus a sum over pairs that draws molecules together and tears at their bonds."""

    def __init__(self, with_gradient):
        if with_gradient:
            self.value_and_gradient = self._value_and_gradient

    def __call__(self, X):
        return -((_distances(X) - 2.5) ** 2).sum(-1) / 10

    def _value_and_gradient(self, X):
        X = X.detach().requires_grad_()
        with torch.enable_grad():
            value = self(X)
            (gradient,) = torch.autograd.grad(value.sum(), X)
        return value.detach(), gradient


def _distances(X):
    P = X.reshape(len(X), -1, 3)
    i, j = torch.triu_indices(P.shape[1], P.shape[1], 1)
    return (P[:, i] - P[:, j]).norm(dim=-1)


@pytest.fixture
def space():
    return Cluster.of({"H2O": 2, "H2O2": 1})


def bond_lengths(space, X):
    ends = X.reshape(len(X), -1, 3)[:, space.fragments.bonds]
    return (ends[:, :, 0] - ends[:, :, 1]).norm(dim=-1)


@pytest.mark.parametrize("with_gradient", [True, False])
def test_the_gradient_is_that_of_the_motion(space, with_gradient):
    X = space.sample(3, seeded_generator(0))
    q = 0.1 * torch.randn(3, space.rigid_dimension, dtype=X.dtype, generator=seeded_generator(1))
    rigid = RigidAcquisition(Attraction(with_gradient), space)
    Z = torch.cat((X, q), -1)
    value, gradient = rigid.value_and_gradient(Z)
    torch.testing.assert_close(value, rigid(Z))
    assert not gradient[:, : X.shape[1]].any()
    at_X = Z[:, : X.shape[1]]
    assert_gradient(lambda q: rigid(torch.cat((at_X, q), -1)).sum(), q)
    by_autograd = q.clone().requires_grad_()
    rigid(torch.cat((X, by_autograd), -1)).sum().backward()
    torch.testing.assert_close(gradient[:, X.shape[1] :], by_autograd.grad)


@pytest.mark.parametrize("with_gradient", [True, False])
def test_bonds_are_kept_and_the_value_rises(space, with_gradient):
    X = space.sample(6, seeded_generator(0))
    acquisition = Attraction(with_gradient)
    limits = {"fmax": 1e-3, "max_steps": 100, "max_step": 0.1}
    end = relax_rigidly(acquisition, space, X, **limits)
    torch.testing.assert_close(bond_lengths(space, end.X), bond_lengths(space, X))
    assert (end.acq_value > acquisition(X)).all()
    torch.testing.assert_close(end.acq_value, acquisition(end.X))
    assert end.converged.any()
    free = relax(acquisition, X, **limits)
    assert (bond_lengths(space, free.X) - bond_lengths(space, X)).abs().max() > 0.3
