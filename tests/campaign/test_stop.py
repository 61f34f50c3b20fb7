import math
import random
import statistics

import pytest

from bostruct.campaign import stop
from bostruct.campaign.analysis.hypervolume_history import FrontState
from bostruct.campaign.stop import (
    AnyOf,
    EnergyReached,
    Evaluations,
    FeasibleStructures,
    HypervolumeStagnation,
    NoImprovement,
    Progress,
    StoppingCriterion,
    WallTime,
    check_criterion_suits_goals,
)
from bostruct.errors import InputError
from tests.campaign import alloys, standin


def test_failures_in_a_row():
    rule = stop.ConsecutiveFailures(3)
    assert rule.reason(Progress((None,) * 9, n_consecutive_failures=2)) is None
    assert rule.remaining(Progress((None,) * 9, n_consecutive_failures=2)) is None
    assert rule.reason(Progress(n_consecutive_failures=4)) == "4 failures in a row"
    assert rule.remaining(Progress(n_consecutive_failures=4)) == 0
    off = stop.ConsecutiveFailures(None)
    assert off.reason(Progress(n_consecutive_failures=10**6)) is None
    with pytest.raises(InputError, match=r"`n` must be an integer .* None switches"):
        stop.ConsecutiveFailures(0)


def test_failures_in_a_row_are_part_of_every_criterion():
    failed = Progress((None,) * 10, n_consecutive_failures=10)
    plain = stop.with_consecutive_failures(stop.Evaluations(100))
    assert plain.reason(failed) == "10 failures in a row"
    assert stop.consecutive_failures_reason(plain, failed) == "10 failures in a row"
    assert stop.consecutive_failures_reason(plain, Progress((1.0,) * 100)) is None
    for own in (stop.ConsecutiveFailures(None), stop.ConsecutiveFailures(20)):
        rule = stop.Evaluations(100) | own
        assert stop.with_consecutive_failures(rule) is rule
        assert stop.consecutive_failures_reason(rule, failed) is None


def test_half_of_all_structures_may_fail():
    """Waiting time for n failures in a row: (1 / p^n - 1) / (1 - p)."""
    n, p = stop.ConsecutiveFailures().n, 0.5
    generator = random.Random(0)
    waits = []
    for _ in range(300):
        count = row = 0
        while row < n:
            row = row + 1 if generator.random() < p else 0
            count += 1
        waits.append(count)
    assert statistics.mean(waits) == pytest.approx((p**-n - 1) / (1 - p), rel=0.2)


def test_what_was_given_and_checked_is_not_counted():
    rule = NoImprovement(2)
    assert rule.reason(Progress((5.0, 4.0), lowest_initial_energy=3.0)) == (
        "2 evaluations without improvement"
    )
    assert rule.reason(Progress((5.0, 2.0), lowest_initial_energy=3.0)) is None
    assert rule.reason(Progress((5.0, 6.0), relaxation_indices=frozenset({1}))) is None
    after = Progress((5.0, 4.0, 1.0, None, 2.0), relaxation_indices=frozenset({2, 3}))
    assert rule.reason(after) is None  # one evaluation since, and none lower
    more = Progress((*after.energies, 1.5), relaxation_indices=after.relaxation_indices)
    assert rule.reason(more) == "2 evaluations without improvement"


def test_best_is_the_first_of_the_lowest():
    assert Progress().best_index is None
    assert Progress((None,)).best_index is None
    assert Progress((3.0, None, 1.0, 1.0)).best_index == 2


def test_evaluations_counts_failures():
    rule = Evaluations(3)
    assert rule.reason(Progress((1.0, None))) is None
    assert rule.remaining(Progress((1.0, None))) == 1
    assert rule.reason(Progress((1.0, None, 2.0))) == "3 evaluations"
    assert rule.remaining(Progress((1.0,) * 5)) == 0


def test_wall_time():
    assert WallTime(10).reason(Progress(seconds=9.9)) is None
    assert WallTime(10).reason(Progress(seconds=12)) == "12 s of wall time"
    assert WallTime(10).remaining(Progress()) is None


def test_energy_reached():
    rule = EnergyReached(-1.0)
    assert rule.reason(Progress()) is None
    assert rule.reason(Progress((0.0, None))) is None
    assert rule.reason(Progress((0.0, -1.0, 5.0))) == "an energy of -1 eV"
    assert rule.remaining(Progress()) is None


def test_no_improvement():
    rule = NoImprovement(2, min_improvement=0.1)
    assert rule.reason(Progress((None, None, None))) is None
    assert rule.reason(Progress((1.0, 2.0))) is None
    assert rule.reason(Progress((1.0, 2.0, None))) is not None
    assert rule.reason(Progress((1.0, 0.95, 0.95))) is not None
    assert rule.reason(Progress((1.0, 0.95, 0.5))) is None
    assert rule.remaining(Progress()) is None


def test_rules_are_joined():
    rule = Evaluations(9) | EnergyReached(-1.0) | WallTime(5)
    assert rule == AnyOf((Evaluations(9), EnergyReached(-1.0), WallTime(5)))
    assert rule.remaining(Progress((1.0,))) == 8
    assert rule.reason(Progress((1.0,))) is None
    assert rule.reason(Progress((-1.0,))) == "an energy of -1 eV"
    assert (WallTime(5) | EnergyReached(1.0)).remaining(Progress()) is None
    assert isinstance(rule, StoppingCriterion)
    assert (NoImprovement(3) | rule).criteria[0] == NoImprovement(3)


