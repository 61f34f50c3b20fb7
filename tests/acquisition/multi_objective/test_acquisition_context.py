import math
from dataclasses import replace

import pytest
import torch

from bostruct.acquisition import AcquisitionContext, ExpectedHypervolumeImprovement
from bostruct.errors import InputError, ShapeError
from bostruct.objectives import (
    Constraint,
    Objective,
    OptimizationConfig,
    pareto_front,
)


def tensor(rows):
    return torch.tensor(rows, dtype=torch.float64)


NAN = math.nan
# Sums of a few dozen boxes in float64.
EXACT = {"rtol": 1e-12, "abs": 1e-12}
GOALS = OptimizationConfig(
    (Objective("H", "minimize"), Objective("B", "maximize")),
    (Constraint("price", upper=10.0),),
)
H, B = Objective("H", "minimize"), Objective("B", "maximize")
FREE = OptimizationConfig((H, B))


class Two(torch.nn.Module):
    num_outputs = 2


def stub(**change):
    Y = tensor([[0.0, 1.0, 2.0]])
    arguments = {
        "model": Two(),
        "optimization_config": GOALS,
        "learnt": ("H", "B"),
        "known": lambda X: X[..., :1],
        "X": tensor([[0.0]]),
        "Y": Y,
        "reference": tensor([0.0, 0.0]),
    }
    return AcquisitionContext(**arguments | change)


def test_a_case():
    assert stub().seed == 0


@pytest.fixture
def told(case):
    pending = tensor([[2.5, 2.5]])
    return case(modeled_outcomes=1, X_pending=pending)


def test_what_is_pending_is_believed(told):
    believed = told.believed()
    assert believed.pending is None
    assert torch.equal(believed.X, torch.cat([told.X, told.pending]))
    assert torch.equal(believed.Y, torch.cat([told.Y, told.pending]))
    assert believed.model is told.model
    assert pareto_front(believed.Y, told.goals).tolist() == [0, 2, 3]


def test_what_is_believed_is_not_gained_twice(told):
    X = told.pending.unsqueeze(0)
    form = ExpectedHypervolumeImprovement()
    before = form.build(replace(told, X_pending=None))(X)
    assert form.build(told.believed())(X) < 0.5 * before


def test_nothing_pending_is_the_same_case(case):
    alone, other = case(), Two()
    assert torch.equal(alone.with_kriging_believer().Y, alone.Y)
    assert alone.with_kriging_believer(other).model is other


@pytest.mark.parametrize("learnt", [("H", "H"), ("H", "mass")])
def test_refuses_to_learn_what_is_no_outcome(learnt):
    with pytest.raises(InputError, match="`learnt` must name different outcomes of"):
        stub(learnt=learnt)


def test_refuses_known_and_learnt_that_do_not_fit():
    with pytest.raises(InputError, match=r"`known` must be .* Not learnt: \['price'\]"):
        stub(known=None)
    with pytest.raises(InputError, match=r"`known` must be .* Not learnt: \[\]"):
        stub(learnt=("H", "B", "price"))


def test_refuses_a_model_of_other_outcomes():
    with pytest.raises(InputError, match="`model` must have an output per learnt"):
        stub(learnt=("H",))


def test_refuses_data_of_another_shape():
    with pytest.raises(ShapeError, match=r"`Y` must have shape \[1, 3\]"):
        stub(Y=tensor([[0.0, 1.0]]))
    with pytest.raises(ShapeError, match=r"`reference` must have shape \[2\]"):
        stub(reference=tensor([0.0]))
