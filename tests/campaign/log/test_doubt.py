"""Doubts come and go with the results, and are in the log."""

import pytest
from ase.calculators.emt import EMT

from bostruct.campaign import Campaign, stop
from bostruct.campaign.log import doubt as module
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.retraction import retract_trial
from bostruct.campaign.log.verify import verify_log
from bostruct.candidates import BasinHopping
from bostruct.evaluators import Calculator, Evaluation
from bostruct.spaces import Cluster
from bostruct.surrogates import LocalGP

WRONG = 9  # the trial whose energy is spoiled


def copper(n=WRONG + 1, surrogate=None):
    return Campaign(
        Cluster("Cu4"),
        Calculator(EMT),
        surrogate or LocalGP(max_inducing=40),
        search=BasinHopping(n_candidates=6, n_rounds=1, max_steps=10),
        stop=stop.Evaluations(n),
        n_initial=n,
    )


def run(folder, spoil, n=WRONG + 1, surrogate=None):
    """Tell the results of a campaign, one of them spoiled; return its log."""
    campaign = copper(n, surrogate)
    with campaign.open(folder):
        told = []
        while len(told) < n:
            for trial in campaign.ask():
                result = campaign.evaluator(trial.structures)
                if trial.number == WRONG:
                    result = spoil(result, told)
                told.append(result)
                campaign.tell(trial, result)
    return campaign.read(folder)


def hole(result, told):
    return Evaluation(result.energy - 100, result.forces)


def stale(result, told):
    return told[-1]


def right(result, told):
    return result


@pytest.fixture(scope="module")
def holed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hole") / "run"
    return run(folder, hole).folder


def test_no_result_is_doubted_without_reason(tmp_path, monkeypatch):
    """And none is read again for it."""
    monkeypatch.setattr(module, "find_doubts", lambda *_: pytest.fail("all were judged"))
    assert not any(trial.doubt for trial in run(tmp_path / "run", right).trials())


def test_a_stale_result_is_doubted_with_its_twin(tmp_path):
    log = run(tmp_path / "run", stale)
    assert [trial.number for trial in log.trials() if trial.doubt] == [WRONG - 1, WRONG]
    assert not log.trials()[WRONG].is_known
    assert log.trials()[WRONG].energy is not None, "the log keeps the number"
    assert verify_log(log).problems == ()
    retract_trial(log.folder, WRONG, "output of the trial before")
    assert not any(trial.doubt for trial in log.trials()), "what is left has no twin"


def test_nothing_is_learnt_from_a_hole(holed, tmp_path):
    log = copper().read(holed)
    (doubted,) = [trial for trial in log.trials() if trial.doubt]
    assert doubted.number == WRONG
    assert len(log.structures()) == WRONG
    assert log.calibration().z == ()


def test_another_session_judges_the_same(holed):
    before = [(t.doubt, t.energy) for t in Log(holed).trial_records()]
    with copper().open(holed) as campaign:
        assert [(t.doubt, t.energy) for t in campaign.log.trial_records()] == before


def test_trust_and_the_next_step(tmp_path):
    folder = tmp_path / "run"
    run(folder, hole)
    campaign = copper()
    with campaign.open(folder):
        (next_trial,) = campaign.ask()
        assert WRONG not in campaign.log.steps()[next_trial.step].training_trials
        campaign.trust(WRONG, "computed twice")
        assert campaign.log.trials()[WRONG].trust == "computed twice"
        assert campaign.log.trials()[WRONG].doubt == ""
        campaign.tell(next_trial, campaign.evaluator(next_trial.structures))
        (next_trial,) = campaign.ask()
        assert WRONG in campaign.log.steps()[next_trial.step].training_trials
        X = campaign.log.trials()[WRONG].X
        mean = campaign.log.posterior(next_trial.step).posterior(X.unsqueeze(0)).mean
        assert float(mean) < 0, "the surrogate is fitted to it, too: all others are above 4 eV"
    log = campaign.read(folder)
    assert log.trials()[WRONG].is_known
    assert verify_log(log).problems == ()


def test_a_stopping_criterion_does_not_see_it(tmp_path):
    campaign = copper()
    run(tmp_path / "run", hole)
    with campaign.open(tmp_path / "run"):
        progress = campaign._open_session.progress(0.0)
        assert progress.energies[WRONG] is None
        assert progress.n_failed == 0, "a doubted result is no failure"
        campaign.trust(WRONG, "right")
        assert campaign._open_session.progress(0.0).energies[WRONG] < -80


def test_the_species_of_a_result_are_counted_once(tmp_path, monkeypatch):
    """However often all results are judged."""
    n_counted = []
    count = module.species_counts

    def counted(structures, *args):
        n_counted.append(len(structures))
        return count(structures, *args)

    monkeypatch.setattr(module, "species_counts", counted)
    run(tmp_path / "run", stale, n=WRONG + 4)
    assert n_counted == [1] * (WRONG + 4)


class OwnGP(LocalGP):
    """A surrogate of the user, which a log without its campaign file does not have."""

    def description(self):
        return super().description() | {"type": "OwnGP"}


def test_a_judgement_without_the_surrogate_keeps_the_other_doubts(tmp_path):
    log = run(tmp_path / "run", hole, surrogate=OwnGP(max_inducing=40))
    assert log.trials()[WRONG].doubt
    retract_trial(log.folder, 0, "a typo")
    assert log.trials()[WRONG].doubt
