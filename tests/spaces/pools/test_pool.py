import logging

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from bostruct.errors import InputError, ShapeError
from bostruct.spaces import Pool
from bostruct.structures import Structures, from_ase
from bostruct.testing import DiscreteContract, seeded_generator


def binaries():
    """Return 12 different cells of copper and gold, and two given again."""
    made = []
    for size in (1, 2, 3):
        for golds in range(size + 1):
            atoms = bulk("Cu", a=3.8) * (1, 1, size)
            atoms.symbols[:golds] = "Au"
            made.append(atoms)
    made += [bulk("Cu", a=a) for a in (3.6, 3.7, 3.9)]
    twice = made[4].copy()
    twice.rotate(20, "x", rotate_cell=True)
    return [*made, twice, bulk("Au", "fcc", a=3.9, cubic=True)]


ALL = binaries()
PRICE = {"Cu": 7.0, "Au": 45000.0}


@pytest.fixture(scope="module")
def pool():
    return Pool(ALL, price=PRICE)


class TestPool(DiscreteContract):
    @pytest.fixture
    def space(self, pool):
        return pool


class TestMolecules(DiscreteContract):
    @pytest.fixture
    def space(self):
        return Pool([molecule(name) for name in ("H2O", "CO2", "CH4", "NH3")])


def test_tells_duplicates(caplog):
    """Copper at 3.8 Å is there in three cells, gold too, and one was turned."""
    with caplog.at_level(logging.WARNING, logger="bostruct.spaces.pools.pool"):
        pool = Pool(ALL)
    assert pool.duplicates == [(2, 0), (4, 1), (5, 0), (8, 1), (12, 1)]
    assert pool.size == len(pool) == len(ALL) - 5
    assert "5 of 14 structures are in the pool already" in caplog.text
    assert "'structure 2', which is 'structure 0'" in caplog.text
    X = torch.cat(list(pool.iter_members(3)))
    assert 12 not in X
    assert pool.canonical(torch.tensor([[12.0]])).item() == 1
    assert pool.names_at(torch.tensor([[1.0]])) == ["structure 1"]


def test_distinct_is_taken_as_told():
    pool = Pool(ALL, assume_distinct=True)
    assert pool.duplicates == []
    assert len(pool) == len(ALL)


def test_never_proposes_the_same_twice(pool):
    """Jumps from anywhere lead to all other places, and to no duplicate."""
    X = torch.arange(len(ALL)).double().repeat(100).unsqueeze(-1)
    moved = pool.moves()["jump"](X, seeded_generator(0))
    assert set(moved.flatten().tolist()) == set(
        torch.cat(list(pool.iter_members())).flatten().tolist()
    )
    assert not pool.is_duplicate(X, moved).any()


def test_a_large_pool_is_decoded_in_chunks():
    """20,000 structures in a few MB; decoding a chunk holds that chunk."""
    one = from_ase(bulk("Cu", a=3.8) * (1, 1, 3))
    b = 20000
    many = Structures.unchecked(
        positions=one.positions.repeat(b, 1),
        numbers=one.numbers.repeat(b),
        cell=one.cell.repeat(b, 1, 1),
        pbc=one.pbc.repeat(b, 1),
        index=torch.arange(b).repeat_interleave(3),
        fixed=one.fixed.repeat(b),
        tags=one.tags.repeat(b),
    )
    pool = Pool([*ALL], assume_distinct=True)
    assert pool.store.numbers.dtype == torch.uint8
    large = type(pool.store).from_batches([many])
    tensors = [t for t in vars(large).values() if isinstance(t, torch.Tensor)]
    assert sum(t.numel() * t.element_size() for t in tensors) < 4e6
    assert len(large.take(torch.arange(64))) == 64


def test_known_is_that_of_the_structure(pool):
    known = pool.exact_properties(torch.tensor([[0.0], [1.0], [3.0]]))
    assert known["x_Au"].tolist() == [0, 1, 0.5]
    assert known["price"][:2].tolist() == pytest.approx([7, 45000])


