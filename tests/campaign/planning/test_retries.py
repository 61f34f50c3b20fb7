import pytest
import torch

from bostruct import stop
from bostruct.campaign.planning import retries as module
from bostruct.campaign.planning.retries import retry_candidates
from bostruct.campaign.records import Trial
from bostruct.evaluators import Failure
from bostruct.surrogates import LocalGP
from tests.campaign.alloys import Alloy, campaign, space

X = space().members(0, 40)


def trial(number, member, state="done", attempt=1):
    return Trial(number, number, str(number), attempt, state, "listed", X[member])


def numbers(*rows):
    trials = [trial(i, *row) for i, row in enumerate(rows)]
    return [found.number for found in retry_candidates(trials, space())]


def test_a_failure_is_open_again_after_a_success():
    assert numbers() == []
    assert numbers((0,), (1, "failed")) == []
    assert numbers((0,), (1, "failed"), (2, "running")) == []
    assert numbers((0,), (1, "failed"), (2,)) == [1]
    assert numbers((1, "failed"), (2, "failed"), (3,), (4, "failed")) == [0, 1]


def test_what_was_given_or_taken_back_is_not():
    assert numbers((0, "failed", 0), (1,)) == []
    assert numbers((0, "retracted"), (1, "abandoned"), (2,)) == []


@pytest.mark.parametrize("state", ["planned", "running", "done", "failed", "retracted"])
def test_once(state):
    assert numbers((0, "failed"), (1,), (0, state), (2,)) == []


def test_as_long_as_it_pays():
    open_ = [(9, "failed"), (8,)]
    lost = [(0, "failed"), (1,), (0, "failed"), (2,)]
    also = [(3, "failed"), (4,), (3, "failed"), (5,)]
    won = [(6, "failed"), (7,), (6,)]
    assert numbers(*lost, *open_) == [4]
    assert numbers(*lost, *also, *open_) == []
    assert numbers(*lost, *also, *won, *open_) == [11]
    assert module.MIN_SUCCESS_PROBABILITY == 1 / 3


class Broken(Alloy):
    """Fails at the first calls for one member, so many times."""

    def __init__(self, member, times):
        super().__init__()
        self.member, self.times = tuple(member.tolist()), times

    def __call__(self, structures):
        found = super().__call__(structures)
        failed = self.calls[-1] == self.member and self.asked <= self.times
        return Failure("it was killed") if failed else found

    @property
    def asked(self):
        return self.calls.count(self.member)


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    """The member that a campaign asks for first, of those it chose itself."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return campaign(n_initial=9).run(folder, stop=stop.Evaluations(10)).trial_records()[9].X


def test_what_is_wanted_most_is_asked_for_again(wanted, tmp_path):
    evaluator = Broken(wanted, 1)
    run = campaign(evaluator=evaluator, n_initial=9)
    log = run.run(tmp_path / "run", stop=stop.Evaluations(15))
    same = [t.state for t in log.trial_records() if torch.equal(t.X, wanted)]
    assert same == ["failed", "done"]
    there = torch.stack([log.trial_records()[p.trial].X for p in log.pareto_front().points])
    assert bool((there == wanted).all(-1).any())


def test_what_fails_again_is_left_alone(wanted, tmp_path):
    evaluator = Broken(wanted, 9)
    run = campaign(evaluator=evaluator, n_initial=9)
    run.run(tmp_path / "run", stop=stop.Evaluations(16))
    assert evaluator.asked == 2


def test_energies_of_members_too(tmp_path):
    evaluator = Alloy(broken={3})
    surrogate = LocalGP(max_inducing=20, pair_term=None, embedding_term=None)
    parts = {"objectives": None, "constraints": None, "space": space(step=1 / 2)}
    mine = campaign(evaluator=evaluator, surrogate=surrogate, **parts)
    log = mine.run(tmp_path / "run", stop=stop.Evaluations(7))
    X = torch.stack([t.X for t in log.trial_records()])
    assert len(X.unique(dim=0)) == 6
    assert [t.state for t in log.trial_records()].count("done") == 6
