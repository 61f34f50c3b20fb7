"""The search on acquisitions whose best structure is known."""

import json
from dataclasses import replace

import pytest
import torch

from bostruct.candidates import BasinHopping, basin_hopping, select_top
from bostruct.candidates.basin_hopping import MAX_GRADIENT, MAX_STEP, MIN_IMPROVEMENT
from bostruct.errors import InputError
from bostruct.spaces import Cluster

BRIEF = BasinHopping(n_candidates=12, n_rounds=3, n_parents=4, max_steps=25, patience=9)


def stream(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def space():
    return Cluster("Ar7", atomic_radii={"Ar": 0.56})


@pytest.fixture(scope="module")
def known(space):
    X = space.sample(6, stream(9))
    return X, -value(X)


def value(X):
    """Return minus the Lennard-Jones energy, in units where the bond is 2^(1/6)."""
    P = X.reshape(*X.shape[:-1], -1, 3)
    i, j = torch.triu_indices(P.shape[-2], P.shape[-2], offset=1)
    square = (P[..., i, :] - P[..., j, :]).square().sum(-1).clamp(min=0.25)
    sixth = square**-3
    return -4 * (sixth**2 - sixth).sum(-1)


GLOBAL = 16.505384  # minus the energy of the pentagonal bipyramid, Lennard-Jones 7


def test_finds_the_best_of_four_minima(space, known):
    """LJ7 has four minima; the search must end in the best from any stream."""
    full = BasinHopping(n_candidates=16, n_rounds=4)
    for seed in range(3):
        found = full(value, space, *known, stream(seed))
        best = found.X[select_top(found, 1, space=space)]
        torch.testing.assert_close(float(value(best)), GLOBAL, atol=1e-3, rtol=0)


def test_same_stream_same_candidates(space, known):
    one, other = (BRIEF(value, space, *known, stream(4)) for _ in range(2))
    assert torch.equal(one.X, other.X)
    assert torch.equal(one.acq_value, other.acq_value)
    assert list(one.generator_names) == list(other.generator_names)
    different = BRIEF(value, space, *known, stream(5))
    assert not torch.equal(one.X, different.X)


def test_global_randomness_is_left_alone(space, known):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = BRIEF(value, space, *known, stream(4))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert torch.equal(BRIEF(value, space, *known, stream(4)).X, first.X)


def test_every_candidate_is_reported(space, known):
    found = BRIEF(value, space, *known, stream(1))
    assert len(found) == 12 * 3
    assert found.X.shape == (36, 21)
    assert found.n_steps.shape == found.converged.shape == found.acq_value.shape == (36,)
    assert len(found.generator_names) == 36
    assert found.n_steps.max() <= 25
    torch.testing.assert_close(found.acq_value, value(found.X), rtol=1e-12, atol=0)
    first = list(found.generator_names[:12])
    assert first[:6] == ["random"] * 3 + ["symmetric"] * 3
    assert set(found.generator_names[6:]) <= set(space.moves())
    assert len(set(found.generator_names)) > 2


def test_candidates_stay_in_the_region(known):
    """The acquisition pulls everything apart; the sphere holds it."""
    space = Cluster("Ar7", radius=2.8, atomic_radii={"Ar": 0.56})

    def apart(X):
        return X.square().sum(-1)

    found = BRIEF(apart, space, *known, stream(2))
    length = torch.linalg.vector_norm(found.X.view(-1, 7, 3), dim=-1)
    assert length.max() <= space.radius * (1 + 1e-12)
    assert length.max() > 0.99 * space.radius


def test_a_batch_that_would_leave_the_space_ends_at_its_border(known):
    """Atoms that repel each other everywhere fly apart: a connected cluster is still proposed."""
    space = Cluster("Ar7", atomic_radii={"Ar": 0.56}, max_gap_factor=1.5)

    def repulsion(X):
        P = X.reshape(*X.shape[:-1], 7, 3)
        i, j = torch.triu_indices(7, 7, offset=1)
        return -(P[..., i, :] - P[..., j, :]).norm(dim=-1).pow(-2).sum(-1)

    X, energies = known[0], -repulsion(known[0])
    found = BRIEF(repulsion, space, X, energies, stream(0))
    inside = space.contains(found.X)
    assert inside.any()
    assert found.acq_value[inside].max() > repulsion(X).max()


def test_later_rounds_never_lose_the_best(space, known):
    best = []
    for rounds in (1, 2, 3, 4):
        patient = BasinHopping(n_candidates=8, n_rounds=rounds, max_steps=15, patience=9)
        found = patient(value, space, *known, stream(3))
        best.append(found.acq_value.max())
        assert len(found) == 8 * rounds
    assert best == sorted(best)
    assert best[-1] > best[0]


def test_tolerances_are_in_the_scale_of_a_problem_unless_they_are_given():
    found = BasinHopping(fmax=0.3).with_scale(20.0, 2.0)
    assert (found.fmax, found.max_step) == (0.3, MAX_STEP * 2.0)
    assert found.min_improvement == MIN_IMPROVEMENT * 20.0
    assert BasinHopping().with_scale(20.0, 2.0).fmax == MAX_GRADIENT * 10.0
    given = BasinHopping(fmax=1.0, max_step=1.0, min_improvement=1.0)
    assert given.with_scale(20.0, 2.0) == given


def test_without_a_scale_it_is_that_of_the_energies(space, known):
    """In another unit of energy a search of its own takes the same steps."""
    X, energies = known
    small = BasinHopping(n_candidates=4, n_rounds=2, max_steps=4)
    found = small(value, space, X, energies, stream(3))
    other = small(lambda X: 256 * value(X), space, X, 256 * energies, stream(3))
    assert torch.equal(found.X, other.X)
    assert torch.equal(found.n_steps, other.n_steps)


@pytest.mark.parametrize("patience", [1, 2])
def test_ends_when_nothing_better_is_found(space, known, patience):
    """No round gains a thousand eV on the first."""
    hard = BasinHopping(
        n_candidates=4, n_rounds=9, max_steps=2, patience=patience, min_improvement=1e3
    )
    assert len(hard(value, space, *known, stream(3))) == 4 * (1 + patience)
    calls = []

    def rising(X):
        calls.append(len(X))
        return value(X) + len(calls)

    easy = BasinHopping(n_candidates=4, n_rounds=9, max_steps=2, patience=patience)
    assert len(easy(rising, space, *known, stream(3))) == 36


def test_rounds_share_their_beginning(space, known):
    """One more round adds candidates and changes none."""
    short = BasinHopping(n_candidates=8, n_rounds=2, max_steps=5)(value, space, *known, stream(3))
    long = BasinHopping(n_candidates=8, n_rounds=3, max_steps=5)(value, space, *known, stream(3))
    assert torch.equal(long.X[:16], short.X)


def test_without_known_structures_all_starts_are_random(space):
    none = torch.zeros(0, 21, dtype=torch.float64)
    found = BRIEF(value, space, none, none[:, 0], stream(0))
    assert list(found.generator_names[:12]) == ["random"] * 6 + ["symmetric"] * 6
    assert len(found) == 36


@pytest.mark.parametrize(("fresh", "random"), [(0.0, 0), (0.25, 3), (1.0, 12)])
def test_share_of_random_starts(space, known, fresh, random):
    one = BasinHopping(n_candidates=12, n_rounds=1, random_fraction=fresh, max_steps=1)
    found = one(value, space, *known, stream(0))
    sources = [name for name in found.generator_names if name in space.generators()]
    assert len(sources) == random
    assert sources == sorted(sources)
    assert sources.count("random") == (random + 1) // 2


def test_a_space_may_know_one_kind_of_random_structure(space, known):
    class Plain:
        sample, project, moves = space.sample, space.project, space.moves
        contains, is_duplicate = space.contains, space.is_duplicate
        atomic_radii = space.atomic_radii

    one = BasinHopping(n_candidates=6, n_rounds=1, max_steps=1)
    found = one(value, Plain(), *known, stream(0))
    assert list(found.generator_names[:3]) == ["random"] * 3
    with pytest.raises(InputError, match="`exclude` must name some of random, rattle"):
        BasinHopping(exclude=("symmetric",))(value, Plain(), *known, stream(0))


@pytest.mark.parametrize("name", ["random", "symmetric", "rattle", "relocate", "twist"])
def test_what_is_left_out_is_not_used(space, known, name):
    full = BasinHopping(n_candidates=12, n_rounds=3, max_steps=5)
    assert name in full(value, space, *known, stream(0)).generator_names
    found = replace(full, exclude=(name,))(value, space, *known, stream(0))
    assert name not in found.generator_names
    assert len(set(found.generator_names)) > 2


def test_refuses_to_leave_out_what_is_not_there(space, known):
    names = "random, symmetric, rattle, relocate"
    with pytest.raises(InputError, match=f"`exclude` must name some of {names}.*'rat'"):
        BasinHopping(exclude=["rattle", "rat"])(value, space, *known, stream(0))
    every = BasinHopping(exclude=tuple(space.moves()))
    with pytest.raises(InputError, match="`exclude` must leave a move and a random"):
        every(value, space, *known, stream(0))


def test_perturbs_the_lowest_energies(space, known, monkeypatch):
    X, energies = known
    starts = []
    relax = basin_hopping.relax

    def spy(function, X, **arguments):
        starts.append(X)
        return relax(function, X, **arguments)

    still = {"still": lambda X, generator: X}
    monkeypatch.setattr(basin_hopping, "relax", spy)
    monkeypatch.setattr(Cluster, "moves", lambda self: still)
    one = BasinHopping(n_candidates=4, n_rounds=2, n_parents=2, random_fraction=0.0, max_steps=10)
    found = one(value, space, X, energies, stream(0))
    lowest = X[energies.argsort()[:2]]
    assert torch.equal(starts[0], lowest.repeat(2, 1))
    best = found.X[:4][select_top(_head(found, 4), 2, space=space)]
    assert torch.equal(starts[1], best.repeat(4, 1)[:4])


def _head(found, count):
    rows = {
        "X": found.X,
        "acq_value": found.acq_value,
        "generator_names": found.generator_names,
    }
    return type(found)(
        **{name: each[:count] for name, each in rows.items()},
        n_steps=found.n_steps[:count],
        converged=found.converged[:count],
    )


def test_survives_an_acquisition_of_nonsense(space, known):
    found = BRIEF(lambda X: X.sum(-1) * torch.nan, space, *known, stream(0))
    assert len(found) in (12, 24, 36)
    assert not found.acq_value.isfinite().any()
    assert not found.converged.any()
    assert len(select_top(found, 3, space=space)) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_follows_what_is_known(space, known, device, dtype):
    X, energies = (part.to(device, dtype) for part in known)
    found = BasinHopping(n_candidates=4, n_rounds=2, max_steps=3)(
        value, space, X, energies, stream(0)
    )
    assert found.X.dtype == found.acq_value.dtype == dtype
    assert found.X.device.type == device.type


def test_description_is_json():
    found = json.loads(json.dumps(BRIEF.description()))
    assert found["type"] == "BasinHopping"
    assert found["n_candidates"] == 12
    assert found["exclude"] == []


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_candidates": 0}, "`n_candidates` must be an integer of at least 1"),
        ({"n_rounds": 0}, "`n_rounds` must be an integer of at least 1"),
        ({"n_parents": 1.5}, "`n_parents` must be an integer of at least 1"),
        ({"max_steps": 0}, "`max_steps` must be an integer of at least 1"),
        ({"fmax": 0.0}, "`fmax` must be positive"),
        ({"max_step": -1.0}, "`max_step` must be positive"),
        ({"min_improvement": 0.0}, "`min_improvement` must be positive"),
        ({"patience": 0}, "`patience` must be an integer of at least 1"),
        (
            {"exclude": "twist"},
            "`exclude` must be names, as in .'twist',., got 'twist'",
        ),
        ({"random_fraction": 1.1}, "`random_fraction` must be a fraction between 0 and 1, got 1.1"),
    ],
)
def test_refuses(arguments, match):
    with pytest.raises(InputError, match=match):
        BasinHopping(**arguments)


