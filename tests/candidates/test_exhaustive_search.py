"""Every member of a list is scored, against brute force over the whole of it."""

import json

import pytest
import torch
from ase.build import bulk

from bostruct.candidates import ExhaustiveSearch, select_top
from bostruct.errors import InputError, SpaceError
from bostruct.spaces import Composition, Lattice, Pool

ELEMENTS = ["Ni", "Cu", "Pd", "Au"]


@pytest.fixture(scope="module")
def space():
    return Composition(ELEMENTS, step=1 / 16)  # 969 compositions


@pytest.fixture(scope="module")
def every(space):
    return torch.cat(list(space.iter_members()))


def value(X):
    """Return something rugged without equal values."""
    rates = torch.tensor([3.1, 7.7, 13.3, 29.9]).to(X)
    return (X * rates).sin().sum(-1)


def none(X):
    return X[:0], X[:0, 0]


def stream():
    return torch.Generator().manual_seed(0)


def test_finds_what_brute_force_finds(space, every):
    found = ExhaustiveSearch()(value, space, *none(every), stream())
    worth = value(every)
    order = worth.argsort(descending=True)
    assert torch.equal(found.X, every[order])
    assert torch.equal(found.acq_value, worth[order])
    assert set(found.generator_names) == {"listed"}
    assert len(found.generator_names) == len(found.n_steps) == len(found.converged) == 969
    assert found.converged.all()
    assert not found.n_steps.any()


@pytest.mark.parametrize("chunk", [1, 7, 256, 5000])
def test_chunks_change_nothing(space, every, chunk):
    sizes = []

    def noted(X):
        assert not torch.is_grad_enabled()
        sizes.append(len(X))
        return value(X)

    found = ExhaustiveSearch(chunk_size=chunk, n_keep=50)(noted, space, *none(every), stream())
    best = value(every).argsort(descending=True)[:50]
    assert torch.equal(found.X, every[best])
    assert sum(sizes) == 969
    assert max(sizes) <= chunk


def test_a_long_list_comes_in_pieces(every):
    """What is kept does not depend on where the list is cut, ties included."""

    class Cut:
        def __init__(self, size):
            self.size = size

        def iter_members(self):
            return iter(every.split(self.size))

    def coarse(X):
        return (4 * value(X)).round()

    whole = ExhaustiveSearch(n_keep=40)(coarse, Cut(969), *none(every), stream())
    expected = coarse(every).argsort(descending=True, stable=True)[:40]
    assert torch.equal(whole.X, every[expected])
    assert len(coarse(whole.X).unique()) < 10
    for size in (1, 30, 100):
        cut = ExhaustiveSearch(n_keep=40)(coarse, Cut(size), *none(every), stream())
        assert torch.equal(cut.X, whole.X)
        assert torch.equal(cut.acq_value, whole.acq_value)


def test_what_is_known_takes_no_room(space, every):
    """Had the best all been evaluated, the next ones would still be there."""
    order = value(every).argsort(descending=True)
    known = every[order[:30]]
    found = ExhaustiveSearch(n_keep=5)(value, space, known, value(known), stream())
    assert torch.equal(found.X, every[order[:35]])
    picks = select_top(found, 5, space=space, X_evaluated=known)
    assert torch.equal(found.X[picks], every[order[30:35]])


def test_nonsense_comes_last(space, every):
    """Values that are not finite are never chosen, and hide no others."""
    odd = torch.tensor([torch.nan, torch.inf, -torch.inf]).double()

    def holes(X):
        return torch.where(X[:, 0] > 0.2, odd[(16 * X[:, 1]).long() % 3], value(X))

    found = ExhaustiveSearch(n_keep=60)(holes, space, *none(every), stream())
    sound = every[every[:, 0] <= 0.2]
    best = value(sound).argsort(descending=True)[:60]
    assert torch.equal(found.X, sound[best])
    empty = ExhaustiveSearch()(lambda X: X[:, 0] * torch.nan, space, *none(every), stream())
    assert len(select_top(empty, 3, space=space)) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_follows_what_is_known(space, every, device, dtype):
    X = every[:2].to(device, dtype)
    found = ExhaustiveSearch(n_keep=3)(value, space, X, X[:, 0], stream())
    assert found.X.dtype == found.acq_value.dtype == dtype
    assert found.X.device.type == found.n_steps.device.type == device.type


def test_every_kind_of_list():
    lattice = Lattice(bulk("Cu", cubic=True), {"Cu": ["Cu", "Au"]})
    pool = Pool([bulk("Cu"), bulk("Au"), bulk("Cu"), bulk("Ag")])
    for space, size in ((lattice, 5), (pool, 3)):
        X = space.members(0, 1)
        found = ExhaustiveSearch()(lambda X: X.sum(-1), space, *none(X), stream())
        assert len(found) == size
        assert torch.equal(space.canonical(found.X), found.X)
        assert space.contains(found.X).all()


def test_refuses_a_space_that_cannot_be_listed():
    space = Composition(ELEMENTS)
    X = space.sample(1, stream())
    with pytest.raises(SpaceError, match="`space` must be a space that can be listed"):
        ExhaustiveSearch()(value, space, *none(X), stream())


def test_description_is_json():
    found = json.loads(json.dumps(ExhaustiveSearch(n_keep=7).description()))
    assert found == {"type": "ExhaustiveSearch", "chunk_size": 256, "n_keep": 7}


@pytest.mark.parametrize("name", ["chunk_size", "n_keep"])
def test_refuses(name):
    with pytest.raises(InputError, match=f"`{name}` must be an integer of at least 1"):
        ExhaustiveSearch(**{name: 0})
