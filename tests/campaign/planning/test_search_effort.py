"""The effort of a search follows the cost of an energy, by what the log says."""

import pytest
import torch
from ase.calculators.emt import EMT

import bostruct as bo
from bostruct.campaign.planning.search_effort import MAX_EFFORT, choose_effort
from bostruct.campaign.records import Step, Trial
from bostruct.candidates import BasinHopping
from bostruct.evaluators import Evaluation


def trials(*seconds, state="done"):
    X = torch.zeros(3, dtype=torch.float64)
    return [Trial(i, 0, f"k-{i}", 1, state, "random", X, seconds=s) for i, s in enumerate(seconds)]


def step(seconds, level=0, kind="model"):
    return Step(1, kind, (), {}, {"search": seconds}, effort=level)


SEARCH = BasinHopping(max_time_fraction=0.1)


@pytest.mark.parametrize(
    ("energy", "search", "expected"),
    [
        (0.01, 2.0, 0),
        (20.0, 2.0, 0),
        (39.9, 2.0, 0),
        (40.1, 2.0, 1),
        (80.1, 2.0, 2),
        (1e9, 2.0, MAX_EFFORT),
        (1.0, 0.0, MAX_EFFORT),
    ],
)
def test_level_is_what_the_share_affords(energy, search, expected):
    assert choose_effort(SEARCH, trials(energy), [step(search)]) == expected


def test_times_of_higher_levels_are_counted_down():
    steps = [step(2.0), step(8.0, level=2), step(4.0, level=1)]
    assert choose_effort(SEARCH, trials(80.1), steps) == 2


def test_medians_so_one_slow_energy_changes_nothing():
    assert choose_effort(SEARCH, trials(0.01, 0.01, 1e6), [step(2.0)]) == 0


def test_lowest_while_nothing_is_known():
    assert choose_effort(SEARCH, [], [step(2.0)]) == 0
    assert choose_effort(SEARCH, trials(1e6), []) == 0
    assert choose_effort(SEARCH, trials(1e6), [step(1.0, kind="random")]) == 0
    assert choose_effort(SEARCH, trials(1e6, state="failed"), [step(1.0)]) == 0


def test_a_search_that_cannot_be_scaled_is_left_alone():
    assert choose_effort(lambda *_: None, trials(1e6), [step(2.0)]) == 0


def test_a_campaign_with_dear_energies_searches_longer_and_logs_it(tmp_path):
    campaign = bo.Campaign(
        bo.spaces.Cluster("Cu4"),
        bo.evaluators.Calculator(EMT),
        search=BasinHopping(n_candidates=4, n_rounds=1, max_steps=3, max_time_fraction=0.5),
    )
    with campaign.open(tmp_path / "run"):
        for _ in range(5):
            (trial, *_) = campaign.ask(1)
            found = bo.evaluators.evaluate(campaign.components.evaluator, trial.structures)
            assert isinstance(found, Evaluation)
            campaign.tell(trial, Evaluation(found.energy, found.forces, seconds=1e5))
    levels = [step.effort for step in campaign.log.steps()]
    assert levels[:2] == [0, 0]
    assert levels[2] == MAX_EFFORT
    counts = [len(campaign.log.candidate_generators(k)) for k in (1, 2)]
    assert counts[1] > counts[0]
