import itertools

import pytest
import torch
from ase.build import bulk

from bostruct.errors import InputError, ShapeError, SpaceError
from bostruct.spaces import Composition
from bostruct.structures import from_ase
from bostruct.testing import DiscreteContract, seeded_generator

SMALL = bulk("Cu", cubic=True) * (2, 1, 1)
PRICE = {"Ni": 15.0, "Cu": 7.0, "Pd": 24000.0, "Au": 45000.0}
SPACES = {
    "grid": {"step": 1 / 8},
    "steps": {"step": {"Cu": 1 / 4, "Pd": 1 / 8, "Au": 1 / 8}},
    "bounds": {"step": 1 / 8, "bounds": {"Cu": (0.25, 0.5), "Au": (0.125, 0.125)}},
    "two": {"step": 1 / 8, "n_components": 2, "bounds": {"Cu": (0.25, 1)}},
    "known": {"step": 1 / 8, "price": PRICE, "decoration": "ordered"},
}
CUBIC = {"Cu": 11.8, "Pd": 14.7, "Au": 17.0}


@pytest.fixture(params=SPACES)
def composition(request):
    return Composition(["Cu", "Pd", "Au"], parent=SMALL, **SPACES[request.param])


class TestComposition(DiscreteContract):
    @pytest.fixture
    def space(self, composition):
        return composition


@pytest.mark.parametrize("name", SPACES)
def test_lists_what_brute_force_finds(name):
    space = Composition(["Cu", "Pd", "Au"], parent=SMALL, **SPACES[name])
    wanted = set()
    for row in itertools.product(range(9), repeat=3):
        cu, _, au = row
        inside = sum(row) == 8
        inside &= name != "steps" or cu % 2 == 0
        inside &= name != "bounds" or (2 <= cu <= 4 and au == 1)
        inside &= name != "two" or (sum(n > 0 for n in row) == 2 and cu != 1)
        if inside:
            wanted.add(row)
    found = [tuple(row) for row in (8 * torch.cat(list(space.iter_members()))).long().tolist()]
    assert sorted(found) == sorted(wanted)


