import pytest
import torch

from bostruct.acquisition import (
    AcquisitionContext,
    ExpectedImprovement,
    LogExpectedImprovement,
    LowerConfidenceBound,
    StandardDeviation,
    qLowerConfidenceBound,
)
from bostruct.campaign.planning.batch_acquisition import BatchAcquisition, fastest_to_search
from bostruct.candidates import BasinHopping
from bostruct.candidates.batched_lbfgs import value_and_gradient_by_autograd
from bostruct.runtime.rng import generator_for
from bostruct.spaces import Cluster
from bostruct.surrogates import LocalGP, LocalGPModel
from tests.campaign.standin import Box
from tests.surrogates.dense import labelled


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


@pytest.fixture(scope="module")
def context():
    """The context of a fitted model of Cu3Au2."""
    space = Cluster("Cu3Au2")
    structures = labelled(space.sample(8, generator_for(0)), space, steps=4)
    model = LocalGP().fit(structures, space)
    X, Y = space.encode(structures), structures.energy
    return AcquisitionContext(model, X_baseline=X, Y=Y, best_f=float(Y.min()))


ACQUISITIONS = [
    *(LowerConfidenceBound(), ExpectedImprovement(), LogExpectedImprovement()),
    *(StandardDeviation(), qLowerConfidenceBound(n_samples=16)),
]


@pytest.mark.parametrize("acquisition", ACQUISITIONS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("pending", [False, True])
def test_values_and_gradients_are_those_of_botorch(context, acquisition, pending):
    value = BatchAcquisition(acquisition, context)
    X = context.model.space.sample(6, generator_for(1))
    if pending:
        value = value.with_pending(X[:1])
    found, gradient = value.value_and_gradient(X[1:])
    expected = value_and_gradient_by_autograd(value, X[1:])
    torch.testing.assert_close(found, expected[0], rtol=1e-5, atol=1e-7)
    scale = float(expected[1].abs().max())
    torch.testing.assert_close(gradient, expected[1], rtol=1e-5, atol=1e-6 * scale)


def test_the_search_of_the_default_never_asks_for_a_posterior(context, monkeypatch):
    value = BatchAcquisition(LowerConfidenceBound(), context)
    space, calls = context.model.space, []

    def search(acq_function):
        hopping = BasinHopping(n_candidates=4, n_rounds=2, max_steps=10)
        data = context.X_baseline, context.Y
        return hopping(acq_function, space, *data, generator_for(2))

    slow = search(value.__call__)
    monkeypatch.setattr(LocalGPModel, "posterior", lambda *_, **__: calls.append(1))
    fast = search(value)
    assert not calls
    torch.testing.assert_close(fast.X, slow.X, rtol=0, atol=1e-4)
    torch.testing.assert_close(fast.acq_value, slow.acq_value, rtol=0, atol=1e-6)
    assert fast.generator_names == slow.generator_names


def test_a_search_keeps_its_gradients_in_closed_form(context):
    """Pending structures are left out of what it climbs where they would cost these, else not."""
    X = context.X_baseline[:2] + 0.3
    for acquisition, is_left_out in ((LowerConfidenceBound(), True), (StandardDeviation(), False)):
        free = BatchAcquisition(acquisition, context)
        pending = free.with_pending(X)
        searched = fastest_to_search(free, pending)
        assert searched is (free if free.has_closed_form_gradients and is_left_out else pending)
        assert pending.has_closed_form_gradients is False
