from dataclasses import replace

import pytest
import torch

from bostruct.bench.uncertainty.split import split, twins
from bostruct.errors import InputError
from bostruct.structures import Structures
from tests.bench.uncertainty.fakes import dimers


def places(part, whole):
    """Return where the structures of a part stand in the whole."""
    return [int((whole.energy == e).nonzero()) for e in part.energy]


def test_no_structure_is_in_two_sets():
    data = dimers(60)
    found = split(data, train=10, calibrate=8)
    assert found.sizes() == {
        "train": 10,
        "calibrate": 8,
        "test": 30,
        "high energy": 12,
    }
    parts = [found.train, *found.sets.values()]
    every = sorted(i for part in parts for i in places(part, data))
    assert every == list(range(60))


def test_the_highest_are_shifted():
    data = dimers(60)
    found = split(data, train=10, calibrate=8)
    away = found.sets["high energy"]
    assert away.energy.min() > found.sets["test"].energy.max()
    assert found.shifted == ["high energy"]
    limit = 1000 * float(away.energy.min() - data.energy.mean()) / 2
    assert found.note.startswith(
        f"high energy: the 12 of 60 structures that lie highest, {limit:.0f} meV/atom"
    )


def test_height_is_beyond_the_composition():
    """Gold lies 100 eV higher throughout; that makes none of it hot."""
    cold, gold = dimers(40), dimers(40, seed=1, numbers=(79, 79))
    data = Structures.cat([cold, replace(gold, energy=gold.energy + 100)])
    away = split(data, train=10, calibrate=8).sets["high energy"]
    kinds = away.numbers.unique().tolist()
    assert kinds == [29, 79]


def test_the_seed_deals_and_nothing_else():
    data = dimers(60)
    first, again = (split(data, train=10, calibrate=8) for _ in range(2))
    other = split(data, train=10, calibrate=8, seed=1)
    assert first.digest() == again.digest() != other.digest()
    assert places(first.train, data) != places(other.train, data)
    larger = split(data, train=15, calibrate=8)
    assert places(larger.train, data)[:10] == places(first.train, data)


def test_fewer_to_test_and_none_shifted():
    found = split(dimers(60), train=10, calibrate=8, test=11, shift="none")
    assert found.sizes() == {"train": 10, "calibrate": 8, "test": 11}
    assert found.note == "no shifted set"


def test_given_sets_are_taken_as_they_are():
    hot = dimers(12, seed=3, stretch=2.0)
    found = split(dimers(40), train=10, calibrate=8, shifted={"hot": hot})
    assert found.sizes()["test"] == 22
    assert torch.equal(found.sets["hot"].positions, hot.positions)
    assert found.note == "shifted: hot, given"


def test_the_largest_are_shifted():
    triple = {"cell": torch.zeros(1, 3, 3), "pbc": torch.zeros(1, 3, dtype=torch.bool)}
    three = Structures(
        positions=torch.eye(3, dtype=torch.float64),
        numbers=torch.tensor([29] * 3),
        cell=triple["cell"].double(),
        pbc=triple["pbc"],
        index=torch.zeros(3, dtype=torch.int64),
        fixed=torch.zeros(3, dtype=torch.bool),
        tags=torch.zeros(3, dtype=torch.int64),
        energy=torch.ones(1, dtype=torch.float64),
    )
    small = replace(dimers(40), forces=None)
    found = split(
        Structures.cat([small, *[three] * 12]), train=10, calibrate=8, shift="size"
    )
    assert found.sets["large"].counts.tolist() == [3] * 12
    assert found.note == "large: the 12 of 52 structures of 3 and more atoms"
    with pytest.raises(InputError, match=r"`structures` must have 10 that are larger"):
        split(
            Structures.cat([small, *[three] * 9]), train=10, calibrate=8, shift="size"
        )


def test_twins_are_counted_however_they_are_turned():
    train = dimers(5)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    turned = replace(train[:2], positions=train[:2].positions @ turn)
    gold = dimers(3, numbers=(79, 79))
    assert twins(train, Structures.cat([turned, dimers(4, stretch=9.0), gold])) == 2
    found = split(dimers(40), train=10, calibrate=8, shifted={"old": dimers(40)})
    assert found.twins["old"] >= 10


def test_refuses_what_cannot_be_split():
    data = dimers(40)
    blind = data.without_results()
    with pytest.raises(InputError, match=r"`structures` must have energies, got 40 of"):
        split(blind)
    gap = replace(
        data, energy=data.energy.clone().index_fill(0, torch.tensor(3), 1e999)
    )
    with pytest.raises(InputError, match="got 1 of 40 without"):
        split(gap)
    with pytest.raises(InputError, match=r"`shifted hot` must have energies"):
        split(data, shifted={"hot": blind})
    with pytest.raises(InputError, match=r"`shifted hot` must hold at least 10"):
        split(data, train=5, calibrate=8, shifted={"hot": data[:9]})
    with pytest.raises(InputError, match=r"`shifted` must have other names"):
        split(data, shifted={"test": data})
    with pytest.raises(InputError, match=r"be enough for 20 to train on, 8 .* 30 in d"):
        split(data, train=20, calibrate=8)
    with pytest.raises(InputError, match=r"`train` must be an integer"):
        split(data, train=1)
    with pytest.raises(InputError, match=r"`calibrate` must be an integer of at least"):
        split(data, calibrate=7)
    with pytest.raises(InputError, match=r"`test` must be an integer of at least 10"):
        split(data, test=9)
    with pytest.raises(InputError, match=r"`shift` must be one of energy, size, none"):
        split(data, shift="heat")
    with pytest.raises(InputError, match=r"have different sizes for `shift` size"):
        split(data, shift="size")
    with pytest.raises(InputError, match=r"be more than 10 for a shifted set"):
        split(data[:10])
