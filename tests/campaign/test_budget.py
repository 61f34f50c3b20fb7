import pytest

from bostruct.campaign.budget import remaining_budget
from bostruct.campaign.relaxation.final_relaxation import FinalRelaxation
from bostruct.campaign.stop import EnergyReached, Evaluations, Progress, WallTime

CHECK = FinalRelaxation(n_structures=1, max_steps=20)


@pytest.mark.parametrize(
    ("done", "n", "due"),
    [
        (79, 100, False),
        (80, 100, True),  # 20 are left
        (29, 40, False),
        (30, 40, True),  # a quarter is left
        (0, 3, False),
        (2, 3, False),
    ],
)
def test_the_search_leaves_room_for_the_check(done, n, due):
    """As much as it may take, at most a quarter of all."""
    left = remaining_budget(Evaluations(n), Progress((1.0,) * done), CHECK, lambda: 1.0)
    assert (left.reason, left.remaining, left.is_relaxation_due) == (
        None,
        n - done,
        due,
    )


def test_at_the_end_nothing_is_left():
    left = remaining_budget(Evaluations(4), Progress((1.0,) * 4), CHECK, lambda: 1.0)
    assert (left.reason, left.remaining) == ("4 evaluations", 0)


def test_without_a_check_all_is_for_the_search():
    left = remaining_budget(Evaluations(9), Progress((1.0,) * 8), None, lambda: 1.0)
    assert (left.reason, left.remaining, left.is_relaxation_due) == (None, 1, False)


def test_a_rule_without_a_number_leaves_any():
    left = remaining_budget(EnergyReached(0.0), Progress((1.0,)), CHECK, lambda: 1.0)
    assert (left.reason, left.remaining, left.is_relaxation_due) == (None, None, False)
    left = remaining_budget(EnergyReached(2.0), Progress((1.0,)), CHECK, lambda: 1.0)
    assert left.reason == "an energy of 1 eV"
    assert left.remaining is None


@pytest.mark.parametrize(
    ("seconds", "each", "due", "room"),
    [
        (10.0, 1.0, False, None),
        (70.0, 1.0, False, None),  # 20 evaluations take 20 s
        (75.0, 9.0, True, None),  # they take longer: a quarter of the time
        (81.0, 1.0, True, None),
        (100.0, 1.0, True, 0),
    ],
)
def test_time_is_kept_as_evaluations_are(seconds, each, due, room):
    left = remaining_budget(WallTime(100.0), Progress((1.0,), seconds), CHECK, lambda: each)
    assert (left.is_relaxation_due, left.remaining) == (due, room)
    assert bool(left.reason) == (seconds >= 100.0)


def test_the_time_is_up_for_the_check_too():
    rule = EnergyReached(2.0) | WallTime(100.0)
    left = remaining_budget(rule, Progress((1.0,), 200.0), CHECK, lambda: 1.0)
    assert (left.reason, left.remaining) == ("an energy of 1 eV", 0)
    left = remaining_budget(rule, Progress((1.0,), 50.0), CHECK, lambda: 1.0)
    assert (left.reason, left.remaining) == ("an energy of 1 eV", None)
