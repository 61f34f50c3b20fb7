"""Predictions as they stood at their step: nothing that came later has a part in it."""

import hashlib
import sqlite3
from dataclasses import replace

import numpy as np
import pytest
import torch
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch.distributions import MultivariateNormal
from scipy.stats import binomtest

from bostruct.campaign import Evaluations
from bostruct.campaign.analysis.calibration import (
    calibration_at_step,
    trial_z_scores,
)
from bostruct.campaign.analysis.predictions import logged_predictions
from bostruct.campaign.analysis.recalibration import Recalibration
from bostruct.campaign.log.verify import LOGGED_PREFIXES
from bostruct.campaign.report.assessment import Assessment
from bostruct.errors import InputError
from bostruct.evaluators import Function
from tests.campaign.standin import GP, Box, Fitted, campaign, features


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """Return the log of a campaign with 16 predictions."""
    return campaign(n=20).run(tmp_path_factory.mktemp("long") / "run")


def logged(log):
    """Return what every step logged of its calibration."""
    return [
        {k: v for k, v in step.hyperparameters.items() if k.startswith(LOGGED_PREFIXES)}
        for step in log.steps()
    ]


def test_what_is_logged_is_what_was_known(long):
    z = trial_z_scores(long.trial_records())
    for step, found in zip(long.steps(), logged(long), strict=True):
        if step.kind == "model":
            there = calibration_at_step(z, step.training_trials)
            assert found == there.logged_values() | there.recalibration.logged_values()
            again, expected = Recalibration.from_logged(found), there.recalibration
            assert (again.shift, again.scale) == (expected.shift, expected.scale)
            assert found["calibration_tested"] == len(step.training_trials) - 4
            assert long.calibration(step.number) == calibration_at_step(z, step.training_trials)
        else:
            assert found == {}
    assert long.calibration().n == 16
    with pytest.raises(InputError, match="`step` must be one with a posterior"):
        long.calibration(0)


def test_predictions_are_those_of_their_step(long):
    found = long.predictions()
    assert [each.trial for each in found] == list(range(4, 20))
    for each in found:
        trial = long.trial_records()[each.trial]
        there = long.calibration(trial.step)
        assert each.prediction == there.predict(trial.mean, trial.predictive_variance)
        assert each.energy == trial.energy
        assert (each.covered is None) == (there.n < 9)
    assert sum(each.covered is not None for each in found) == 7
    assert all(each.covered is None for each in long.predictions(eps=0.05))


@pytest.mark.parametrize("number", [0, 5, 12, 19])
def test_no_outcome_leaks_into_what_was_said_before(long, number):
    trials, steps = long.trial_records(), long.steps()
    changed = [replace(t, energy=t.energy + 7.0) if t.number == number else t for t in trials]
    then, now = (
        logged_predictions(each, steps, trial_z_scores(each)) for each in (trials, changed)
    )
    same = [one.prediction == other.prediction for one, other in zip(then, now, strict=True)]
    # One step after another: a trial is predicted from all with smaller numbers.
    assert all(same[: max(0, number - 4 + 1)])
    if 4 <= number < 19:
        assert not any(same[number - 4 + 1 :])


def test_energies_that_are_not_known_are_no_test(long):
    trials = [replace(t, energy=None, state="failed") for t in long.trial_records()]
    found = logged_predictions(trials, long.steps(), trial_z_scores(trials))
    assert len(found) == 16
    assert all(each.covered is None for each in found)
    assert all(each.prediction.calibrated_sigma == each.prediction.sigma for each in found)


def test_interrupted_and_resumed_it_says_the_same(long, tmp_path):
    """Real kills are in test_campaign: a fingerprint covers what a step logs."""
    mine, folder = campaign(n=20), tmp_path / "run"
    mine.run(folder, stop=Evaluations(13))
    with mine.open(folder) as opened:
        opened.ask()
    log = mine.run(folder)
    assert log.trials()[13].attempt == 2
    assert logged(log) == logged(long)
    assert log.predictions() == long.predictions()
    assert log.calibration() == long.calibration()
    values, expected = ([t.acquisition for t in each.trials()] for each in (log, long))
    assert values == expected
    assert max(found.get("recalibration_scale", 1.0) for found in logged(log)) > 1


def test_a_batch_is_predicted_from_what_was_known_before_it(tmp_path):
    log = campaign(n=16, batch_size=4).run(tmp_path / "run")
    tested = [found.get("calibration_tested") for found in logged(log)]
    assert tested == [None, 0, 4, 8]


class Overconfident(Fitted):
    """A model that is certain to half of the true σ, and right in the mean."""

    def posterior(self, X, observation_noise=False, **_):
        mean = X.new_zeros(X.shape[:-1])
        covariance = 0.25 * torch.eye(X.shape[-2]).to(X).expand(*mean.shape, -1)
        return GPyTorchPosterior(MultivariateNormal(mean, covariance))


class Half(GP):
    def fit(self, structures, space=None):
        X = structures.positions.reshape(-1, Box.dimension)
        return Overconfident(features(X), structures.energy)


def noise(atoms):
    """Return a number from a standard normal distribution that belongs to the atoms."""
    seed = int.from_bytes(hashlib.sha256(atoms.positions.tobytes()).digest()[:4], "big")
    return float(np.random.default_rng(seed).standard_normal())


def test_a_surrogate_that_claims_half_the_error_is_found_out(tmp_path):
    parts = {"evaluator": Function(noise), "surrogate": Half(), "n": 44}
    log = campaign(**parts).run(tmp_path / "run")
    found = log.calibration()
    low, high = found.alpha_interval
    assert low < 2 < high < 2 * low
    assert replace(found, n_recent=40).alpha == pytest.approx(2, rel=0.2)
    last = log.predictions()[-1].prediction
    assert last.sigma == 0.5
    assert last.calibrated_sigma == log.calibration(log.steps()[-1].number).alpha / 2
    held = [each.covered for each in log.predictions() if each.covered is not None]
    low, high = binomtest(sum(held), len(held)).proportion_ci(method="wilson")
    assert low < 0.9 < high


def test_a_folder_that_logged_no_calibration(long, tmp_path):
    """As older versions did: it is a function of the rest of the log."""
    log = campaign(n=9).run(tmp_path / "run")
    connection = sqlite3.connect(log.folder / "campaign.db")
    connection.execute("UPDATE bostruct_step SET hyperparameters = '{}'")
    connection.commit()
    connection.close()
    assert log.predictions() == long.predictions()[:5]
    assert log.calibration() == long.calibration(6)


def test_a_result_that_is_not_known_tests_no_interval(tmp_path):
    """Doubted or retracted, it says nothing; what was predicted from it stays as it was."""
    mine, folder = campaign(n=20), tmp_path / "run"
    before = mine.run(folder).predictions()
    with mine.open(folder) as opened:
        opened.log.mark_doubt(17, "far below all others")
        opened.log.mark_retracted(15, "a typo")
        found = opened.log.predictions()
        best = Assessment.from_log(opened.log).best
    assert [each.prediction for each in found] == [each.prediction for each in before]
    unknown = [each.trial for each in found if each.energy is None]
    assert unknown == [each.trial for each in found if each.trial >= 13 and each.covered is None]
    assert unknown == [15, 17]
    by_trial = {each.trial: each for each in before}
    for each in best:
        assert each.logged_prediction == by_trial.get(each.trial)