def torn(X):
    """Return an acquisition that tears at the first bond of each cluster."""
    P = X.reshape(*X.shape[:-1], -1, 3)
    bond = (P[..., 1, :] - P[..., 0, :]).norm(dim=-1)
    return bond - 0.01 * P.square().sum((-1, -2))


def first_bonds(space, found):
    P = found.X.reshape(len(found), -1, 3)
    return (P[:, 1] - P[:, 0]).norm(dim=-1) / float(space.fragments.bond_lengths[0])


@pytest.mark.parametrize("relaxation", [None, "free", "rigid", "rigid_free"])
def test_molecules_stay_whole_in_every_relaxation(relaxation):
    water = Cluster.of({"H2O": 2})
    X = water.sample(2, stream(0))
    search = replace(BRIEF, relaxation=relaxation)
    found = search(torn, water, X, -torn(X), stream(1))
    assert water.contains(found.X).all()
    bonds = first_bonds(water, found)
    assert bonds.max() <= 1 + basin_hopping.MAX_NEW_STRAIN + 1e-9
    if relaxation == "rigid":
        torch.testing.assert_close(bonds, torch.ones_like(bonds))
    else:
        assert bonds.max() > 1.04


def test_free_relaxations_go_little_beyond_known_strains():
    water = Cluster.of({"H2O": 2})
    X = water.sample(2, stream(0))
    stretched = water.fragments.rotate(
        X.reshape(2, 6, 3), 1.1 * torch.eye(3).double().expand(2, 2, 3, 3)
    )
    found = BRIEF(torn, water, stretched.flatten(1), -torn(X), stream(1))
    assert 1.1 < first_bonds(water, found).max() <= 1.15 + 1e-9


def test_the_choice_of_a_relaxation_is_described_where_it_is_made():
    assert "relaxation" not in BasinHopping().description()
    assert BasinHopping(relaxation="rigid").description()["relaxation"] == "rigid"
    with pytest.raises(InputError, match=r"relaxation.*free, rigid, rigid_free, got 'stiff'"):
        BasinHopping(relaxation="stiff")


def test_atoms_are_relaxed_freely_whatever_the_choice(space, known):
    """Where no atoms are molecules there is one way."""
    found = [replace(BRIEF, relaxation=r)(value, space, *known, stream(3)) for r in (None, "rigid")]
    assert torch.equal(found[0].X, found[1].X)