def test_descriptions_tell_pools_apart(pool):
    assert pool.description() == Pool(ALL, price=PRICE).description()
    assert pool.description() != Pool(ALL[:-1], price=PRICE).description()
    assert repr(pool) == "Pool(9 structures)"


@pytest.mark.parametrize(
    ("source", "options", "match"),
    [
        ([], {}, "`source` must hold at least one structure, got none"),
        ([bulk("Cu"), Atoms()], {}, "hold no empty structure, got 'structure 1'"),
        (
            [bulk("Cu"), Atoms("Cu2", [[0, 0, 0], [0, 0, 0.4]])],
            {},
            r"overlapping atoms, got 'structure 1', where two are 0\.40 Å apart. Leave it out",
        ),
        ([bulk("Cu", a=0.7)], {}, "overlapping atoms, got 'structure 0'"),
        ([bulk("Cu")], {"min_distance_factor": 0.0}, "`min_distance_factor` must be positive"),
        ([bulk("Cu")], {"price": {"Au": 1.0}}, "`price` must hold every element"),
    ],
)
def test_refusals(source, options, match):
    with pytest.raises(InputError, match=match):
        Pool(source, **options)


def test_refuses_strangers(pool):
    for atoms in (bulk("Ag"), bulk("Cu", a=4.4)):
        with pytest.raises(InputError, match="`structures` must be in the pool, got"):
            pool.encode(from_ase(atoms))
    with pytest.raises(ShapeError, match="`X` must have shape"):
        pool.decode(torch.zeros(2, 3))
    with pytest.raises(InputError, match="`tolerance_scale` must be positive"):
        pool.is_duplicate(torch.zeros(1), torch.zeros(1), tolerance_scale=-1.0)
    with pytest.raises(InputError, match="`stop` must be at most 9"):
        pool.members(0, 10)


def test_does_not_contain_places_between():
    pool = Pool(ALL, assume_distinct=True)
    X = torch.tensor([[-1.0], [0.0], [0.5], [13.0], [14.0], [np.nan]])
    assert pool.contains(X).tolist() == [False, True, False, True, False, False]


def iron(signs, name):
    atoms = bulk("Fe", "bcc", a=2.87, cubic=True)
    atoms.set_initial_magnetic_moments([2.2 * sign for sign in signs])
    atoms.info["name"] = name
    return atoms


def test_magnetic_orderings_are_members_of_their_own():
    pool = Pool([iron((1, 1), "ferro"), iron((1, -1), "antiferro"), iron((-1, -1), "turned")])
    assert pool.size == 2
    assert pool.duplicates == [(2, 0)]
    found = pool.decode(torch.tensor([[1.0], [0.0]], dtype=torch.float64))
    assert found.magnetic_moments.tolist() == [2.2, -2.2, 2.2, 2.2]
    assert pool.encode(found).tolist() == [[1], [0]]
    assert pool.encode(from_ase(iron((-1, 1), ""))).tolist() == [[1]]
    bare = bulk("Fe", "bcc", a=2.87, cubic=True)
    bare.set_initial_magnetic_moments([0, 0])
    with pytest.raises(InputError, match="be in the pool"):
        pool.encode(from_ase(bare))  # either could be meant


def test_members_are_found_without_their_moments():
    pool = Pool([iron((1, 1), "ferro"), bulk("Cu")])
    bare = bulk("Fe", "bcc", a=2.87, cubic=True)
    bare.set_initial_magnetic_moments(None)
    assert pool.encode(from_ase(bare)).tolist() == [[0]]
    assert Pool([bare]).encode(from_ase(iron((1, -1), ""))).tolist() == [[0]]
    with pytest.raises(InputError, match="be in the pool"):
        pool.encode(from_ase(iron((1, -1), "")))


def test_moments_are_part_of_the_identity():
    bare = bulk("Fe", "bcc", a=2.87, cubic=True)
    pools = [[iron((1, 1), "a")], [iron((1, -1), "a")], [bare]]
    assert len({Pool(members).description()["sha256"] for members in pools}) == 3
