"""Random structures of every kind, and moves drawn by what they have paid."""

import pytest
import torch
from ase.build import bulk

from bostruct.candidates.generators import mutate, random_generators, sample_from
from bostruct.spaces import Cluster, Pool
from bostruct.structures import from_ase


def stream(seed):
    return torch.Generator().manual_seed(seed)


def test_a_space_has_one_way_or_several():
    pool = Pool(from_ase([bulk("Cu"), bulk("Au")]))
    assert list(random_generators(pool)) == ["random"]
    assert list(random_generators(Cluster("Cu5"))) == ["random", "symmetric"]


@pytest.mark.parametrize("count", [0, 1, 4, 5])
def test_every_way_gets_its_share(count):
    made, names = sample_from(
        random_generators(Cluster("Cu5")), count, stream(0), torch.zeros(1, 15)
    )
    assert made.shape == (count, 15)
    assert made.dtype == torch.float32
    assert names.count("random") == (count + 1) // 2
    assert names.count("symmetric") == count // 2


def test_parents_take_turns_and_what_paid_is_drawn_more_often():
    moves = {
        "up": lambda X, generator: X + 1,
        "down": lambda X, generator: X - 1,
    }
    parents = torch.tensor([[10.0], [20.0], [30.0]])
    X, names = mutate(moves, parents, 300, stream(0), ["up"] * 8)
    signs = torch.tensor([1.0 if name == "up" else -1.0 for name in names])
    assert torch.equal(X.squeeze(-1) - signs, parents.repeat(100, 1).squeeze(-1))
    assert 0.8 < names.count("up") / 300 < 0.98  # 9 of 10 expected, 4 sigma
    assert torch.equal(parents, torch.tensor([[10.0], [20.0], [30.0]]))
    nothing, none = mutate(moves, parents, 0, stream(0))
    assert nothing.shape == (0, 1)
    assert none == []
