import math

import pytest

from bostruct.campaign import stop
from bostruct.campaign.stop import (
    Either,
    EnergyReached,
    Evaluations,
    NoImprovement,
    Progress,
    Stop,
    WallTime,
)
from bostruct.errors import InputError


def test_what_was_given_and_checked_is_not_counted():
    rule = NoImprovement(2)
    assert rule.reason(Progress((5.0, 4.0), given=3.0)) == (
        "2 evaluations without improvement"
    )
    assert rule.reason(Progress((5.0, 2.0), given=3.0)) is None
    assert rule.reason(Progress((5.0, 6.0), checks=frozenset({1}))) is None
    after = Progress((5.0, 4.0, 1.0, None, 2.0), checks=frozenset({2, 3}))
    assert rule.reason(after) is None  # one evaluation since, and none lower
    more = Progress((*after.energies, 1.5), checks=after.checks)
    assert rule.reason(more) == "2 evaluations without improvement"


def test_best_is_the_first_of_the_lowest():
    assert Progress().best is None
    assert Progress((None,)).best is None
    assert Progress((3.0, None, 1.0, 1.0)).best == 2


def test_evaluations_counts_failures():
    rule = Evaluations(3)
    assert rule.reason(Progress((1.0, None))) is None
    assert rule.room(Progress((1.0, None))) == 1
    assert rule.reason(Progress((1.0, None, 2.0))) == "3 evaluations"
    assert rule.room(Progress((1.0,) * 5)) == 0


def test_wall_time():
    assert WallTime(10).reason(Progress(seconds=9.9)) is None
    assert WallTime(10).reason(Progress(seconds=12)) == "12 s of wall time"
    assert WallTime(10).room(Progress()) is None


def test_energy_reached():
    rule = EnergyReached(-1.0)
    assert rule.reason(Progress()) is None
    assert rule.reason(Progress((0.0, None))) is None
    assert rule.reason(Progress((0.0, -1.0, 5.0))) == "an energy of -1 eV"
    assert rule.room(Progress()) is None


def test_no_improvement():
    rule = NoImprovement(2, tolerance=0.1)
    assert rule.reason(Progress((None, None, None))) is None
    assert rule.reason(Progress((1.0, 2.0))) is None
    assert rule.reason(Progress((1.0, 2.0, None))) is not None
    assert rule.reason(Progress((1.0, 0.95, 0.95))) is not None
    assert rule.reason(Progress((1.0, 0.95, 0.5))) is None
    assert rule.room(Progress()) is None


def test_rules_are_joined():
    rule = Evaluations(9) | EnergyReached(-1.0) | WallTime(5)
    assert rule == Either((Evaluations(9), EnergyReached(-1.0), WallTime(5)))
    assert rule.room(Progress((1.0,))) == 8
    assert rule.reason(Progress((1.0,))) is None
    assert rule.reason(Progress((-1.0,))) == "an energy of -1 eV"
    assert (WallTime(5) | EnergyReached(1.0)).room(Progress()) is None
    assert isinstance(rule, Stop)
    assert (NoImprovement(3) | rule).rules[0] == NoImprovement(3)


def test_limit_replaces_the_number_alone():
    assert stop.limit(Evaluations(9), 3) == Evaluations(3)
    rule = EnergyReached(0.0) | Evaluations(9)
    assert stop.limit(rule, 3) == EnergyReached(0.0) | Evaluations(3)
    assert stop.limit(WallTime(1), 3) == WallTime(1) | Evaluations(3)


@pytest.mark.parametrize("n", [0, -1, 2.0, True])
def test_refuses_numbers_that_are_none(n):
    with pytest.raises(InputError, match="`evaluations` must be an integer"):
        Evaluations(n)
    with pytest.raises(InputError, match="`n` must be an integer"):
        NoImprovement(n)


def test_refuses_what_is_not_finite():
    with pytest.raises(InputError, match="`seconds` must be positive"):
        WallTime(0)
    with pytest.raises(InputError, match="`energy` must be finite"):
        EnergyReached(math.nan)
    with pytest.raises(InputError, match="`tolerance` must be finite"):
        NoImprovement(3, tolerance=-1.0)
