import torch

from bostruct.campaign.planning.random_structures import sample_new
from bostruct.runtime.rng import generator_for
from bostruct.spaces import Composition
from tests.campaign.standin import Points


def test_fresh_structures_are_new():
    space = Points(4)
    X = sample_new(space, 4, generator_for(0), torch.zeros(0, 9))
    assert len(X) == 4
    assert len(X.unique(dim=0)) == 4
    assert len(sample_new(space, 3, generator_for(0), X[:3])) == 1
    assert sample_new(space, 3, generator_for(0), X).shape == (0, 9)


def test_members_are_asked_for_by_their_names():
    """What is drawn between members is written down as the member it stands for."""
    space = Composition(["Cu", "Pd", "Au"])
    X = sample_new(space, 5, generator_for(0), torch.zeros(0, 9))
    assert torch.equal(space.canonical(X), X)
    raw = space.sample(5, generator_for(0))
    assert not torch.equal(space.canonical(raw), raw)
    assert len(sample_new(space, 5, generator_for(0), X)) == 5
    assert not torch.equal(sample_new(space, 5, generator_for(0), X), X)
