import itertools

import pytest
import torch

from bostruct.campaign.analysis.hypervolume_history import (
    FrontState,
    HypervolumeHistory,
    front_state,
    is_complete_and_feasible,
)
from bostruct.campaign.analysis.outcome_table import outcome_matrix
from bostruct.campaign.records import Trial
from bostruct.objectives import (
    Constraint,
    Objective,
    OptimizationConfig,
    hypervolume,
    pareto_front,
)

GOALS = OptimizationConfig(
    (Objective("a", "maximize"), Objective("b", "minimize", valid_range=(-10.0, 10.0))),
    (Constraint("a", lower=0.2),),
)
REFERENCE = torch.tensor([0.0, -1.0], dtype=torch.float64)


def made(*outcomes):
    """Return trials: a pair of outcomes is done, a word its state, `given` free."""
    trials = []
    for number, outcome in enumerate(outcomes):
        state = outcome if isinstance(outcome, str) else "done"
        values = {} if isinstance(outcome, str) else dict(zip("ab", outcome[:2], strict=True))
        trials.append(
            Trial(
                number=number,
                step=number,
                key=str(number),
                attempt=0 if "given" in outcome else 1,
                state=state,
                generator="random",
                X=torch.tensor([float(number)]),
                energy=0.0 if state == "done" else None,
                properties=values,
            )
        )
    return trials


def random_trials(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(n, 2, generator=generator, dtype=torch.float64)
    return made(*[tuple(row) for row in points.tolist()])


def test_counts_failed_and_retracted_ones_and_not_what_is_open_or_given():
    trials = made(
        (0.5, 0.5, "given"),
        "failed",
        (0.6, 0.4),
        "running",
        "retracted",
        (0.1, 0.0),  # infeasible
        (0.9, 11.0),  # not believed
        (0.3, 0.1),
    )
    found = HypervolumeHistory.from_trials(trials, GOALS, REFERENCE)
    assert found.n_front == (1, 1, 1, 1, 1, 2)
    assert found.n_feasible == (1, 2, 2, 2, 2, 3)
    assert found.hypervolume == pytest.approx((0.25, 0.36, 0.36, 0.36, 0.36, 0.45))
    assert len(found) == 6


def test_is_what_all_before_are_worth_at_every_evaluation():
    trials = random_trials(40)
    found = HypervolumeHistory.from_trials(trials, GOALS, REFERENCE)
    for n in range(1, 41):
        Y = outcome_matrix(trials[:n], GOALS)
        assert found.hypervolume[n - 1] == pytest.approx(
            hypervolume(Y, GOALS, REFERENCE), rel=1e-12
        )
        assert found.n_front[n - 1] == len(pareto_front(Y, GOALS))
        assert found.n_feasible[n - 1] == int(is_complete_and_feasible(Y, GOALS).sum())
    assert all(a <= b for a, b in itertools.pairwise(found.hypervolume))


def test_standing_is_a_place_in_the_series():
    trials = [*made((0.5, 0.5, "given"), "failed"), *random_trials(12, 1)]
    series = HypervolumeHistory.from_trials(trials, GOALS, REFERENCE)
    for n in (1, 5, 13):
        Y = outcome_matrix(trials[: n + 1], GOALS)
        found = front_state(Y, GOALS, REFERENCE, pareto_front(Y, GOALS))
        assert isinstance(found, FrontState)
        assert found.hypervolume == pytest.approx(series.hypervolume[n - 1])
        assert (found.n_front, found.n_feasible) == (
            series.n_front[n - 1],
            series.n_feasible[n - 1],
        )


def test_nothing_is_worth_nothing():
    assert HypervolumeHistory.from_trials([], GOALS, None) == HypervolumeHistory()
    Y = outcome_matrix(made("failed"), GOALS)
    assert front_state(Y, GOALS, None, pareto_front(Y, GOALS)) == (0.0, 0, 0)


def test_what_is_not_known_in_full_is_not_good():
    Y = torch.tensor([[0.5, torch.nan], [torch.nan, 0.5], [0.1, 0.0], [0.2, 0.0]])
    assert is_complete_and_feasible(Y, GOALS).tolist() == [False, False, False, True]
