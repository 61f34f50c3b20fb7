import json
import math
from dataclasses import replace

import pytest
import torch

from bostruct.acquisition import (
    Acquisition,
    ParetoProbabilityOfImprovement,
)
from bostruct.errors import InputError
from bostruct.objectives import Constraint, pareto_front

X = torch.tensor([[[1.5, 2.5]], [[4.0, 0.5]], [[2.1, 2.1]], [[-0.5, -0.5]]], dtype=torch.float64)
TINY = 1e-12
"""Weight of the gain where the probability alone is tested."""


def above(end, mu, sigma=0.5):
    return 0.5 * math.erfc((end - mu) / sigma / math.sqrt(2))


def by_hand(x):
    """Beyond the stairs (1, 3), (2, 2), (3, 1), strip by strip."""
    a, b = x
    ends, heights = [-math.inf, 1.0, 2.0, 3.0], [3.0, 2.0, 1.0, -math.inf]
    rights = [above(end, a) for end in ends] + [0.0]
    return sum((rights[i] - rights[i + 1]) * above(heights[i], b) for i in range(4))


def test_probability_by_hand(case):
    value = ParetoProbabilityOfImprovement(TINY).build(case())(X)
    assert value.tolist() == pytest.approx([by_hand(x[0].tolist()) for x in X], 1e-6)


def test_probability_against_draws(case):
    """The definition: how often a draw is on the front of all."""
    told = case()
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(1000, 2, generator=generator, dtype=torch.float64)
    for x in X:
        value = float(ParetoProbabilityOfImprovement(TINY).build(told)(x[None]))
        rows = [torch.cat([told.Y, y[None]]) for y in x[0] + 0.5 * normal]
        share = sum(len(told.Y) in pareto_front(Y, told.optimization_config) for Y in rows) / 1000
        # 4 standard errors.
        assert abs(value - share) < 4 * math.sqrt(value * (1 - value) / 1000) + 1e-6


def test_no_reference_point_counts(case):
    told = case()
    moved = replace(told, reference_point=told.reference_point - 7.0)
    first, second = (ParetoProbabilityOfImprovement(TINY).build(each)(X) for each in (told, moved))
    assert first.tolist() == pytest.approx(second.tolist(), rel=1e-6)


def test_the_gain_decides_between_equals(case):
    sure = torch.tensor([[[4.0, 4.0]], [[9.0, 9.0]]], dtype=torch.float64)
    low, high = ParetoProbabilityOfImprovement().build(case())(sure).tolist()
    assert high > low + 1e-3
    assert low > 1.0


def test_what_equals_the_front_does_not_enter(case):
    """u1 is exact: at that of a front point, only a better u0 enters."""
    told = case(learnt=1)
    same = torch.tensor([[[1.9, 2.0]], [[2.0, 2.0]]], dtype=torch.float64)
    value = ParetoProbabilityOfImprovement(TINY).build(told)(same)
    assert value.tolist() == pytest.approx([above(2.0, 1.9), 0.5], abs=1e-6)
    # Without any doubt, what is there already is worth nothing.
    sure = ParetoProbabilityOfImprovement(TINY).build(case(learnt=1, sigma=1e-4))(same[:1])
    assert float(sure) < 1e-6


def test_a_bound_on_an_objective_cuts_exactly(case):
    """Within the boxes, not as a factor: both look at the same number."""
    bounded = case(constraints=(Constraint("u0", lower=1.0),), objectives=2)
    value = ParetoProbabilityOfImprovement(TINY).build(bounded)(X)

    def expected(x):
        a, b = x
        ends, heights = [1.0, 2.0, 3.0], [2.0, 1.0, -math.inf]
        rights = [above(end, a) for end in ends] + [0.0]
        return sum((rights[i] - rights[i + 1]) * above(heights[i], b) for i in range(3))

    assert value.tolist() == pytest.approx([expected(x[0].tolist()) for x in X], 1e-6)


def test_another_bound_is_a_factor(case):
    rows = [[1.0, 3.0, 0.0], [2.0, 2.0, 0.0], [3.0, 1.0, 0.0]]
    bounded = case(rows, constraints=(Constraint("u2", upper=1.0),))
    at = torch.tensor([[[1.5, 2.5, 0.5]], [[1.5, 2.5, 9.0]]], dtype=torch.float64)
    value = ParetoProbabilityOfImprovement(TINY).build(bounded)(at)
    factor = above(-1.0, -0.5)
    assert value.tolist() == pytest.approx([by_hand((1.5, 2.5)) * factor, 0], abs=1e-6)


def test_one_objective(case):
    told = case([[1.0], [2.0]])
    at = torch.tensor([[[1.0]], [[2.5]]], dtype=torch.float64)
    value = ParetoProbabilityOfImprovement(TINY).build(told)(at)
    assert value.tolist() == pytest.approx([above(2.0, 1.0), above(2.0, 2.5)], 1e-6)


def test_without_a_front_everything_enters(case):
    told = case([[math.nan, math.nan]])
    assert ParetoProbabilityOfImprovement(TINY).build(told)(X).tolist() == pytest.approx([1.0] * 4)


def test_description_and_refusals(case):
    form = ParetoProbabilityOfImprovement()
    assert isinstance(form, Acquisition)
    assert form.supports_multi_objective
    described = form.description()
    assert described == {"type": "ParetoProbabilityOfImprovement", "ehvi_weight": 1.0}
    assert json.loads(json.dumps(described)) == described
    with pytest.raises(InputError, match="`ehvi_weight` must be positive"):
        ParetoProbabilityOfImprovement(0.0)
    told = replace(case(), X_pending=torch.zeros(1, 2, dtype=torch.float64))
    with pytest.raises(InputError, match="`X_pending` must be None"):
        form.build(told)
