import gc

import torch

from bostruct.descriptors import MeanSOAP
from bostruct.spaces import Composition
from bostruct.surrogates.properties import feature_cache
from tests.descriptors.alloys import pool

AVERAGED = MeanSOAP(cutoff=4.0, n_max=3, l_max=1)


class Counted:
    """A map that tells of how many members it was asked."""

    cacheable, n_features = True, 3

    def __init__(self, shift=0.0):
        self.shift, self.asked = shift, 0

    def __call__(self, source, X):
        self.asked += len(X)
        return X.sum(-1, keepdim=True).expand(-1, 3) + self.shift

    def tensors(self):
        return {"shift": torch.tensor(self.shift)}


def test_rows_are_computed_once_and_those_of_another_map_are_others():
    space, map_ = pool(), Counted()
    X = space.members(0, 8).reshape(4, 2, 1)
    assert torch.equal(feature_cache.cached_features(map_, space, X), X.expand(-1, -1, 3))
    assert torch.equal(feature_cache.cached_features(map_, space, X[2:]), X[2:].expand(-1, -1, 3))
    assert map_.asked == 8
    again, other = Counted(), Counted(1.0)
    assert torch.equal(feature_cache.cached_features(again, space, X), X.expand(-1, -1, 3))
    assert again.asked == 0
    assert torch.equal(feature_cache.cached_features(other, space, X), X.expand(-1, -1, 3) + 1)
    assert other.asked == 8


def test_repeated_rows_are_asked_once():
    space, map_ = pool(), Counted()
    X = space.members(0, 2).repeat(3, 1)
    assert torch.equal(feature_cache.cached_features(map_, space, X), X.expand(-1, 3))
    assert map_.asked == 2


def test_what_does_not_fit_is_computed_again(monkeypatch):
    monkeypatch.setattr(feature_cache, "MAX_BYTES", 4 * 3 * 8)
    space, map_ = pool(), Counted()
    X = space.members(0, 10)
    assert torch.equal(feature_cache.cached_features(map_, space, X[:4]), X[:4].expand(-1, 3))
    assert torch.equal(feature_cache.cached_features(map_, space, X), X.expand(-1, 3))
    assert torch.equal(feature_cache.cached_features(map_, space, X), X.expand(-1, 3))
    assert map_.asked == 4 + 6 + 6


def test_rows_go_with_their_space():
    space = pool()
    feature_cache.cached_features(Counted(), space, space.members(0, 3))
    before = len(feature_cache._CACHES)
    del space
    gc.collect()
    assert len(feature_cache._CACHES) < before


def test_cheap_features_are_not_kept():
    space = Composition(["Cu", "Au"], step=1 / 4)
    map_ = Counted()
    map_.cacheable = False
    feature_cache.cached_features(map_, space, space.members(0, 3))
    feature_cache.cached_features(map_, space, space.members(0, 3))
    assert map_.asked == 6
    assert space not in feature_cache._CACHES


def test_a_map_is_prepared_once_for_a_space():
    space = pool()
    first = feature_cache.fitted_map(AVERAGED, space)
    assert feature_cache.fitted_map(MeanSOAP(cutoff=4.0, n_max=3, l_max=1), space) is first
    again = feature_cache.fitted_map(AVERAGED, pool())
    for name, value in first.tensors().items():
        assert torch.equal(value, again.tensors()[name])
