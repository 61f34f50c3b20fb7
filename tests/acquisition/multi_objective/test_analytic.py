import math

import pytest
import torch
from botorch.acquisition.analytic import LogExpectedImprovement

from bostruct.acquisition.multi_objective.analytic import (
    FeasibilityWeightedEHVI,
    interval_probability,
)
from bostruct.acquisition.multi_objective.normalization import NormalizedContext
from bostruct.objectives import Constraint

X = torch.tensor([[[1.5, 2.5]], [[4.0, 0.5]], [[-1.0, -1.0]]], dtype=torch.float64)


def double(numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def phi(z):
    return 0.5 * math.erfc(-z / math.sqrt(2))


def test_between_is_a_difference_of_normals():
    mean, variance = double([0.3]), double([4.0])
    for low, high, expected in (
        (None, None, 1.0),
        (None, 1.0, phi(0.35)),
        (1.0, None, 1 - phi(0.35)),
        (-1.0, 1.0, phi(0.35) - phi(-0.65)),
    ):
        assert interval_probability(low, high, mean, variance).item() == pytest.approx(expected)


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_between_does_not_cancel_in_a_tail(side):
    """30 σ away the probability is 5e-198, and not 0."""
    mean, variance = double([side * 30.0]), torch.ones(1).double()
    tail = interval_probability(-1e-3, 1e-3, mean, variance).item()
    density = math.exp(-450.0) / math.sqrt(2 * math.pi)
    assert tail == pytest.approx(2e-3 * density, rel=1e-3)


def test_feasibility_multiplies(case):
    """A bound on an outcome that is no objective: exact."""
    bound = (Constraint("u2", lower=0.0, upper=1.0),)
    rows = [[*row, 0.5] for row in [[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]]]
    bounded = FeasibilityWeightedEHVI(NormalizedContext(case(rows, constraints=bound)))
    free = FeasibilityWeightedEHVI(NormalizedContext(case()))
    third = double([0.5, 1.2, 9.0])
    together = torch.cat([X, third.reshape(3, 1, 1)], dim=-1)
    share = [phi((1 - y) / 0.5) - phi(-y / 0.5) for y in third.tolist()]
    expected = free(X) * double(share)
    torch.testing.assert_close(bounded(together), expected, rtol=1e-10, atol=1e-15)


def test_an_exact_outcome_is_feasible_or_not(case):
    """Equal to its bound, up to rounding, is good enough."""
    bound = (Constraint("u2", lower=-0.5, upper=0.3),)
    rows = [[1.0, 3.0, 0.0], [2.0, 2.0, 0.0]]
    gain = FeasibilityWeightedEHVI(NormalizedContext(case(rows, learnt=2, constraints=bound)))
    third = double([0.1 + 0.2, 0.3 + 1e-6, -0.6, -0.5])
    first = X[:1].expand(4, 1, 2)
    value = gain(torch.cat([first, third.reshape(4, 1, 1)], dim=-1))
    assert (value > 0).tolist() == [True, False, False, True]
    assert value[0] == value[3]


@pytest.mark.parametrize(("bound", "same"), [(-0.1, True), (0.0, True), (1.0, False)])
def test_a_bound_behind_the_reference_counts_once(bound, same, case):
    """What breaks it gains nothing anyway."""
    constraints = (Constraint("u0", lower=bound),)
    free = FeasibilityWeightedEHVI(NormalizedContext(case()))(X)
    value = FeasibilityWeightedEHVI(NormalizedContext(case(constraints=constraints, objectives=2)))(
        X
    )
    assert torch.equal(value, free) is same


def test_one_objective_is_expected_improvement(case):
    told = case([[1.0], [2.0]])
    x = double([[[1.0]], [[2.5]], [[-3.0]]])
    best = double(2.0)
    expected = LogExpectedImprovement(told.model, best)(x).exp() / 2.0
    value = FeasibilityWeightedEHVI(NormalizedContext(told))(x)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-300)


@pytest.mark.parametrize("ends", [{"upper": 1.0}, {"lower": 0.0}, {"upper": 1, "lower": 0}])
def test_gradient_is_finite(ends, case):
    rows = [[1.0, 3.0, 0.5]]
    gain = FeasibilityWeightedEHVI(
        NormalizedContext(case(rows, constraints=(Constraint("u2", **ends),)))
    )
    x = double([[[1.5, 2.5, 0.7]]]).requires_grad_()
    (slope,) = torch.autograd.grad(gain(x).sum(), x)
    step = 1e-6
    for axis in range(3):
        shift = torch.zeros(3).double()
        shift[axis] = step
        with torch.no_grad():
            secant = (gain(x + shift) - gain(x - shift)) / (2 * step)
        assert slope[0, 0, axis].item() == pytest.approx(secant.item(), rel=1e-5)
