from dataclasses import replace

import pytest
import torch

from bostruct.acquisition import (
    AcquisitionContext,
    ExpectedHypervolumeImprovement,
    LowerConfidenceBound,
    qLogExpectedImprovement,
    qLogNoisyExpectedHypervolumeImprovement,
)
from bostruct.campaign.planning.pending_candidates import with_kriging_believer, with_pending
from bostruct.objectives import pareto_front
from bostruct.surrogates import ConditionedModel
from tests.acquisition.conftest import make_case

PENDING = torch.tensor([[2.5, 2.5]], dtype=torch.float64)
MORE = torch.tensor([[0.5, 3.5], [3.5, 0.5]], dtype=torch.float64)


@pytest.mark.parametrize(
    "form", [qLogExpectedImprovement(), qLogNoisyExpectedHypervolumeImprovement()]
)
def test_forms_with_q_batches_take_them_as_pending(form):
    context = make_case()
    once = with_pending(form, context, PENDING)
    assert torch.equal(once.X_pending, PENDING)
    twice = with_pending(form, once, MORE)
    assert torch.equal(twice.X_pending, torch.cat([PENDING, MORE]))
    assert twice.model is context.model
    assert twice.Y is context.Y


@pytest.mark.parametrize("learnt", [1, 2])
def test_for_the_others_they_are_on_the_front(learnt):
    context = make_case(learnt=learnt)
    found = with_pending(ExpectedHypervolumeImprovement(), context, PENDING)
    assert found.X_pending is None
    assert torch.equal(found.X_baseline, torch.cat([context.X_baseline, PENDING]))
    assert torch.equal(found.Y, torch.cat([context.Y, PENDING]))
    assert isinstance(found.model, ConditionedModel)
    assert found.model.model is context.model
    assert torch.equal(found.reference_point, context.reference_point)
    assert pareto_front(found.Y, found.optimization_config).tolist() == [0, 2, 3]


def test_several_times_is_once():
    """The fitted model is conditioned on all of them together, and no row is there twice."""
    context = make_case()
    form = ExpectedHypervolumeImprovement()
    found = with_pending(form, with_pending(form, context, PENDING), MORE)
    expected = with_pending(form, context, torch.cat([PENDING, MORE]))
    assert found.model.model is context.model
    for name in ("X_baseline", "Y"):
        assert torch.equal(getattr(found, name), getattr(expected, name))
    X = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    for one, other in zip(
        *((p.mean, p.variance) for p in (found.model.posterior(X), expected.model.posterior(X))),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_nothing_is_improved_twice():
    """With the posterior as it was, by the front alone; more so with the certain model."""
    context = make_case(learnt=1)
    form = ExpectedHypervolumeImprovement()
    before = form.build(context)(PENDING.unsqueeze(0))
    found = with_kriging_believer(context, PENDING)
    assert form.build(replace(found, model=context.model))(PENDING.unsqueeze(0)) < 0.5 * before
    assert form.build(found)(PENDING.unsqueeze(0)) < 0.5 * before


def test_of_one_energy_the_mean_stays_and_sigma_shrinks():
    """Around what is pending alone; each time the model before is conditioned."""
    model = make_case([[1.0]], learnt=1, constraints=()).model
    context = AcquisitionContext(model, best_f=0.0)
    X = torch.tensor([[0.0], [9.0]], dtype=torch.float64)
    found = with_pending(LowerConfidenceBound(), context, X[:1])
    found = with_pending(LowerConfidenceBound(), found, X[:1] + 0.5)
    before = model.posterior(X.unsqueeze(-2))
    after = found.model.posterior(X.unsqueeze(-2))
    torch.testing.assert_close(after.mean, before.mean)
    shrunk = (after.variance / before.variance).flatten()
    assert shrunk[0] < 0.5  # the noise variance is 0.1, the prior's 0.25
    assert shrunk[1] == pytest.approx(1.0)
    assert found.best_f == 0.0
    assert found.X_pending is None
