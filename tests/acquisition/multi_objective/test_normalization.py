import math

import pytest
import torch
from botorch.acquisition.multi_objective import logei

from bostruct.acquisition.multi_objective.normalization import (
    ROUNDING,
    Scaled,
    uncompiled,
)
from bostruct.objectives import Constraint

NAN = math.nan


def test_utilities_are_zero_at_the_reference_and_one_at_the_ideal(case):
    scaled = Scaled(case([[1.0, 30.0], [3.0, 10.0]], reference=torch.tensor([-1.0, 5])))
    Y = torch.tensor([[-1.0, 5.0], [3.0, 30.0], [1.0, 17.5]], dtype=torch.float64)
    expected = [[0.0, 0.0], [1.0, 1.0], [0.5, 0.5]]
    assert scaled.utilities(Y).tolist() == expected
    assert scaled.objective()(Y).tolist() == expected
    assert scaled.only()(Y).tolist() == [0.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("rows", "reference", "span"),
    [
        ([[2.0, 1.0, 0.0], [5.0, 1.0, 9.0]], 0.0, 2.0),  # the best of the feasible
        ([[2.0, 1.0, 9.0], [5.0, NAN, 0.0]], 0.0, 2.0),  # of the complete
        ([[2.0, NAN, 0.0], [5.0, NAN, 9.0]], 0.0, 5.0),  # of what there is
        ([[2.0, 1.0, 0.0], [5.0, 1.0, 9.0]], 7.0, 3.0),  # the range
        ([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]], 7.0, 7.0),  # the size
        ([[NAN, 1.0, 0.0], [NAN, 1.0, 0.0]], 0.0, 1.0),
    ],
)
def test_spans(rows, reference, span, case):
    low = Constraint("u2", below=1.0)
    reference = torch.tensor([reference, 0.0])
    scaled = Scaled(case(rows, constraints=(low,), reference=reference))
    assert float(scaled.spans[0]) == span


@pytest.mark.parametrize(
    ("values", "span"), [([1.0, 4.0], 3.0), ([4.0, 4.0], 2.0), ([NAN, NAN], 1.0)]
)
def test_slack_spans(values, span, case):
    rows = [[1.0, 1.0, value] for value in values]
    scaled = Scaled(case(rows, constraints=(Constraint("u2", below=2.0),)))
    assert scaled.slack_spans.tolist() == [span]


def test_constraints_are_a_call_per_bound(case):
    """In shares of the range; the exact one is moved by a rounding error."""
    bounds = (Constraint("u1", above=1.0, below=2.0), Constraint("u2", below=5.0))
    rows = [[1.0, 0.0, 5.0], [1.0, 2.0, 9.0]]
    scaled = Scaled(case(rows, learnt=2, constraints=bounds, objectives=2))
    found = scaled.constraints()
    Y = torch.tensor([1.0, 3.0, 5.0], dtype=torch.float64)
    values = [call(Y).item() for call in found["constraints"]]
    assert values == pytest.approx([0.5, -1.0, -ROUNDING], rel=1e-12)
    assert found["eta"].tolist() == [1e-6, 1e-6, 1e-12]
    assert scaled.exact() == [False, False, True]


def test_no_constraints_are_no_arguments(case):
    assert Scaled(case()).constraints() == {}


def test_the_model_is_left_alone_where_it_knows_all(case):
    whole = case()
    assert Scaled(whole).model is whole.model
    assert Scaled(case(learnt=1)).model.num_outputs == 2


def test_front_and_best(case):
    scaled = Scaled(case([[1.0, 3.0], [3.0, 1.0], [0.5, 0.5], [-1.0, 9.0]]))
    assert scaled.front().tolist() == [[1 / 3, 1 / 3], [1.0, 1 / 9]]
    assert float(scaled.best()) == 1.0
    nothing = Scaled(case([[-1.0, 3.0]]))
    assert nothing.front().shape == (0, 2)
    assert float(nothing.best()) == 0.0


def test_boxes_without_a_front_are_one(case):
    boxes = Scaled(case([[-1.0, 3.0]])).boxes().get_hypercell_bounds()
    assert boxes.tolist() == [[[0.0, 0.0]], [[math.inf, math.inf]]]


def test_boxes_exclude_what_is_infeasible(case):
    rows = [[1.0, 1.0, 0.0], [9.0, 9.0, 5.0]]
    scaled = Scaled(case(rows, constraints=(Constraint("u2", below=1.0),)))
    assert scaled.boxes().pareto_Y.tolist() == [[1.0, 1.0]]


def test_baseline_keeps_what_may_be_on_the_front(case):
    """0.5 σ behind stays, 10 σ behind goes, and so does what is incomplete."""
    rows = [[90.0, 50], [50, 90], [40, 40], [49.5, 89.5], [NAN, 95], [-9.0, 95]]
    X = Scaled(case(rows, sigma=1.0)).baseline()
    assert X.tolist() == [rows[0], rows[1], rows[3]]
    state = torch.get_rng_state()
    again = Scaled(case(rows, sigma=1.0)).baseline()
    assert torch.equal(again, X)
    assert torch.equal(torch.get_rng_state(), state)


def test_baseline_excludes_what_is_infeasible(case):
    rows = [[1.0, 1.0, 0.0], [9.0, 9.0, 5.0]]
    low = (Constraint("u2", below=1.0),)
    for learnt in (2, 3):
        X = Scaled(case(rows, sigma=0.05, learnt=learnt, constraints=low)).baseline()
        assert X.tolist() == [rows[0]]


def test_baseline_of_nothing(case):
    assert Scaled(case([[NAN, 1.0]])).baseline().shape == (0, 2)


def test_no_pending_is_none(case):
    empty = torch.zeros(0, 2)
    assert Scaled(case(pending=empty)).pending() is None
    assert Scaled(case()).pending() is None
    assert Scaled(case(pending=torch.zeros(1, 2))).pending().shape == (1, 2)


def test_pending_stand_in_for_a_baseline(case):
    pending = torch.tensor([[2.0, 2.0]], dtype=torch.float64)
    X, rest = Scaled(case([[NAN, 1.0]], pending=pending)).looked_at()
    assert torch.equal(X, pending)
    assert rest is None
    X, rest = Scaled(case(pending=pending)).looked_at()
    assert len(X) == 3
    assert torch.equal(rest, pending)


def test_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(logei, "_load_attempted", False)
    with uncompiled():
        logei._try_load_fused_kernel()
        assert logei._C is None
    assert logei._load_attempted is False
