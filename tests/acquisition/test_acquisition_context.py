import pytest
import torch

from bostruct.acquisition import AcquisitionContext
from bostruct.errors import InputError, ShapeError
from bostruct.objectives import (
    Constraint,
    Objective,
    OptimizationConfig,
)


def tensor(rows):
    return torch.tensor(rows, dtype=torch.float64)


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
        "modeled_outcomes": ("H", "B"),
        "deterministic_outcomes": lambda X: X[..., :1],
        "X_baseline": tensor([[0.0]]),
        "Y": Y,
        "reference_point": tensor([0.0, 0.0]),
    }
    return AcquisitionContext(**arguments | change)


def test_a_case():
    assert stub().seed == 0


def test_no_pending_candidates_are_none():
    assert stub(X_pending=torch.zeros(0, 2)).X_pending is None
    assert stub().X_pending is None
    assert stub(X_pending=torch.zeros(1, 2)).X_pending.shape == (1, 2)


@pytest.mark.parametrize("names", [("H", "H"), ("H", "mass")])
def test_refuses_to_learn_what_is_no_outcome(names):
    with pytest.raises(InputError, match="`modeled_outcomes` must name different outcomes"):
        stub(modeled_outcomes=names)


def test_refuses_known_and_learnt_that_do_not_fit():
    condition = r"`deterministic_outcomes` must be .* Not modeled:"
    with pytest.raises(InputError, match=rf"{condition} \['price'\]"):
        stub(deterministic_outcomes=None)
    with pytest.raises(InputError, match=rf"{condition} \[\]"):
        stub(modeled_outcomes=("H", "B", "price"))


def test_refuses_a_model_of_other_outcomes():
    with pytest.raises(InputError, match="`model` must have an output per modeled"):
        stub(modeled_outcomes=("H",))


def test_refuses_data_of_another_shape():
    with pytest.raises(ShapeError, match=r"`Y` must have shape \[1, 3\]"):
        stub(Y=tensor([[0.0, 1.0]]))
    with pytest.raises(ShapeError, match=r"`reference_point` must have shape \[2\]"):
        stub(reference_point=tensor([0.0]))


@pytest.mark.parametrize("name", ["X_baseline", "Y", "reference_point"])
def test_objectives_need_data_and_a_reference_point(name):
    with pytest.raises(InputError, match=f"`{name}` must be given with an optimization_config"):
        stub(**{name: None})


def test_a_model_is_enough_for_one_energy():
    context = AcquisitionContext(Two())
    assert context.optimization_config is None
    assert (context.X_baseline, context.Y, context.best_f, context.X_pending) == (None,) * 4
    assert context.seed == 0


def test_energies_belong_to_the_rows_of_the_baseline():
    X = tensor([[0.0, 1.0], [2.0, 3.0]])
    for Y in (tensor([1.0, 2.0]), tensor([[1.0], [2.0]])):
        assert AcquisitionContext(Two(), X_baseline=X, Y=Y).Y is Y
    with pytest.raises(ShapeError, match=r"`Y` must have shape \[2\]"):
        AcquisitionContext(Two(), X_baseline=X, Y=tensor([1.0]))
    with pytest.raises(ShapeError, match=r"`Y` must have shape \[2, 1\]"):
        AcquisitionContext(Two(), X_baseline=X, Y=tensor([[1.0, 2.0], [1.0, 2.0]]))
