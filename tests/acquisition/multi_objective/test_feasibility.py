import json
import math

import pytest
import torch

from bostruct.acquisition import Acquisition, qLogProbabilityOfFeasibility
from bostruct.errors import InputError
from bostruct.objectives import Constraint

FORM = qLogProbabilityOfFeasibility()
MANY = qLogProbabilityOfFeasibility(n_samples=2**13)
ROWS = [[1.0, 0.0, 5.0], [1.0, 2.0, 9.0]]
BOUNDS = (Constraint("u1", lower=0.0, upper=1.0), Constraint("u2", upper=7.0))


def candidates(*rows):
    return torch.tensor(rows, dtype=torch.float64).unsqueeze(1)


def phi(z):
    return 0.5 * math.erfc(-z / math.sqrt(2))


def test_one_candidate_in_closed_form(case):
    X = candidates([0.0, 0.5, 6.8], [9.0, 1.2, 6.9], [3.0, -0.3, 7.5])
    value = MANY.build(case(ROWS, constraints=BOUNDS))(X)
    expected = [
        (phi((1 - y) / 0.5) - phi(-y / 0.5)) * phi((7 - z) / 0.5) for _, y, z in X[:, 0].tolist()
    ]
    assert value.exp().tolist() == pytest.approx(expected, rel=0.02)


def test_an_exact_outcome_is_feasible_or_not(case):
    X = candidates([0.0, 0.5, 7.0], [0.0, 0.5, 6.0], [0.0, 0.5, 7.001])
    at, below, above = FORM.build(case(ROWS, learnt=2, constraints=BOUNDS))(X).tolist()
    assert at == pytest.approx(below, abs=1e-5)
    assert above < below - 35


def test_any_of_two_will_do(case):
    """Far from each other they are independent."""
    X = torch.tensor([[[0.0, 1.5], [90.0, 1.1]]], dtype=torch.float64)
    told = case(constraints=(Constraint("u1", upper=1.0),))
    one, other = phi(-1.0), phi(-0.2)
    expected = 1 - (1 - one) * (1 - other)
    assert MANY.build(told)(X).exp().item() == pytest.approx(expected, rel=0.02)


def test_pending_candidates_join_every_set(case):
    X = candidates([0.0, 0.5, 6.8])
    pending = candidates([0.0, 0.9, 7.1])[0]
    found = FORM.build(case(ROWS, constraints=BOUNDS, X_pending=pending))(X)
    together = torch.cat([X, pending.unsqueeze(0)], dim=1)
    expected = FORM.build(case(ROWS, constraints=BOUNDS))(together)
    torch.testing.assert_close(found, expected)


def test_same_seed_same_value(case):
    X = candidates([0.0, 0.9, 6.8])
    values = [FORM.build(case(ROWS, constraints=BOUNDS, seed=s))(X) for s in (3, 3, 4)]
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])


def test_describes_itself():
    assert isinstance(FORM, Acquisition)
    assert FORM.supports_multi_objective
    found = json.loads(json.dumps(FORM.description()))
    assert found == {"type": "qLogProbabilityOfFeasibility", "n_samples": 128}


def test_refuses_goals_without_constraints(case):
    with pytest.raises(InputError, match="`constraints` must be given for a probabil"):
        FORM.build(case())


def test_refuses_no_samples():
    with pytest.raises(InputError, match="`n_samples` must be an integer of at least 1"):
        qLogProbabilityOfFeasibility(n_samples=0)
