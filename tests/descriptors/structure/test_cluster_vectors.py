import sys

import pytest
import torch
from ase.build import bulk

from bostruct.descriptors import ClusterVectors
from bostruct.errors import InputError
from bostruct.spaces import Orderings
from bostruct.structures import from_ase, to_ase
from bostruct.surrogates import GP, IndependentProperties, TrainingData

PARENT = from_ase(bulk("Cu", "fcc", a=3.6))
CLUSTERS = ClusterVectors(PARENT, (5.2, 3.0))


@pytest.fixture(scope="module")
def space():
    volumes = {"Cu": 11.8, "Au": 17.0}
    return Orderings(bulk("Cu"), ["Cu", "Au"], 4, volumes=volumes)


def prepared(space):
    return CLUSTERS.fit(space, torch.Generator().manual_seed(0))


def test_a_supercell_is_the_same_and_orderings_differ(space):
    map_ = prepared(space)
    structures = space.decode(space.members(0, space.size))
    large = from_ase([atoms.repeat((2, 1, 1)) for atoms in to_ase(structures)])
    Z = map_.transform(structures)
    assert Z.shape == (space.size, map_.n_features)
    assert torch.allclose(map_.transform(large), Z, atol=1e-9)
    assert torch.pdist(Z).min() > 1e-3
    assert 0.5 < torch.pdist(Z).median() < 2


def test_they_teach_a_process_which_is_restored(space):
    X = space.members(0, space.size)
    y = prepared(space)(space, X)[:, 1:2]
    kind = IndependentProperties(GP((CLUSTERS, "ElementFractions")))
    model = kind.fit(TrainingData(X[::2], y[::2], ("energy",)), space)
    found = model.posterior(X.unsqueeze(1))
    assert (found.mean.squeeze(1) - y).square().mean() < 0.1 * y.var()
    again = kind.restore(model.state(), space).posterior(X.unsqueeze(1))
    assert torch.equal(again.mean, found.mean)


def test_structures_of_another_lattice_are_refused(space):
    with pytest.raises(InputError, match="`structures` must lie on the lattice"):
        prepared(space).transform(from_ase(bulk("Au", "bcc", a=3.0)))


def test_one_parent_and_positive_cutoffs_are_asked_for():
    with pytest.raises(InputError, match="`parent` must be one structure"):
        ClusterVectors(PARENT[:0])
    with pytest.raises(InputError, match="`cutoffs` must be positive"):
        ClusterVectors(PARENT, (0.0,))


def test_it_says_that_icet_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "icet", None)
    with pytest.raises(InputError, match="`features` must be features that need no"):
        ClusterVectors(PARENT)


def test_it_describes_itself():
    description = CLUSTERS.description()
    assert description["type"] == "ClusterVectors"
    assert description["cutoffs"] == [5.2, 3.0]
