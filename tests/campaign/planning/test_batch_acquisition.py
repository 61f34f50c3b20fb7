import torch

from bostruct.runtime.rng import generator_for
from tests.campaign.standin import Box


def test_a_second_look_at_one_that_is_pending_is_worth_little(made):
    task, value, _ = made
    X = Box().sample(5, generator_for(1))
    before = value(X).detach()
    assert before.shape == (5,)
    after = value.with_pending(X[:1]).with_pending(X[1:2])(X).detach()
    if task.components.acquisition.supports_q_batch:  # the value is that of all three together
        assert after[:2].max() <= after[2:].min() + 1e-3
    else:
        assert (after[:2] < before[:2]).all()


def test_it_has_gradients(made):
    _, value, _ = made
    X = Box().sample(3, generator_for(1)).requires_grad_()
    (gradient,) = torch.autograd.grad(value(X).sum(), X)
    assert gradient.shape == X.shape
    assert gradient.abs().sum() > 0
