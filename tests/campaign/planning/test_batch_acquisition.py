import pytest
import torch

from bostruct.acquisition import qLowerConfidenceBound
from bostruct.campaign.planning import batch_acquisition as module
from bostruct.campaign.planning.batch_acquisition import (
    CHUNK_SIZE,
    SingleObjectiveBatchAcquisition,
    StepContext,
    evaluate_in_chunks,
    sample_new,
    select_batch,
)
from bostruct.campaign.records import training_structures
from bostruct.candidates import Candidates
from bostruct.runtime.rng import generator_for
from bostruct.spaces import Composition
from tests.campaign.standin import Box, Points, campaign

CPU = torch.device("cpu")


@pytest.fixture(params=["one", "joint"])
def made(request, log):
    arguments = {}
    if request.param == "joint":
        arguments["acquisition"] = qLowerConfidenceBound(n_samples=64)
    parts = campaign(**arguments).components
    trials = log.trials()
    X = torch.stack([trial.X for trial in trials])
    energies = torch.tensor([trial.energy for trial in trials], dtype=torch.float64)
    model = parts.surrogate.fit(training_structures(trials, parts.space))
    task = StepContext(parts, 0, CPU, 5, 3)
    return task, SingleObjectiveBatchAcquisition(task, model, X, energies), X


def candidates(X, value):
    n = len(X)
    steps = torch.zeros(n, dtype=torch.int64)
    return Candidates(X, value(X), ["a"] * n, steps, torch.ones(n, dtype=torch.bool))


def test_a_second_look_at_one_that_is_pending_is_worth_little(made):
    task, value, _ = made
    X = Box().sample(5, generator_for(1))
    before = value(X).detach()
    assert before.shape == (5,)
    after = value.with_pending(X[:1]).with_pending(X[1:2])(X).detach()
    if task.components.acquisition.supports_q_batch:  # the value is that of all three together
        assert after[:2].max() <= after[2:].min() + 1e-3
    else:
        assert (after[:2] < before[:2]).all()


def test_it_has_gradients(made):
    _, value, _ = made
    X = Box().sample(3, generator_for(1)).requires_grad_()
    (gradient,) = torch.autograd.grad(value(X).sum(), X)
    assert gradient.shape == X.shape
    assert gradient.abs().sum() > 0


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
    parts = campaign(space=Points(4)).components
    X = Points(4).sample(64, generator_for(0)).unique(dim=0)
    task = StepContext(parts, 0, CPU, 1, 2)
    energies = torch.arange(4, dtype=torch.float64)
    trials = log.trials()[:4]
    model = parts.surrogate.fit(training_structures(trials, parts.space))
    value = SingleObjectiveBatchAcquisition(task, model, X, energies)
    found, chosen, _ = select_batch(task, candidates(X, value), value, X)
    assert chosen == []
    assert len(found.X) == 4


def test_fresh_structures_are_new():
    space = Points(4)
    X = sample_new(space, 4, generator_for(0), [])
    assert len(X) == 4
    assert len(X.unique(dim=0)) == 4
    assert len(sample_new(space, 3, generator_for(0), list(X[:3]))) == 1
    assert sample_new(space, 3, generator_for(0), list(X)).shape == (0, 9)


def test_members_are_asked_for_by_their_names():
    """What is drawn between members is written down as the member it stands for."""
    space = Composition(["Cu", "Pd", "Au"])
    X = sample_new(space, 5, generator_for(0), [])
    assert torch.equal(space.canonical(X), X)
    raw = space.sample(5, generator_for(0))
    assert not torch.equal(space.canonical(raw), raw)
    assert len(sample_new(space, 5, generator_for(0), list(X))) == 5
    assert not torch.equal(sample_new(space, 5, generator_for(0), list(X)), X)


def test_many_candidates_are_looked_at_in_parts():
    sizes = []

    def noted(X):
        assert not torch.is_grad_enabled()
        sizes.append(len(X))
        return 2 * X.sum(-1)

    X = Box().sample(2 * CHUNK_SIZE + 3, generator_for(0))
    assert torch.equal(evaluate_in_chunks(noted, X), 2 * X.sum(-1))
    assert sizes == [CHUNK_SIZE, CHUNK_SIZE, 3]


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
