import math

import pytest
import torch

from bostruct import Constraint, Objective
from bostruct.campaign.learned_objectives import Aims
from bostruct.campaign.records import Outcome
from bostruct.errors import InputError
from bostruct.objectives import Goals
from bostruct.spaces import Cluster
from tests.campaign.alloys import OBJECTIVES, PRICE, STABLE, space


def aims(**changes):
    return Aims(Goals(OBJECTIVES, STABLE), space(**changes))


def test_what_the_space_knows_is_not_learnt():
    found = aims()
    assert found.exact == ("price",)
    assert found.learnt == ("enthalpy", "modulus")
    assert found.columns == [0, 1]
    X = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    wanted = [[math.log10(PRICE["Cu"])], [math.log10(PRICE["Au"])]]
    torch.testing.assert_close(found.known(X), X.new_tensor(wanted))
    assert found.known(X.reshape(2, 1, 3)).shape == (2, 1, 1)


def test_what_it_knows_is_said_before():
    (said,) = aims().said(torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64))
    assert said == (Outcome("price", math.log10(PRICE["Cu"]), exact=True),)
    assert aims(price=None).said(torch.zeros(2, 3, dtype=torch.float64)) == [(), ()]


def test_a_space_without_separate_members_knows_nothing():
    found = Aims(Goals(OBJECTIVES[:1]), Cluster("Cu3"))
    assert (found.exact, found.known) == ((), None)


def test_something_must_be_learnt():
    with pytest.raises(InputError, match="`objectives` must hold one that only"):
        Aims(Goals((Objective("x_Cu", "maximize"),)), space())


def test_members_are_all_where_there_are_few():
    assert len(aims().members()) == 45
    many = aims(step=None).members()
    assert len(many) == 2048
    assert torch.equal(many, aims(step=None).members())


def test_the_reference_is_behind_what_is_expected_too():
    found = aims()
    Y = torch.tensor([[-0.02, 150.0, 1.0], [-0.04, 160.0, 2.0]], dtype=torch.float64)
    expected = torch.tensor([[0.06, 140.0, 5.0]], dtype=torch.float64)
    # Worst, and a tenth of the range behind it.
    wanted = [-0.06 - 0.01, 140.0 - 2.0, -5.0 - 0.4]
    assert found.reference(Y, expected).tolist() == pytest.approx(wanted)


def test_constraints_alone_are_outcomes():
    goals = Goals(OBJECTIVES[:1], (Constraint("x_Cu", above=0.25),))
    found = Aims(goals, space())
    assert (found.exact, found.learnt) == (("x_Cu",), ("enthalpy",))
