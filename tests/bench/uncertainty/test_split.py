from dataclasses import replace

import pytest
import torch

from bostruct.bench.uncertainty.split import count_duplicates, split_structures
from bostruct.errors import InputError
from bostruct.structures import Structures
from tests.bench.uncertainty.fakes import dimers


def places(part, whole):
    """Return where the structures of a part stand in the whole."""
    return [int((whole.energy == e).nonzero()) for e in part.energy]


def test_no_structure_is_in_two_sets():
    data = dimers(60)
    found = split_structures(data, n_train=10, n_calibrate=8)
    assert found.sizes() == {"train": 10, "calibrate": 8, "test": 30, "high energy": 12}
    parts = [found.train, *found.sets.values()]
    every = sorted(i for part in parts for i in places(part, data))
    assert every == list(range(60))


def test_the_highest_are_shifted():
    data = dimers(60)
    found = split_structures(data, n_train=10, n_calibrate=8)
    away = found.sets["high energy"]
    assert away.energy.min() > found.sets["test"].energy.max()
    assert found.shifted_names == ["high energy"]
    limit = 1000 * float(away.energy.min() - data.energy.mean()) / 2
    assert found.shift_note.startswith(
        f"high energy: the 12 of 60 structures that lie highest, {limit:.0f} meV/atom"
    )


def test_height_is_beyond_the_composition():
    """Gold lies 100 eV higher throughout; that makes none of it hot."""
    cold, gold = dimers(40), dimers(40, seed=1, numbers=(79, 79))
    data = Structures.cat([cold, replace(gold, energy=gold.energy + 100)])
    away = split_structures(data, n_train=10, n_calibrate=8).sets["high energy"]
    kinds = away.numbers.unique().tolist()
    assert kinds == [29, 79]


def test_the_seed_deals_and_nothing_else():
    data = dimers(60)
    first, again = (split_structures(data, n_train=10, n_calibrate=8) for _ in range(2))
    other = split_structures(data, n_train=10, n_calibrate=8, seed=1)
    assert first.digest() == again.digest() != other.digest()
    assert places(first.train, data) != places(other.train, data)
    larger = split_structures(data, n_train=15, n_calibrate=8)
    assert places(larger.train, data)[:10] == places(first.train, data)


def test_fewer_to_test_and_none_shifted():
    found = split_structures(dimers(60), n_train=10, n_calibrate=8, n_test=11, shift="none")
    assert found.sizes() == {"train": 10, "calibrate": 8, "test": 11}
    assert found.shift_note == "no shifted set"


def test_given_sets_are_taken_as_they_are():
    hot = dimers(12, seed=3, stretch=2.0)
    found = split_structures(dimers(40), n_train=10, n_calibrate=8, shifted={"hot": hot})
    assert found.sizes()["test"] == 22
    assert torch.equal(found.sets["hot"].positions, hot.positions)
    assert found.shift_note == "shifted: hot, given"


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
    found = split_structures(
        Structures.cat([small, *[three] * 12]), n_train=10, n_calibrate=8, shift="size"
    )
    assert found.sets["large"].counts.tolist() == [3] * 12
    assert found.shift_note == "large: the 12 of 52 structures of 3 and more atoms"
    with pytest.raises(InputError, match=r"`structures` must have 10 that are larger"):
        split_structures(
            Structures.cat([small, *[three] * 9]), n_train=10, n_calibrate=8, shift="size"
        )


def test_twins_are_counted_however_they_are_turned():
    train = dimers(5)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    turned = replace(train[:2], positions=train[:2].positions @ turn)
    gold = dimers(3, numbers=(79, 79))
    assert count_duplicates(train, Structures.cat([turned, dimers(4, stretch=9.0), gold])) == 2
    found = split_structures(dimers(40), n_train=10, n_calibrate=8, shifted={"old": dimers(40)})
    assert found.n_duplicates["old"] >= 10


def test_refuses_what_cannot_be_split():
    data = dimers(40)
    blind = data.without_results()
    with pytest.raises(InputError, match=r"`structures` must have energies, got 40 of"):
        split_structures(blind)
    gap = replace(data, energy=data.energy.clone().index_fill(0, torch.tensor(3), 1e999))
    with pytest.raises(InputError, match="got 1 of 40 without"):
        split_structures(gap)
    with pytest.raises(InputError, match=r"`shifted hot` must have energies"):
        split_structures(data, shifted={"hot": blind})
    with pytest.raises(InputError, match=r"`shifted hot` must hold at least 10"):
        split_structures(data, n_train=5, n_calibrate=8, shifted={"hot": data[:9]})
    with pytest.raises(InputError, match=r"`shifted` must have other names"):
        split_structures(data, shifted={"test": data})
    with pytest.raises(InputError, match=r"be enough for 20 to train on, 8 .* 30 in d"):
        split_structures(data, n_train=20, n_calibrate=8)
    with pytest.raises(InputError, match=r"`n_train` must be an integer"):
        split_structures(data, n_train=1)
    with pytest.raises(InputError, match=r"`n_calibrate` must be an integer of at least"):
        split_structures(data, n_calibrate=7)
    with pytest.raises(InputError, match=r"`n_test` must be an integer of at least 10"):
        split_structures(data, n_test=9)
    with pytest.raises(InputError, match=r"`shift` must be one of energy, size, none"):
        split_structures(data, shift="heat")
    with pytest.raises(InputError, match=r"have different sizes for `shift` size"):
        split_structures(data, shift="size")
    with pytest.raises(InputError, match=r"be more than 10 for a shifted set"):
        split_structures(data[:10])