BOUNDS = {"Cu": (0.25, 0.5), "Pd": (0.0, 0.25), "Au": (0.375, 0.75)}
BATCH = [  # compositions in eighths, and whether they are within the bounds
    ((4, 1, 3), True),
    ((2, 0, 6), True),
    ((3, 2, 3), True),
    ((5, 0, 3), False),  # too much Cu
    ((1, 1, 6), False),  # too little Cu
    ((2, 3, 3), False),  # too much Pd
    ((4, 2, 2), False),  # too little Au
    ((2, -1, 7), False),  # too little Pd, and too much Au
    ((2, 2, 6), False),  # a sum above 1
    ((2, 1, 4), False),  # a sum below 1
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("step", [None, 1 / 8])
def test_contains_row_by_row(step, dtype):
    """Rows inside and outside in one batch, with bounds of their own for each element."""
    space = Composition(["Cu", "Pd", "Au"], parent=SMALL, step=step, bounds=BOUNDS)
    X = torch.tensor([row for row, _ in BATCH], dtype=dtype) / 8
    inside = torch.tensor([expected for _, expected in BATCH])
    assert torch.equal(space.contains(X), inside)
    assert [bool(space.contains(x)) for x in X] == inside.tolist()
    batch = torch.stack([X, X.flip(0), X.roll(1, 0)]).unsqueeze(2)
    expected = torch.stack([inside, inside.flip(0), inside.roll(1, 0)]).unsqueeze(2)
    assert torch.equal(space.contains(batch), expected)


@pytest.mark.parametrize("step", [None, 1 / 8])
def test_contains_up_to_a_tolerance(step):
    """Fractions may be off by 10⁻⁶: beyond a bound, from the grid, and their sum from 1."""
    space = Composition(["Cu", "Pd", "Au"], parent=SMALL, step=step, bounds=BOUNDS)
    x = torch.tensor([0.5, 0.125, 0.375], dtype=torch.float64)  # Cu at its upper, Au at its lower
    for i, j in itertools.permutations(range(3), 2):
        move = torch.zeros(3, dtype=torch.float64)
        move[i], move[j] = 1.0, -1.0
        assert space.contains(x + 5e-7 * move)
        assert bool(space.contains(x + 3e-6 * move)) == (step is None and i != 0 and j != 2)
    for sign in (-1, 1):  # Pd is within its bounds
        assert space.contains(x + torch.tensor([0, sign * 5e-7, 0]))
        assert not space.contains(x + torch.tensor([0, sign * 3e-6, 0]))
    undefined = torch.tensor([0.5, torch.nan, 0.5])  # would be inside with zero Pd
    assert space.contains(torch.stack([x, undefined, x])).tolist() == [True, False, True]


def test_contains_the_right_number_of_components():
    """Two or three of four elements are present; bounds hold for those that are."""
    space = Composition(
        ["Cu", "Pd", "Au", "Ni"], step=1 / 8, n_components=(2, 3), bounds={"Pd": (0.25, 0.5)}
    )
    rows = [
        ((8, 0, 0, 0), False),
        ((6, 2, 0, 0), True),
        ((7, 1, 0, 0), False),
        ((3, 5, 0, 0), False),
        ((0, 0, 7, 1), True),
        ((1, 4, 3, 0), True),
        ((2, 2, 2, 2), False),
        ((1, 0, 3, 4), True),
    ]
    X = torch.tensor([row for row, _ in rows]).double() / 8
    inside = torch.tensor([expected for _, expected in rows])
    assert torch.equal(space.contains(X), inside)
    assert torch.equal(space.contains(X.reshape(2, 4, 4)), inside.reshape(2, 4))
    assert torch.equal(space.contains(X.reshape(4, 2, 1, 4)), inside.reshape(4, 2, 1))


def test_the_six_metals_make_1287():
    space = Composition(["Ni", "Cu", "Pd", "Ag", "Pt", "Au"], step=1 / 8)
    assert space.size == 1287
    assert len(space.parent) == 32
    assert repr(space) == "Composition(Ni-Cu-Pd-Ag-Pt-Au, step=1/8)"


def test_projects_to_the_nearest():
    space = Composition(["Cu", "Pd", "Au"], step=1 / 8, parent=SMALL, n_components=2)
    every = torch.cat(list(space.iter_members()))
    X = torch.randn(50, 3, generator=seeded_generator(0), dtype=torch.float64)
    least = torch.cdist(X, every).amin(-1)
    torch.testing.assert_close((X - space.project(X)).norm(dim=-1), least)


@pytest.mark.parametrize("bounds", [None, {"Ni": (0.1, 0.5), "Cu": (0.0, 0.3)}])
def test_continuous(bounds):
    space = Composition(["Ni", "Cu", "Pd"], bounds=bounds)
    assert space.is_continuous
    assert space.size is None
    assert repr(space) == "Composition(Ni-Cu-Pd, continuous)"
    X = space.sample(64, seeded_generator(0))
    assert space.contains(X).all()
    torch.testing.assert_close(space.project(X), X)
    outside = torch.randn(64, 3, generator=seeded_generator(1), dtype=torch.float64)
    assert space.contains(space.project(outside)).all()
    whole = space.canonical(X)
    assert space.contains(whole).all()
    torch.testing.assert_close(space.encode(space.decode(X)), whole)
    assert (whole - X).abs().max() <= 1 / 32
    for name, move in space.moves().items():
        moved = move(X, seeded_generator(2))
        assert space.contains(moved).all(), name
        assert not torch.equal(moved, X), name
    with pytest.raises(SpaceError, match="`space` must be a space that can be listed"):
        space.members(0, 1)
    with pytest.raises(SpaceError, match="`space` must be a space that can be listed"):
        next(space.iter_members())


def test_one_composition_is_one_structure():
    space = Composition(["Cu", "Au"], step=1 / 4, seed=3)
    x = torch.tensor([0.25, 0.75])
    once, again = space.decode(x), space.decode(torch.stack([x, x]))[1]
    assert torch.equal(once.numbers, again.numbers)
    other = Composition(["Cu", "Au"], step=1 / 4, seed=4).decode(x)
    assert not torch.equal(once.numbers, other.numbers)


def test_what_is_known_is_what_is_decoded():
    space = Composition(["Cu", "Pd", "Au"], step=1 / 8, parent=SMALL, volumes=CUBIC, price=PRICE)
    X = space.sample(5, seeded_generator(0))
    known = space.exact_properties(X)
    masses_of = {29: 63.546, 46: 106.42, 79: 196.966569}
    assert list(known) == ["x_Cu", "x_Pd", "x_Au", "price", "density"]
    for i, one in enumerate(space.decode(X).split()):
        atoms = one.numbers.tolist()
        masses = torch.tensor([masses_of[n] for n in atoms])
        volume = one.cell[0].det()
        torch.testing.assert_close(
            known["density"][i], (1.66053906660 * masses.double().sum() / volume)
        )
        price = torch.tensor([{29: 7.0, 46: 24000.0, 79: 45000.0}[n] for n in atoms])
        kilogram = (masses * price).sum() / masses.sum()
        torch.testing.assert_close(known["price"][i], kilogram.double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"elements": ["Cu"]}, "`elements` must be at least two"),
        ({"decoration": "neat"}, "`decoration` must be one of random, sqs, ordered"),
        ({"bounds": {"Fe": (0, 1)}}, "`bounds` must name elements of the space"),
        ({"bounds": {"Cu": 0.5}}, r"`bounds\['Cu'\]` must be a pair"),
        ({"bounds": {"Cu": (0.5, 0.2)}}, r"`bounds\['Cu'\]` must rise between 0 and 1"),
        ({"n_components": 2, "step": None}, "`n_components` must come with a step"),
        ({"n_components": 4}, "`n_components` must be a number or a rising pair"),
        ({"step": {"Cu": 1 / 4}}, "`step` must hold every element .* none for Pd"),
        ({"step": 1 / 7}, r"`step` must make whole atoms of a supercell of 8, got .* Try 1/8, or"),
        (
            {"step": 1 / 3},
            r"`step` must make whole atoms of a supercell of 8, got .* Try 1/[24], or",
        ),
        ({"step": -1.0}, "`step` must be positive"),
        ({"seed": -1}, "`seed` must be an integer of at least 0"),
    ],
)
def test_refusals(options, match):
    usual = {"elements": ["Cu", "Pd", "Au"], "step": 1 / 8, "parent": SMALL}
    with pytest.raises(InputError, match=match):
        Composition(**{**usual, **options})