def test_a_rule_of_the_user_needs_a_reason_alone():
    class Patient(StoppingCriterion):
        def reason(self, progress):
            return "enough" if progress.seconds > 1 else None

    rule = Patient() | Evaluations(3)
    assert rule.remaining(Progress()) == 3
    assert Patient().remaining(Progress()) is None
    assert rule.reason(Progress(seconds=2.0)) == "enough"


def test_limit_replaces_the_number_alone():
    assert stop.with_evaluations(Evaluations(9), 3) == Evaluations(3)
    rule = EnergyReached(0.0) | Evaluations(9)
    assert stop.with_evaluations(rule, 3) == EnergyReached(0.0) | Evaluations(3)
    assert stop.with_evaluations(WallTime(1), 3) == WallTime(1) | Evaluations(3)


@pytest.mark.parametrize("n", [0, -1, 2.0, True])
def test_refuses_numbers_that_are_none(n):
    with pytest.raises(InputError, match="`evaluations` must be an integer"):
        Evaluations(n)
    with pytest.raises(InputError, match="`patience` must be an integer"):
        NoImprovement(n)


def test_refuses_what_is_not_finite():
    with pytest.raises(InputError, match="`seconds` must be positive"):
        WallTime(0)
    with pytest.raises(InputError, match="`energy` must be finite"):
        EnergyReached(math.nan)
    with pytest.raises(InputError, match="`min_improvement` must be finite"):
        NoImprovement(3, min_improvement=-1.0)


def grown(*volumes, feasible=0, random=1):
    """Return progress in which the front stood so, and what was asked of it."""
    asked = []

    def stood(n):
        asked.append(n)
        return FrontState(volumes[n - 1], 1, feasible)

    count = len(volumes)
    return Progress((0.0,) * count, n_model_evaluations=count - random, front_history=stood), asked


def test_a_hypervolume_that_hardly_grows():
    rule = HypervolumeStagnation(2, min_relative_improvement=0.1)
    assert rule.reason(grown(1.0, 1.0)[0]) is None, "too early"
    assert rule.reason(grown(1.0, 1.05, 1.1)[0]) is None, "a tenth is a gain"
    assert rule.reason(grown(0.5, 1.0, 1.01, 1.09)[0]) == (
        "2 evaluations that raised the hypervolume by 9.00%"
    )
    assert rule.reason(grown(0.0, 0.0, 0.0, 0.0)[0]) is None, "nothing stagnates"
    assert rule.reason(grown(0.0, 0.0, 1.0)[0]) is None
    assert rule.remaining(grown(1.0)[0]) is None
    before = grown(1.0, 1.0, 1.0, 1.0, 1.0, random=4)[0]
    assert rule.reason(before) is None, "most of these no model has chosen"


def test_the_front_is_looked_at_where_a_rule_asks_and_nowhere_else():
    progress, asked = grown(1.0, 2.0, 3.0, 4.0)
    Evaluations(9).reason(progress)
    assert asked == []
    HypervolumeStagnation(3).reason(progress)
    assert sorted(asked) == [1, 4]


def test_enough_structures_keep_all_constraints():
    rule = FeasibleStructures(2)
    assert rule.reason(grown(1.0, feasible=1)[0]) is None
    found = grown(1.0, feasible=2)[0]
    assert rule.reason(found) == "2 structures that keep all constraints"
    assert FeasibleStructures(1).reason(grown(1.0, feasible=1)[0]) == (
        "1 structure that keeps all constraints"
    )
    assert rule.remaining(found) is None


def test_without_goals_neither_ends_anything():
    progress = Progress((1.0,) * 9)
    assert HypervolumeStagnation(2).reason(progress) is None
    assert FeasibleStructures(1).reason(progress) is None


def test_they_are_joined_like_all_rules():
    rule = HypervolumeStagnation(1) | FeasibleStructures(1) | Evaluations(9)
    assert isinstance(rule, AnyOf)
    assert len((FeasibleStructures(2) | rule).criteria) == 4
    assert rule.remaining(grown(1.0)[0]) == 8


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (HypervolumeStagnation, (0,), "patience` must be"),
        (HypervolumeStagnation, (3, 0.0), "min_relative_improvement` must be"),
        (FeasibleStructures, (0,), "n` must be"),
    ],
)
def test_rules_of_fronts_that_make_no_sense(kind, arguments, message):
    with pytest.raises(InputError, match=message):
        kind(*arguments)


@pytest.mark.parametrize("rule", [EnergyReached(-1.0), NoImprovement(9)])
def test_rules_about_energies_are_refused_with_goals(rule, tmp_path):
    message = "stop` must be a criterion for objectives, got " + type(rule).__name__
    with pytest.raises(InputError, match=message):
        alloys.campaign(stop=Evaluations(9) | rule)
    run = alloys.campaign()
    with pytest.raises(InputError, match=message):
        run.run(tmp_path / "run", stop=rule)
    assert run.components.evaluator.calls == []
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("rule", [HypervolumeStagnation(9), FeasibleStructures(3)])
def test_rules_about_fronts_are_refused_without_goals(rule, tmp_path):
    message = "stop` must be a criterion for energies in a campaign without objectives"
    with pytest.raises(InputError, match=message):
        standin.campaign(stop=rule)
    with pytest.raises(InputError, match=message):
        standin.campaign().run(tmp_path / "run", stop=rule)


def test_satisfied_needs_constraints():
    with pytest.raises(InputError, match="another criterion in a campaign without const"):
        alloys.campaign(constraints=(), stop=FeasibleStructures(3))
    check_criterion_suits_goals(
        HypervolumeStagnation(3),
        alloys.campaign(constraints=()).components.optimization_config,
    )
