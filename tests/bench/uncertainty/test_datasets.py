import pytest
import torch

from bostruct.bench.uncertainty import datasets
from bostruct.bench.uncertainty.datasets import Law
from bostruct.errors import InputError
from bostruct.structures import from_ase


def test_draws_depend_on_the_seed_alone():
    law = Law("Au2Cu3", steps=(1, 2))
    first = law.draw(3, seed=4)
    assert first.formulas() == ["Au2Cu3"] * 3
    assert torch.equal(first.positions, law.draw(3, seed=4).positions)
    assert torch.equal(first[:2].positions, law.draw(2, seed=4).positions)
    assert not torch.equal(first.positions, law.draw(3, seed=5).positions)
    assert first.forces.isfinite().all()


def test_labels_are_those_of_emt():
    law = Law("Cu4", steps=(1, 2))
    one = law.draw(1)
    still = Law("Cu4", shake=0.0)
    (again,) = still.shaken(one.without_results(), torch.Generator())
    torch.testing.assert_close(again.energy, one.energy)
    torch.testing.assert_close(again.forces, one.forces)


def test_what_lies_too_high_is_left_out():
    law = Law("Cu4", ceiling=-10.0)
    one = Law("Cu4").draw(1).without_results()
    assert law.shaken(one, torch.Generator()) == []


def test_atoms_are_dropped_into_a_sphere():
    law = Law("AuCu5", steps=(1, 1), shake=0.0, sphere=5.0)
    one = law._begun(torch.Generator().manual_seed(0))
    assert one.formulas() == ["AuCu5"]
    assert one.positions.norm(dim=-1).max() <= 5
    assert torch.pdist(one.positions).min() > datasets.APART
    spread = [each.draw(6).positions.std() for each in (law, Law("AuCu5"))]
    assert spread[0] > 1.2 * spread[1]


def test_hot_ones_lie_higher():
    cold, hot = Law("Cu5").draw(4), datasets.hot("Cu5").draw(4)
    assert hot.energy.mean() > cold.energy.mean()


def test_every_set_is_written_and_read_back(tmp_path, monkeypatch):
    law = Law("Cu4", steps=(1, 2))
    sets = {"mine": {"a": (law, 2), "b": (law, 3)}}
    monkeypatch.setattr(datasets, "SETS", sets)
    paths = datasets.write("mine", tmp_path / "new", seed=1)
    assert [path.name for path in paths] == ["a.extxyz", "b.extxyz"]
    from ase.io import read

    a, b = (from_ase(read(path, index=":")) for path in paths)
    assert (len(a), len(b)) == (2, 3)
    torch.testing.assert_close(a.energy, law.draw(2, seed=1).energy)
    assert not torch.allclose(a.energy, b.energy[:2])


def test_refuses_unknown_sets(tmp_path):
    with pytest.raises(InputError, match=r"`name` must be one of cu15, au5cu10"):
        datasets.write("cu16", tmp_path)
    with pytest.raises(InputError, match="`count` must be an integer"):
        Law("Cu4").draw(0)
    with pytest.raises(InputError, match="`sphere` must have room for 4 atoms"):
        Law("Cu4", sphere=1.0).draw(1)