@pytest.mark.parametrize("step", [None, 1 / 8])
@pytest.mark.parametrize(
    "bounds",
    [
        {"Cu": (0.6, 1), "Pd": (0.6, 1)},
        {"Cu": (0, 0.2), "Pd": (0, 0.2), "Au": (0, 0.2)},
        {"Cu": (0.51, 0.55)},
    ],
)
def test_bounds_that_exclude_every_composition(bounds, step):
    with pytest.raises(SpaceError, match=r"`bounds` must leave a composition"):
        Composition(["Cu", "Pd", "Au"], parent=SMALL, bounds=bounds, step=step)


def test_refuses_what_is_not_of_its_elements():
    space = Composition(["Cu", "Au"], step=1 / 4)
    with pytest.raises(InputError, match="`structures` must hold only Cu, Au, got Ag4"):
        space.encode(from_ase(bulk("Ag", cubic=True)))
    with pytest.raises(ShapeError, match="`X` must have shape"):
        space.decode(torch.zeros(2, 3))
    with pytest.raises(InputError, match="`stop` must be at most 5"):
        space.members(0, 6)
    with pytest.raises(InputError, match="`tolerance_scale` must be positive"):
        space.is_duplicate(torch.zeros(2), torch.zeros(2), tolerance_scale=0.0)
