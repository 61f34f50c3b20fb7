"""The tables of the default surrogate: that they measure what they say."""

import pytest
import torch

from bostruct.bench.performance import speed
from bostruct.spaces import Cluster
from bostruct.surrogates import LocalGP


@pytest.fixture(scope="module")
def train():
    return speed.SPEED_DATASET.sample(8)


def test_data_are_labelled_clusters_below_the_ceiling(train):
    assert train.formulas() == ["Cu15"] * 8
    assert (train.energy < speed.SPEED_DATASET.max_energy_per_atom * 15).all()
    assert train.forces.isfinite().all()
    assert train.energy.unique().numel() == 8
    assert torch.equal(speed.SPEED_DATASET.sample(2).positions, train[:2].positions)
    assert not torch.equal(speed.SPEED_DATASET.sample(2, seed=1).positions, train[:2].positions)


def test_more_data_are_shaken_copies_with_their_own_energies(train):
    many = speed.extend_with_displaced(train, 12)
    assert torch.equal(many[:8].positions, train.positions)
    assert many.energy.unique().numel() == 12


@pytest.mark.slow
def test_accuracy_on_what_was_learnt_is_better_than_on_what_was_not(train):
    known = speed.measure_accuracy(train, train, 8)
    unknown = speed.measure_accuracy(train, speed.SPEED_DATASET.sample(4, seed=1), 8)
    assert known["MAE eV/Å"] < unknown["MAE eV/Å"]
    assert 0 <= unknown["within 1 σ"] <= 1
    assert unknown["z²"] > 0


def test_throughput_counts_every_structure():
    def bowl(X):
        return -(X - X.detach().mean(-1, keepdim=True)).square().sum(-1)

    found = speed.measure_throughput(bowl, 3)
    assert found["batch"] == 3
    assert found["relaxations/s"] > 0
    assert found["ms/structure and step"] > 0


def test_scale_tells_what_a_fit_costs(train):
    found = speed.measure_fit_cost(train, 10)
    assert found["train"] == 10
    model = LocalGP().fit(speed.extend_with_displaced(train, 10))
    assert found["inducing"] == len(model.inducing)
    assert found["fit s"] > 0
    assert found["ms/structure"] == pytest.approx(100 * found["fit s"])
    assert found["peak memory GB"] > 0.05  # torch alone is larger


@pytest.mark.slow
def test_tables_are_printed(capsys):
    few = {"accuracy": 4, "batches": 2, "steps": 3, "search": 3, "scale": 4, "held": 2}
    arguments = [word for name, n in few.items() for word in (f"--{name}", str(n))]
    with pytest.MonkeyPatch.context() as patch:
        spaces = {"two atoms": Cluster("CuAu")}
        patch.setattr(speed, "search_spaces", lambda: spaces)
        patch.setattr(speed, "N_RELAXATION_TRAIN", 4)
        speed.main(arguments)
    out = capsys.readouterr().out
    for head in ("within 1 σ", "relaxations/s", "search s", "closed form s", "peak memory GB"):
        assert head in out


def test_both_ways_of_a_search_are_timed():
    spaces = speed.search_spaces()
    assert [len(space.numbers) for space in spaces.values()] == [15, 15, 40, 76]
    cost = speed.measure_search("Cu3", Cluster("Cu3"), 4, repeats=1)
    assert cost["search"] == "Cu3"
    assert 0 < cost["inducing"] <= 12
    assert cost["closed form s"] > 0
    assert cost["BoTorch s"] > 0
