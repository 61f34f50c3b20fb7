"""The walk on landscapes whose best member is known, in spaces too large to list."""

import itertools
import json
from dataclasses import replace

import pytest
import torch
from ase.build import bulk

from bostruct.candidates import EvolutionarySearch, select_top
from bostruct.errors import InputError
from bostruct.spaces import Composition, Lattice, Pool

ELEMENTS = ["Al", "Ni", "Cu", "Pd", "Au"]
BRIEF = EvolutionarySearch(n_candidates=16, n_rounds=4, n_parents=4)


def stream(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def space():
    """32 sites and 5 elements: 10¹⁹ decorations."""
    return Lattice(bulk("Cu", cubic=True, a=3.7) * (2, 2, 2), {"Cu": ELEMENTS})


@pytest.fixture(scope="module")
def none(space):
    return space.sample(1, stream(0))[:0], torch.zeros(0, dtype=torch.float64)


class Planted:
    """Minus the energy of nearest neighbors on fcc, with its known maximum.

    Pairs make up tetrahedra, each pair being in two. Four elements on the four cubic
    sublattices put the same four on every tetrahedron, so the best of all tetrahedra
    everywhere is a decoration, and none can be better.
    """

    def __init__(self, space, seed):
        V = torch.randn(5, 5, generator=stream(seed), dtype=torch.float64)
        self.V = V + V.T
        self.near = space.active_sites.distances < 2.8
        self.near.fill_diagonal_(False)
        assert (self.near.sum(1) == 12).all()
        fours = itertools.combinations_with_replacement(range(5), 4)
        least = min(sum(self.V[p] for p in itertools.combinations(f, 2)) for f in fours)
        self.best = -64 / 2 * float(least)
        self.asked = []

    def __call__(self, X):
        assert not torch.is_grad_enabled()
        self.asked.append(X.clone())
        C = X.long()
        energies = self.V.to(X)[C.unsqueeze(-1), C.unsqueeze(-2)]
        return -(energies * self.near).sum((-1, -2)) / 2


@pytest.mark.parametrize("seed", range(3))
def test_finds_the_ground_state(space, none, seed):
    """Where as many random members come not half as far."""
    value = Planted(space, seed)
    found = EvolutionarySearch()(value, space, *none, stream(seed))
    assert len(found) < 5000
    assert float(found.acq_value.max()) == pytest.approx(value.best)
    with torch.no_grad():
        random = value(space.sample(len(found), stream(seed)))
    assert float(random.max()) < value.best / 2


def test_nothing_is_asked_twice_or_outside(space, none):
    value = Planted(space, 0)
    known = space.sample(6, stream(5))
    found = BRIEF(value, space, known, torch.arange(6.0), stream(1))
    X = torch.cat(value.asked)
    assert torch.equal(X, found.X)
    assert torch.equal(space.canonical(X), X)
    assert space.contains(X).all()
    assert len(X.unique(dim=0)) == len(X)
    assert len(found.n_steps) == len(found.converged) == len(found.generator_names) == len(X)
    assert found.converged.all()
    assert not found.n_steps.any()
    names = set(found.generator_names)
    assert names == {"known", "random", "flip", "swap", "block", "neighbor"}


def test_no_neighbor_is_better(space, none):
    value = Planted(space, 1)
    for known in (none[0], space.sample(3, stream(2))):
        found = BRIEF(value, space, known, none[1].new_zeros(len(known)), stream(3))
        best = found.X[select_top(found, 1, space=space, X_evaluated=known)][0]
        with torch.no_grad():
            around = value(space.neighbors(best))
            assert around.max() <= value(best[None])


def test_goes_on_from_the_lowest_energy(space, none):
    """It is known and never the best, but its neighbors are looked at."""
    value = Planted(space, 0)
    known = space.sample(4, stream(2))
    energies = torch.tensor([3.0, -1.0, 2.0, 0.0], dtype=torch.float64)
    walk = EvolutionarySearch(
        n_candidates=1, n_rounds=1, n_parents=1, n_local_searches=1, random_fraction=1.0
    )
    found = walk(value, space, known, energies, stream(0))
    assert torch.equal(found.X[0], known[1])
    assert list(found.generator_names[:2]) == ["known", "random"]
    for near in space.neighbors(known[1]):
        assert (near == found.X).all(-1).any()


def test_what_is_known_is_no_answer(space):
    """With the ground state known, the search ends in the best of the others."""
    value = Planted(space, 0)
    known = space.sample(1, stream(0))
    full = EvolutionarySearch()(value, space, known, torch.zeros(1), stream(0))
    best = full.X[full.acq_value.argmax()]
    again = EvolutionarySearch()(value, space, best[None], torch.zeros(1), stream(1))
    seen = space.is_duplicate(again.X, best)
    picks = select_top(again, 3, space=space, X_evaluated=best[None])
    assert not seen[picks].any()
    top = space.neighbors(best)
    with torch.no_grad():
        assert again.acq_value[picks[0]] >= value(top).max()


@pytest.mark.parametrize("connected", [True, False])
def test_continuous_compositions(connected):
    """The best of 52,360 compositions of whole atoms, from 1,000 of them."""
    space = Composition(ELEMENTS, bounds={"Al": (0, 0.5)})
    goal = torch.tensor([3.2, 10.9, 0.1, 5.3, 12.5]).double() / 32

    def value(X):
        return -(X - goal).square().sum(-1)

    class Bare:
        sample, moves = space.sample, space.moves
        canonical = space.canonical

    listed = Composition(ELEMENTS, step=1 / 32, bounds={"Al": (0, 0.5)})
    every = torch.cat(list(listed.iter_members()))
    best = every[value(every).argmax()]
    empty = every[:0]
    place = space if connected else Bare()
    found = EvolutionarySearch()(value, place, empty, empty[:, 0], stream(0))
    assert len(found) < 1000
    assert torch.equal(space.canonical(found.X), found.X)
    assert len(found.X.unique(dim=0)) == len(found)
    gap = float(value(best[None]) - found.acq_value.max())
    if connected:
        assert torch.equal(found.X[found.acq_value.argmax()], best)
    assert 0 <= gap < 0.02


def test_same_stream_same_candidates(space):
    known = space.sample(3, stream(9))
    energies = torch.zeros(3, dtype=torch.float64)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, other = (BRIEF(Planted(space, 0), space, known, energies, stream(4)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.X, other.X)
    assert torch.equal(one.acq_value, other.acq_value)
    assert list(one.generator_names) == list(other.generator_names)
    different = BRIEF(Planted(space, 0), space, known, energies, stream(5))
    assert len(different) != len(one) or not torch.equal(one.X, different.X)


def test_ties_are_settled_by_order(space, none):
    """On a plain nothing is gained: patience ends it, and nobody climbs."""
    walk = EvolutionarySearch(n_candidates=8, n_rounds=9, patience=2)
    flat = [walk(lambda X: 0 * X[:, 0], space, *none, stream(4)) for _ in range(2)]
    assert torch.equal(flat[0].X, flat[1].X)
    assert select_top(flat[0], 1, space=space).tolist() == [0]
    made = [name for name in flat[0].generator_names if name != "neighbor"]
    assert len(made) <= 8 * 3


def test_survives_an_acquisition_of_nonsense(space):
    known = space.sample(3, stream(9))
    for odd in (torch.nan, -torch.inf):
        found = BRIEF(
            lambda X, odd=odd: X[:, 0] * 0 + odd,
            space,
            known,
            torch.zeros(3),
            stream(0),
        )
        assert len(select_top(found, 3, space=space)) == 0
        assert space.contains(found.X).all()


def test_holes_are_walked_around(space, none):
    """A quarter of all members have no value; the rest is climbed as before."""
    value = Planted(space, 0)
    primes = torch.tensor([3, 5, 7, 11] * 8)

    def holes(X):
        odd = (X * primes).sum(-1) % 4 == 1
        return torch.where(odd, torch.nan, value(X))

    found = EvolutionarySearch()(holes, space, *none, stream(0))
    best = float(found.acq_value[found.acq_value.isfinite()].max())
    assert 0.8 * value.best < best <= value.best * (1 + 1e-12)
    assert found.acq_value.isnan().any()


def test_too_many_neighbors_are_drawn_from(space, none):
    value = Planted(space, 0)
    known = space.sample(1, stream(2))
    walk = replace(BRIEF, max_neighbors=10, n_local_searches=1, n_candidates=1, n_rounds=1)
    found = walk(value, space, known, torch.zeros(1), stream(0))
    first = (space.neighbors(known[0]).unsqueeze(1) == found.X).all(-1).any(0)
    assert 10 <= int(first.sum()) <= 12
    assert walk.with_effort(0) == walk


def test_thorough_searches_take_longer(space, none):
    walk = EvolutionarySearch(n_rounds=4, patience=2, n_local_searches=0)
    more = walk.with_effort(2)
    assert (more.n_rounds, more.patience, more.n_candidates) == (16, 8, 64)
    value = Planted(space, 0)
    short, long = (w(value, space, *none, stream(0)) for w in (walk, more))
    assert len(long) > len(short)
    assert torch.equal(long.X[: len(short)], short.X)


def test_a_space_without_neighbors():
    pool = Pool([bulk(e) for e in ELEMENTS])
    X = pool.members(0, 2)
    found = EvolutionarySearch()(lambda X: X[:, 0], pool, X, torch.zeros(2), stream(0))
    assert sorted(found.X.flatten().tolist()) == [0, 1, 2, 3, 4]
    assert pool.names_at(found.X[select_top(found, 1, space=pool, X_evaluated=X)]) == [
        "structure 4"
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_follows_what_is_known(space, device, dtype):
    known = space.sample(3, stream(9)).to(device, dtype)
    found = BRIEF(lambda X: X.sum(-1), space, known, known[:, 0], stream(0))
    assert found.X.dtype == found.acq_value.dtype == dtype
    assert found.X.device.type == found.n_steps.device.type == device.type


def test_description_is_json():
    found = json.loads(json.dumps(BRIEF.description()))
    assert found["type"] == "EvolutionarySearch"
    assert found["n_candidates"] == 16


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_candidates": 0}, "`n_candidates` must be an integer of at least 1"),
        ({"n_rounds": 0}, "`n_rounds` must be an integer of at least 1"),
        ({"patience": 0}, "`patience` must be an integer of at least 1"),
        ({"n_parents": 0.5}, "`n_parents` must be an integer of at least 1"),
        ({"max_neighbors": 0}, "`max_neighbors` must be an integer of at least 1"),
        ({"n_local_searches": -1}, "`n_local_searches` must be an integer of at least 0"),
        ({"min_improvement": 0.0}, "`min_improvement` must be positive"),
        ({"max_time_fraction": -1.0}, "`max_time_fraction` must be positive"),
        (
            {"random_fraction": -0.1},
            "`random_fraction` must be a fraction between 0 and 1, got -0.1",
        ),
    ],
)
def test_refuses(arguments, match):
    with pytest.raises(InputError, match=match):
        EvolutionarySearch(**arguments)
