import pytest
import torch

from bostruct.campaign.planning import batch_selection as module
from bostruct.campaign.planning.batch_selection import select_batch
from bostruct.campaign.planning.step_context import StepContext
from bostruct.candidates import Candidates
from bostruct.runtime.rng import generator_for
from tests.campaign.planning.conftest import acquisition_of
from tests.campaign.standin import Box, Points, campaign


def candidates(X, value):
    n = len(X)
    steps = torch.zeros(n, dtype=torch.int64)
    return Candidates(X, value(X), ["a"] * n, steps, torch.ones(n, dtype=torch.bool))


def test_choice_is_greedy(made):
    task, value, X = made
    found = candidates(Box().sample(12, generator_for(2)), value)
    _, chosen, values = select_batch(task, found, value, X)
    assert len(set(chosen)) == 3
    first = chosen[0]
    assert first == int(found.acq_value.argmax())
    second = value.with_pending(found.X[first : first + 1])(found.X).detach()
    second[first] = -torch.inf
    assert chosen[1] == int(second.argmax())
    assert values[1] == pytest.approx(float(second.max()))


def test_random_ones_where_all_are_known(made):
    task, value, X = made
    found, chosen, values = select_batch(task, candidates(X[:4], value), value, X)
    assert chosen == [4, 5, 6]
    assert list(found.generator_names) == ["a"] * 4 + ["random"] * 3
    assert len(found.X) == len(found.acq_value) == len(found.n_steps) == 7
    assert values == found.acq_value[4:].tolist()


def test_random_ones_where_too_few_are_new(made):
    task, value, X = made
    mixed = torch.cat([X[:4], Box().sample(1, generator_for(3))])
    found, chosen, _ = select_batch(task, candidates(mixed, value), value, X)
    assert chosen == [4, 5, 6]
    assert list(found.generator_names) == ["a"] * 5 + ["random"] * 2


def test_nothing_is_left(log):
    X = Points(4).sample(64, generator_for(0)).unique(dim=0)
    step = StepContext(campaign(space=Points(4)).components, 0, torch.device("cpu"), 1, 2)
    value = acquisition_of(step, log.trials()[:4])
    found, chosen, _ = select_batch(step, candidates(X, value), value, X)
    assert chosen == []
    assert len(found.X) == 4


def test_only_the_best_are_weighed_again(made, monkeypatch):
    """What was among the worst at first is not looked at for each of a batch."""
    task, value, X = made
    found = candidates(Box().sample(12, generator_for(2)), value)
    order = found.acq_value.argsort(descending=True)
    full = select_batch(task, found, value, X)[1]
    monkeypatch.setattr(
        module, "MAX_RESCORED_CANDIDATES", 1 + max(order.tolist().index(i) for i in full)
    )
    assert select_batch(task, found, value, X)[1] == full
    monkeypatch.setattr(module, "MAX_RESCORED_CANDIDATES", 3)
    few = select_batch(task, found, value, X)[1]
    assert few[0] == full[0]
    assert set(few) == set(order[:3].tolist())


def test_deferred_candidates_come_last(made):
    """Each of them is taken before a random structure, and none before another candidate."""
    task, value, X = made
    found = candidates(Box().sample(4, generator_for(2)), value)
    order = found.acq_value.argsort(descending=True).tolist()
    deferred = torch.zeros(4, dtype=torch.bool)
    deferred[order[:2]] = True
    both, chosen, _ = select_batch(task, found, value, X, deferred=deferred)
    assert len(both) == 4
    assert set(chosen[:2]) == set(order[2:])
    assert chosen[2] in order[:2]
    everything = select_batch(task, found, value, X, deferred=torch.ones(4, dtype=torch.bool))
    assert everything[1] == select_batch(task, found, value, X)[1]
