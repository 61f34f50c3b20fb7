"""Joint predictions: as logged, and as the model gives them."""

from dataclasses import replace

import pytest
import torch

from bostruct.campaign.analysis.best_trials import best_trials
from bostruct.campaign.analysis.energy_comparison import EnergyComparison
from tests.campaign.standin import campaign


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return campaign(n=14).run(tmp_path_factory.mktemp("compared") / "run")


def test_logged_is_what_the_model_gives(log):
    """Of known structures, and of those that the step selected, in any order."""
    step = log.steps()[-1]
    tensors, trials = log.posterior_tensors(step.number), log.trial_records()
    selected = [trial for trial in trials if trial.step == step.number]
    known = best_trials(trials[: selected[0].number], 4, log.space)
    compared = [known[2], *selected, known[0], known[3]]
    found = EnergyComparison.from_tensors(tensors, step, compared)
    X = torch.stack([trial.X for trial in compared])
    expected = EnergyComparison.from_model(log.posterior(step.number), X)
    for name in ("mean", "latent_covariance", "covariance"):
        one, other = getattr(found, name), getattr(expected, name)
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    assert (found.covariance.diagonal() > found.latent_covariance.diagonal()).all()


def test_what_was_not_logged_is_none(log):
    step = log.steps()[-1]
    tensors, trials = log.posterior_tensors(step.number), log.trial_records()
    logged = tensors["compared.trials"].tolist()
    (worst, *_) = [trial for trial in trials[: max(logged)] if trial.number not in logged]
    assert EnergyComparison.from_tensors(tensors, step, [worst]) is None
    later = replace(trials[-1], step=step.number + 1)
    assert EnergyComparison.from_tensors(tensors, step, [later]) is None
    old = {name: value for name, value in tensors.items() if not name.startswith("compared.")}
    assert EnergyComparison.from_tensors(old, step, best_trials(trials, 2, log.space)) is None
