import math

import pytest
import torch

from bostruct import Constraint, Objective
from bostruct.campaign.learned_objectives import LearnedObjectives
from bostruct.campaign.records import OutcomePrediction
from bostruct.errors import InputError
from bostruct.objectives import OptimizationConfig
from bostruct.spaces import Cluster
from tests.campaign.alloys import OBJECTIVES, PRICE, STABLE, space


def aims(**changes):
    return LearnedObjectives(OptimizationConfig(OBJECTIVES, STABLE), space(**changes))


def test_what_the_space_knows_is_not_learnt():
    found = aims()
    assert found.exact_names == ("price",)
    assert found.learned_names == ("enthalpy", "modulus")
    assert found.learned_columns == [0, 1]
    X = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    wanted = [[math.log10(PRICE["Cu"])], [math.log10(PRICE["Au"])]]
    torch.testing.assert_close(found.deterministic_outcomes(X), X.new_tensor(wanted))
    assert found.deterministic_outcomes(X.reshape(2, 1, 3)).shape == (2, 1, 1)


def test_what_it_knows_is_said_before():
    (said,) = aims().exact_predictions(torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64))
    assert said == (OutcomePrediction("price", math.log10(PRICE["Cu"]), is_exact=True),)
    assert aims(price=None).exact_predictions(torch.zeros(2, 3, dtype=torch.float64)) == [(), ()]


def test_a_space_without_separate_members_knows_nothing():
    found = LearnedObjectives(OptimizationConfig(OBJECTIVES[:1]), Cluster("Cu3"))
    assert (found.exact_names, found.deterministic_outcomes) == ((), None)


def test_something_must_be_learnt():
    with pytest.raises(InputError, match="`objectives` must hold one that only"):
        LearnedObjectives(OptimizationConfig((Objective("x_Cu", "maximize"),)), space())


def test_members_are_all_where_there_are_few():
    assert len(aims().representative_members()) == 45
    many = aims(step=None).representative_members()
    assert len(many) == 2048
    assert torch.equal(many, aims(step=None).representative_members())


def test_the_reference_is_behind_what_is_expected_too():
    found = aims()
    Y = torch.tensor([[-0.02, 150.0, 1.0], [-0.04, 160.0, 2.0]], dtype=torch.float64)
    expected = torch.tensor([[0.06, 140.0, 5.0]], dtype=torch.float64)
    # Worst, and a tenth of the range behind it.
    wanted = [-0.06 - 0.01, 140.0 - 2.0, -5.0 - 0.4]
    assert found.reference_point(Y, expected).tolist() == pytest.approx(wanted)


def test_constraints_alone_are_outcomes():
    goals = OptimizationConfig(OBJECTIVES[:1], (Constraint("x_Cu", lower=0.25),))
    found = LearnedObjectives(goals, space())
    assert (found.exact_names, found.learned_names) == (("x_Cu",), ("enthalpy",))
