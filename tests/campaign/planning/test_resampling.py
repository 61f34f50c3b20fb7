from dataclasses import replace

import torch

from bostruct.campaign.planning.resampling import (
    MIN_ENERGY_GAIN,
    PROMISING_ENERGY_GAIN,
    is_lower,
    is_promising,
    resampling_rules,
    resampling_scale,
)
from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.planning.training_data import training_data
from bostruct.campaign.records import training_structures
from bostruct.structures import Structures
from bostruct.structures.problem_scale import ProblemScale
from bostruct.surrogates.species import problem_scale
from tests.campaign import alloys
from tests.campaign.standin import campaign

SCALE = ProblemScale(energy=2.6, length=2.6)


def test_a_candidate_is_lower_by_a_part_of_the_scale():
    """Below a structure without an energy, nothing is."""
    gain = MIN_ENERGY_GAIN * SCALE.energy
    mean = torch.tensor([1.0, 1.0 + 2 * gain])
    energies = torch.tensor([1.0 + 0.9 * gain, 1.0 + 1.1 * gain, 1.0 + 3.1 * gain, torch.nan])
    assert is_lower(mean, energies, SCALE).tolist() == [
        [False, True, True, False],
        [False, False, True, False],
    ]


def test_what_is_worth_an_energy_is_well_below_all_known():
    """By the model's mean, whatever its uncertainty."""
    scale = ProblemScale(energy=3.0, length=2.0)
    gain = PROMISING_ENERGY_GAIN * 3.0
    mean = torch.tensor([0.5, -1.0, -0.2])
    for gap, worth in ((0.9 * gain, False), (1.1 * gain, True)):
        energies = mean.min() + gap + torch.arange(3)
        assert is_promising(mean, energies, scale).tolist() == [False, worth, False]


def test_the_scale_is_that_of_the_low_structures(log):
    """Structures of forces and energies a hundred times larger change nothing of it."""
    space = campaign().components.space
    known = training_structures(log.trials(), space)
    order = known.energy.argsort()
    low = known[order[: (len(known) + 1) // 2].tolist()]
    high = known[order[(len(known) + 1) // 2 :].tolist()]
    absurd = replace(high, energy=100 + 100 * high.energy.abs(), forces=100 * high.forces)
    scales = [resampling_scale(Structures.cat([low, part]), space) for part in (high, absurd)]
    assert scales[0] == scales[1] == problem_scale(low, space)


def step_of(components):
    return StepContext(components, 0, torch.device("cpu"), 9, 1)


def test_in_a_continuous_space_all_count_and_the_higher_may_be_resampled(log):
    """What is pending or failed has no energy that a candidate could be below."""
    known = log.trials()
    pending = replace(known[0], number=8, state="running", energy=None)
    failed = replace(known[1], number=9, state="failed", energy=None)
    step, trials = step_of(campaign().components), [*known, pending, failed]
    data = training_data(step, known)
    model = step.components.surrogate.fit(data.structures, step.components.space)
    X_candidates = data.X[:3]
    X, lower, promising = resampling_rules(step, model, data, trials, X_candidates, SCALE)
    assert torch.equal(X, torch.stack([t.X for t in trials]))
    mean = model.posterior(X_candidates.unsqueeze(-2)).mean.flatten()
    gain = MIN_ENERGY_GAIN * SCALE.energy
    for c, predicted in enumerate(mean.tolist()):
        expected = [predicted < trial.energy - gain for trial in known]
        assert lower[c].tolist() == [*expected, False, False]
    assert lower.any()
    assert promising.shape == (3,)


def test_in_a_discrete_space_failures_alone_may_be_repeated(screened):
    """The third evaluation failed once, while others succeeded after it."""
    trials = screened.trial_records()[:6]
    known = [trial for trial in trials if trial.state == "done"]
    step = step_of(alloys.campaign().components)
    data = training_data(step, known)
    X, lower, promising = resampling_rules(step, None, data, trials, data.X, SCALE)
    assert torch.equal(X, torch.stack([trial.X for trial in known]))
    assert len(X) == len(trials) - 1
    assert lower is promising is None
