import math
from itertools import pairwise

import pytest
import torch

from bostruct.campaign import stop
from bostruct.campaign.log.reader import Log
from bostruct.campaign.report.assessment import Outlook
from bostruct.errors import InputError
from tests.campaign.standin import GP, NOISE, Box, Wells, campaign, features


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Return the log of a campaign with 14 predictions."""
    return campaign(n=18, space=Wells()).run(tmp_path_factory.mktemp("long") / "run")


def test_the_best_are_ranked(log):
    found = Outlook.of(log, count=4).best
    energies = sorted(trial.energy for trial in log.undecoded())
    assert [each.energy for each in found] == energies[:4]
    assert [each.above for each in found] == [e - energies[0] for e in energies[:4]]
    foretold = {each.trial: each for each in log.foretold()}
    assert [each.foretold for each in found] == [foretold.get(x.trial) for x in found]
    assert any(each.foretold for each in found)


def test_no_two_of_the_best_are_the_same(log):
    class Coarse(Box):
        def same(self, A, B, scale=1.0):
            return (features(A) - features(B)).abs().amax(-1) < 1.5

    found = Outlook.of(Log(log.folder, Coarse(), GP()), count=18).best
    assert 1 < len(found) < 18
    trials = log.undecoded()
    assert found[0].energy == min(trial.energy for trial in trials)
    X = torch.stack([trials[each.trial].X for each in found])
    assert int(Coarse().same(X.unsqueeze(1), X).sum()) == len(found)


def test_differences_are_those_of_the_joint_posterior(log):
    found = Outlook.of(log, count=4)
    trials, step = log.undecoded(), log.steps()[-1]
    there = log.calibration()
    X = torch.stack([trials[each.trial].X for each in found.best])
    posterior = log.posterior(step.number).posterior(X)
    for i, each in enumerate(found.differences, 1):
        w = torch.zeros(4, dtype=torch.float64)
        w[i], w[0] = 1.0, -1.0
        mean = float(w @ posterior.mean.flatten())
        variance = float(w @ posterior.distribution.covariance_matrix @ w)
        assert (each.trial, each.other) == (found.best[i].trial, found.best[0].trial)
        assert each.energy == found.best[i].above
        assert each.expected.mean == pytest.approx(mean)
        assert each.latent == pytest.approx(there.factor * math.sqrt(variance))
        observed = math.sqrt(variance + 2 * NOISE)
        assert each.expected.sigma == pytest.approx(observed)
        width = there.quantile() * observed
        assert each.expected.high - each.expected.mean == pytest.approx(width)
        both = {each.trial, each.other} <= set(step.known)
        assert each.known == both
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
    found = Outlook.of(log, count=3).remaining
    step = log.steps()[-1].number
    arrays, there = log.arrays(step), log.calibration()
    assert len(found) == 3
    assert all(a.expected.low <= b.expected.low for a, b in pairwise(found))
    seen = torch.stack([trial.X for trial in log.undecoded()])
    for each in found:
        i = each.candidate
        assert not bool(log.space.same(arrays["candidates.X"][i], seen).any())
        mean = float(arrays["candidates.mean"][i])
        variance = float(arrays["candidates.observed"][i])
        assert each.expected == there.expect(mean, variance)
        assert each.origin == "drawn"
    rest = set(range(8)) - {each.candidate for each in found}
    rest -= set(arrays["chosen.index"].tolist())
    low = [
        there.expect(
            float(arrays["candidates.mean"][i]), float(arrays["candidates.observed"][i])
        ).low
        for i in rest
    ]
    assert min(low) >= found[-1].expected.low


def test_without_intervals_the_calibrated_sigma_orders(tmp_path):
    log = campaign(n=7).run(tmp_path / "run")
    found = [each.expected for each in Outlook.of(log).remaining]
    assert all(each.low is None for each in found)
    ends = [each.mean - each.calibrated for each in found]
    assert ends == sorted(ends)


def test_what_is_missing_is_said(log, tmp_path):
    alone = Outlook.of(Log(log.folder))
    assert alone.missing == "space or surrogate are parts of your own"
    assert len(alone.best) == 5
    assert alone.differences == alone.remaining == ()
    new = campaign().run(tmp_path / "new", stop=stop.Evaluations(1))
    assert Outlook.of(new).missing == "there was no step with a surrogate yet"
    assert len(Outlook.of(new).best) == 1
    nothing = campaign().run(tmp_path / "nothing", stop=stop.WallTime(1e-9))
    assert Outlook.of(nothing).best == ()
    with pytest.raises(InputError, match="`count` must be an integer of at least 1"):
        Outlook.of(log, count=0)
    with pytest.raises(InputError, match="`eps` must be between 0 and 1"):
        Outlook.of(log, eps=0.0)


def test_one_structure_has_no_differences(tmp_path):
    log = campaign(n=6).run(tmp_path / "run")
    assert Outlook.of(log, count=1).differences == ()


def test_a_damaged_posterior_is_said(tmp_path):
    log = campaign(n=6).run(tmp_path / "run")
    log.path(2).write_bytes(b"nonsense")
    found = Outlook.of(log)
    assert "its sha256 differs" in found.missing
    assert len(found.best) == 5
    assert found.remaining == ()


def test_a_posterior_of_another_version_is_said(log):
    class Newer(GP):
        def restore(self, tensors, space=None):
            raise ValueError("not enough values to unpack")

    found = Outlook.of(Log(log.folder, Wells(), Newer()))
    assert "could not be rebuilt: ValueError: not enough values" in found.missing
