import math

import pytest
import torch
from botorch.acquisition.multi_objective import logei

from bostruct.acquisition.multi_objective.normalization import (
    ROUNDING_TOLERANCE,
    NormalizedContext,
    without_compiled_kernel,
)
from bostruct.errors import InputError
from bostruct.objectives import Constraint

NAN = math.nan


def test_utilities_are_zero_at_the_reference_and_one_at_the_ideal(case):
    scaled = NormalizedContext(case([[1.0, 30.0], [3.0, 10.0]], reference=torch.tensor([-1.0, 5])))
    Y = torch.tensor([[-1.0, 5.0], [3.0, 30.0], [1.0, 17.5]], dtype=torch.float64)
    expected = [[0.0, 0.0], [1.0, 1.0], [0.5, 0.5]]
    assert scaled.normalized_utilities(Y).tolist() == expected
    assert scaled.multi_output_objective()(Y).tolist() == expected
    assert scaled.scalar_objective()(Y).tolist() == [0.0, 1.0, 0.5]


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
    low = Constraint("u2", upper=1.0)
    reference = torch.tensor([reference, 0.0])
    scaled = NormalizedContext(case(rows, constraints=(low,), reference=reference))
    assert float(scaled.utility_ranges[0]) == span


@pytest.mark.parametrize(
    ("values", "span"), [([1.0, 4.0], 3.0), ([4.0, 4.0], 2.0), ([NAN, NAN], 1.0)]
)
def test_slack_spans(values, span, case):
    rows = [[1.0, 1.0, value] for value in values]
    scaled = NormalizedContext(case(rows, constraints=(Constraint("u2", upper=2.0),)))
    assert scaled.constraint_ranges.tolist() == [span]


def test_constraints_are_a_call_per_bound(case):
    """In shares of the range; the exact one is moved by a rounding error."""
    bounds = (Constraint("u1", lower=1.0, upper=2.0), Constraint("u2", upper=5.0))
    rows = [[1.0, 0.0, 5.0], [1.0, 2.0, 9.0]]
    scaled = NormalizedContext(case(rows, learnt=2, constraints=bounds, objectives=2))
    found = scaled.constraint_arguments()
    Y = torch.tensor([1.0, 3.0, 5.0], dtype=torch.float64)
    values = [call(Y).item() for call in found["constraints"]]
    assert values == pytest.approx([0.5, -1.0, -ROUNDING_TOLERANCE], rel=1e-12)
    assert found["eta"].tolist() == [1e-6, 1e-6, 1e-12]
    assert scaled.deterministic_constraints() == [False, False, True]


def test_no_constraints_are_no_arguments(case):
    assert NormalizedContext(case()).constraint_arguments() == {}


def test_the_model_is_left_alone_where_it_knows_all(case):
    whole = case()
    assert NormalizedContext(whole).model is whole.model
    assert NormalizedContext(case(learnt=1)).model.num_outputs == 2


def test_front_and_best(case):
    scaled = NormalizedContext(case([[1.0, 3.0], [3.0, 1.0], [0.5, 0.5], [-1.0, 9.0]]))
    assert scaled.pareto_utilities().tolist() == [[1 / 3, 1 / 3], [1.0, 1 / 9]]
    assert float(scaled.best_f()) == 1.0
    nothing = NormalizedContext(case([[-1.0, 3.0]]))
    assert nothing.pareto_utilities().shape == (0, 2)
    assert float(nothing.best_f()) == 0.0


def test_boxes_without_a_front_are_one(case):
    boxes = NormalizedContext(case([[-1.0, 3.0]])).box_decomposition().get_hypercell_bounds()
    assert boxes.tolist() == [[[0.0, 0.0]], [[math.inf, math.inf]]]


def test_boxes_exclude_what_is_infeasible(case):
    rows = [[1.0, 1.0, 0.0], [9.0, 9.0, 5.0]]
    scaled = NormalizedContext(case(rows, constraints=(Constraint("u2", upper=1.0),)))
    assert scaled.box_decomposition().pareto_Y.tolist() == [[1.0, 1.0]]


def test_baseline_keeps_what_may_be_on_the_front(case):
    """0.5 σ behind stays, 10 σ behind goes, and so does what is incomplete."""
    rows = [[90.0, 50], [50, 90], [40, 40], [49.5, 89.5], [NAN, 95], [-9.0, 95]]
    X = NormalizedContext(case(rows, sigma=1.0)).pruned_baseline()
    assert X.tolist() == [rows[0], rows[1], rows[3]]
    state = torch.get_rng_state()
    again = NormalizedContext(case(rows, sigma=1.0)).pruned_baseline()
    assert torch.equal(again, X)
    assert torch.equal(torch.get_rng_state(), state)


def test_baseline_excludes_what_is_infeasible(case):
    rows = [[1.0, 1.0, 0.0], [9.0, 9.0, 5.0]]
    low = (Constraint("u2", upper=1.0),)
    for learnt in (2, 3):
        X = NormalizedContext(
            case(rows, sigma=0.05, learnt=learnt, constraints=low)
        ).pruned_baseline()
        assert X.tolist() == [rows[0]]


def test_baseline_of_nothing(case):
    assert NormalizedContext(case([[NAN, 1.0]])).pruned_baseline().shape == (0, 2)


def test_pending_stand_in_for_a_baseline(case):
    pending = torch.tensor([[2.0, 2.0]], dtype=torch.float64)
    X, rest = NormalizedContext(case([[NAN, 1.0]], X_pending=pending)).baseline_and_pending()
    assert torch.equal(X, pending)
    assert rest is None
    X, rest = NormalizedContext(case(X_pending=pending)).baseline_and_pending()
    assert len(X) == 3
    assert torch.equal(rest, pending)


def test_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(logei, "_load_attempted", False)
    with without_compiled_kernel():
        logei._try_load_fused_kernel()
        assert logei._C is None
    assert logei._load_attempted is False


def test_a_botorch_whose_kernel_cannot_be_switched_off_is_refused(monkeypatch):
    monkeypatch.delattr(logei, "_load_attempted")
    with pytest.raises(InputError, match=r"logei\._load_attempted`"), without_compiled_kernel():
        raise AssertionError("nothing is built")


def test_a_botorch_without_the_kernel_is_left_alone(monkeypatch):
    for name in ("_load_attempted", "_try_load_fused_kernel", "_C"):
        monkeypatch.delattr(logei, name)
    with without_compiled_kernel():
        assert not hasattr(logei, "_load_attempted")
    assert not hasattr(logei, "_load_attempted")
