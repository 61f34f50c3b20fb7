import math
from itertools import pairwise

import pytest
import torch
from ase.build import bulk
from ase.calculators.emt import EMT

from bostruct.campaign import Campaign, stop
from bostruct.campaign.analysis.energy_comparison import EnergyComparison
from bostruct.campaign.log.reader import Log
from bostruct.campaign.report.assessment import Assessment
from bostruct.errors import InputError
from bostruct.evaluators import Calculator
from bostruct.spaces import Pool
from tests.campaign.standin import GP, NOISE, Box, Wells, campaign, features


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Return the log of a campaign with 14 predictions."""
    return campaign(n=18, space=Wells()).run(tmp_path_factory.mktemp("long") / "run")


def test_the_best_are_ranked(log):
    found = Assessment.from_log(log, count=4).best
    energies = sorted(trial.energy for trial in log.trial_records())
    assert [each.energy for each in found] == energies[:4]
    assert [each.energy_above_best for each in found] == [e - energies[0] for e in energies[:4]]
    foretold = {each.trial: each for each in log.predictions()}
    assert [each.logged_prediction for each in found] == [foretold.get(x.trial) for x in found]
    assert any(each.logged_prediction for each in found)


def test_no_two_of_the_best_are_the_same(log):
    class Coarse(Box):
        def is_duplicate(self, A, B, tolerance_scale=1.0):
            return (features(A) - features(B)).abs().amax(-1) < 1.5

    found = Assessment.from_log(Log(log.folder, Coarse(), GP()), count=18).best
    assert 1 < len(found) < 18
    trials = log.trial_records()
    assert found[0].energy == min(trial.energy for trial in trials)
    X = torch.stack([trials[each.trial].X for each in found])
    assert int(Coarse().is_duplicate(X.unsqueeze(1), X).sum()) == len(found)


def test_differences_are_those_of_the_joint_posterior(log):
    found = Assessment.from_log(log, count=4)
    trials, step = log.trial_records(), log.steps()[-1]
    there = log.calibration()
    X = torch.stack([trials[each.trial].X for each in found.best])
    posterior = log.posterior(step.number).posterior(X)
    for i, each in enumerate(found.differences, 1):
        w = torch.zeros(4, dtype=torch.float64)
        w[i], w[0] = 1.0, -1.0
        mean = float(w @ posterior.mean.flatten())
        variance = float(w @ posterior.distribution.covariance_matrix @ w)
        assert (each.trial, each.reference_trial) == (
            found.best[i].trial,
            found.best[0].trial,
        )
        assert each.energy == found.best[i].energy_above_best
        assert each.prediction.mean == pytest.approx(mean)
        assert each.latent_sigma == pytest.approx(there.sigma_factor * math.sqrt(variance))
        observed = math.sqrt(variance + 2 * NOISE)
        assert each.prediction.sigma == pytest.approx(observed)
        width = there.quantile() * observed
        assert each.prediction.high - each.prediction.mean == pytest.approx(width)
        both = {each.trial, each.reference_trial} <= set(step.training_trials)
        assert each.in_training_set == both
    assert len(found.differences) == 3


def test_what_two_structures_share_cancels(tmp_path):
    """σ of a difference goes to zero as one structure becomes the other."""
    log = campaign(n=6).run(tmp_path / "run")
    model = log.posterior(1)
    X = log.space.sample(1, torch.Generator().manual_seed(5)).repeat(2, 1)
    X[1] += 1e-3
    covariance = model.posterior(X).distribution.covariance_matrix
    own, other = covariance.diagonal()
    assert float(own + other - 2 * covariance[0, 1]) < 1e-3 * float(own)


def test_remaining_are_new_and_in_order(log):
    found = Assessment.from_log(log, count=3).unevaluated
    step = log.steps()[-1].number
    arrays, there = log.posterior_tensors(step), log.calibration()
    assert len(found) == 3
    values = arrays["candidates.acquisition"]
    assert all(values[a.candidate_index] >= values[b.candidate_index] for a, b in pairwise(found))
    seen = torch.stack([trial.X for trial in log.trial_records()])
    for each in found:
        i = each.candidate_index
        assert not bool(log.space.is_duplicate(arrays["candidates.X"][i], seen).any())
        mean = float(arrays["candidates.mean"][i])
        variance = float(arrays["candidates.predictive_variance"][i])
        assert each.prediction == there.predict(mean, variance)
        assert each.generator == "drawn"
    rest = set(range(8)) - {each.candidate_index for each in found}
    rest -= set(arrays["chosen.index"].tolist())
    assert max(float(values[i]) for i in rest) <= float(values[found[-1].candidate_index])


def test_members_are_ordered_by_the_calibrated_sigma_without_intervals(tmp_path):
    pool = Pool([bulk("Cu", a=a) for a in (3.4, 3.5, 3.6, 3.7, 3.8, 3.9)])
    log = Campaign(pool, Calculator(EMT), stop=stop.Evaluations(3)).run(tmp_path / "run", seed=0)
    found = [each.prediction for each in Assessment.from_log(log).unevaluated]
    assert len(found) > 1
    assert all(each.low is None for each in found)
    ends = [each.mean - each.calibrated_sigma for each in found]
    assert ends == sorted(ends)


def test_what_is_missing_is_said(log, tmp_path):
    alone = Assessment.from_log(Log(log.folder))
    assert alone.missing_reason == "space or surrogate is not one of bostruct"
    assert len(alone.best) == 5
    assert alone.differences == alone.unevaluated == ()
    new = campaign().run(tmp_path / "new", stop=stop.Evaluations(1))
    assert Assessment.from_log(new).missing_reason == "there was no step with a surrogate yet"
    assert len(Assessment.from_log(new).best) == 1
    nothing = campaign().run(tmp_path / "nothing", stop=stop.WallTime(1e-9))
    assert Assessment.from_log(nothing).best == ()
    with pytest.raises(InputError, match="`count` must be an integer of at least 1"):
        Assessment.from_log(log, count=0)
    with pytest.raises(InputError, match="`eps` must be between 0 and 1"):
        Assessment.from_log(log, eps=0.0)


def test_one_structure_has_no_differences(tmp_path):
    log = campaign(n=6).run(tmp_path / "run")
    assert Assessment.from_log(log, count=1).differences == ()


def test_a_damaged_posterior_is_said(tmp_path):
    log = campaign(n=6).run(tmp_path / "run")
    log.posterior_path(2).write_bytes(b"nonsense")
    found = Assessment.from_log(log)
    assert "its sha256 differs" in found.missing_reason
    assert len(found.best) == 5
    assert found.unevaluated == ()


def test_a_posterior_of_another_version_is_said(log, monkeypatch):
    """Where it is needed: joint predictions of an earlier version were not logged."""
    monkeypatch.setattr(EnergyComparison, "from_tensors", classmethod(lambda cls, *given: None))

    class Newer(GP):
        def restore(self, tensors, space=None):
            raise ValueError("not enough values to unpack")

    found = Assessment.from_log(Log(log.folder, Wells(), Newer()))
    assert "could not be rebuilt: ValueError: not enough values" in found.missing_reason


def test_a_log_without_joint_predictions_asks_the_model(log, monkeypatch):
    """As those of earlier versions; both ways agree to rounding."""
    expected = Assessment.from_log(log, count=4)
    monkeypatch.setattr(EnergyComparison, "from_tensors", classmethod(lambda cls, *given: None))
    found = Assessment.from_log(log, count=4)
    assert found.best == expected.best
    assert found.unevaluated == expected.unevaluated
    for one, other in zip(found.differences, expected.differences, strict=True):
        assert one.trial == other.trial
        assert one.prediction.mean == pytest.approx(other.prediction.mean, rel=1e-9)
        assert one.latent_sigma == pytest.approx(other.latent_sigma, rel=1e-6)
    without_surrogate = Assessment.from_log(Log(log.folder, log.space))
    assert without_surrogate.missing_reason == "space or surrogate is not one of bostruct"


def test_a_logged_joint_prediction_needs_no_surrogate(log):
    assert Assessment.from_log(Log(log.folder, log.space)) == Assessment.from_log(log)
