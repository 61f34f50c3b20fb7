"""The tables of the default surrogate: that they measure what they say."""

import pytest
import torch

from bostruct.bench.performance import speed
from bostruct.surrogates import LocalGP


@pytest.fixture(scope="module")
def train():
    return speed.data(8)


def test_data_are_labelled_clusters_below_the_ceiling(train):
    assert train.formulas() == ["Cu15"] * 8
    assert (train.energy < speed.LAW.ceiling * 15).all()
    assert train.forces.isfinite().all()
    assert train.energy.unique().numel() == 8
    assert torch.equal(speed.data(2).positions, train[:2].positions)
    assert not torch.equal(speed.data(2, seed=1).positions, train[:2].positions)


def test_more_data_are_shaken_copies_with_their_own_energies(train):
    many = speed.more(train, 12)
    assert torch.equal(many[:8].positions, train.positions)
    assert many.energy.unique().numel() == 12


@pytest.mark.slow
def test_accuracy_on_what_was_learnt_is_better_than_on_what_was_not(train):
    known = speed.accuracy(train, train, 8)
    unknown = speed.accuracy(train, speed.data(4, seed=1), 8)
    assert known.forces < unknown.forces
    assert 0 <= unknown.inside <= 1
    assert unknown.square > 0


def test_throughput_counts_every_structure():
    def bowl(X):
        return -(X - X.detach().mean(-1, keepdim=True)).square().sum(-1)

    found = speed.throughput(bowl, 3)
    assert found.batch == 3
    assert found.rate > 0
    assert found.each > 0


def test_scale_tells_what_a_fit_costs(train):
    found = speed.scale(train, 10)
    assert found.train == 10
    assert found.inducing == len(LocalGP().fit(speed.more(train, 10)).inducing)
    assert found.seconds > 0
    assert found.memory > 0.05  # torch alone is larger


def test_tables_are_printed(capsys):
    few = {"accuracy": 4, "batches": 2, "steps": 3, "scale": 4, "held": 2}
    arguments = [word for name, n in few.items() for word in (f"--{name}", str(n))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "RELAXED", 4)
        threads = torch.get_num_threads()
        try:
            speed.main(arguments)
        finally:
            torch.set_num_threads(threads)
    out = capsys.readouterr().out
    for head in ("within 1 σ", "relaxations/s", "search s", "most memory GB"):
        assert head in out
