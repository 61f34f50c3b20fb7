"""Best trials: by energy, without doubts and duplicates."""

from dataclasses import replace

import pytest

from bostruct.campaign.analysis.best_trials import best_trials
from tests.campaign.standin import Box, campaign


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    return campaign(n=6).run(tmp_path_factory.mktemp("best") / "run").trial_records()


def test_the_lowest_energies_are_first(trials):
    found = best_trials(trials, 4, Box())
    assert [trial.energy for trial in found] == sorted(trial.energy for trial in trials)[:4]
    assert len(best_trials(trials, 99, Box())) == len(trials)


def test_failures_doubts_and_copies_do_not_count(trials):
    best, second = best_trials(trials, 2, Box())
    doubted = [replace(trial, doubt="odd" if trial == best else "") for trial in trials]
    assert best_trials(doubted, 1, Box())[0].number == second.number
    failed = [replace(trial, energy=None if trial == best else trial.energy) for trial in trials]
    assert best_trials(failed, 1, Box())[0].number == second.number
    copy = replace(best, number=99, energy=best.energy + 1e-6)
    numbers = [trial.number for trial in best_trials([*trials, copy], 2, Box())]
    assert numbers == [best.number, second.number]
    assert best_trials([*trials, copy], 2, None)[1].number == 99
