import pytest
import torch

from bostruct.bench.uncertainty import datasets
from bostruct.bench.uncertainty.datasets import ClusterDataset
from bostruct.errors import InputError
from bostruct.structures import from_ase


def test_draws_depend_on_the_seed_alone():
    law = ClusterDataset("Au2Cu3", bfgs_steps=(1, 2))
    first = law.sample(3, seed=4)
    assert first.formulas() == ["Au2Cu3"] * 3
    assert torch.equal(first.positions, law.sample(3, seed=4).positions)
    assert torch.equal(first[:2].positions, law.sample(2, seed=4).positions)
    assert not torch.equal(first.positions, law.sample(3, seed=5).positions)
    assert first.forces.isfinite().all()


def test_labels_are_those_of_emt():
    law = ClusterDataset("Cu4", bfgs_steps=(1, 2))
    one = law.sample(1)
    still = ClusterDataset("Cu4", max_displacement=0.0)
    (again,) = still.displace_and_label(one.without_results(), torch.Generator())
    torch.testing.assert_close(again.energy, one.energy)
    torch.testing.assert_close(again.forces, one.forces)


def test_what_lies_too_high_is_left_out():
    law = ClusterDataset("Cu4", max_energy_per_atom=-10.0)
    one = ClusterDataset("Cu4").sample(1).without_results()
    assert law.displace_and_label(one, torch.Generator()) == []


def test_atoms_are_dropped_into_a_sphere():
    law = ClusterDataset("AuCu5", bfgs_steps=(1, 1), max_displacement=0.0, sphere_radius=5.0)
    one = law._initial_structure(torch.Generator().manual_seed(0))
    assert one.formulas() == ["AuCu5"]
    assert one.positions.norm(dim=-1).max() <= 5
    assert torch.pdist(one.positions).min() > datasets.MIN_DISTANCE
    spread = [each.sample(6).positions.std() for each in (law, ClusterDataset("AuCu5"))]
    assert spread[0] > 1.2 * spread[1]


def test_hot_ones_lie_higher():
    cold, hot = ClusterDataset("Cu5").sample(4), datasets.hot_clusters("Cu5").sample(4)
    assert hot.energy.mean() > cold.energy.mean()


def test_every_set_is_written_and_read_back(tmp_path, monkeypatch):
    law = ClusterDataset("Cu4", bfgs_steps=(1, 2))
    sets = {"mine": {"a": (law, 2), "b": (law, 3)}}
    monkeypatch.setattr(datasets, "DATASETS", sets)
    paths = datasets.write_dataset("mine", tmp_path / "new", seed=1)
    assert [path.name for path in paths] == ["a.extxyz", "b.extxyz"]
    from ase.io import read

    a, b = (from_ase(read(path, index=":")) for path in paths)
    assert (len(a), len(b)) == (2, 3)
    torch.testing.assert_close(a.energy, law.sample(2, seed=1).energy)
    assert not torch.allclose(a.energy, b.energy[:2])


def test_refuses_unknown_sets(tmp_path):
    with pytest.raises(InputError, match=r"`name` must be one of cu15, au5cu10"):
        datasets.write_dataset("cu16", tmp_path)
    with pytest.raises(InputError, match="`n` must be an integer"):
        ClusterDataset("Cu4").sample(0)
    with pytest.raises(InputError, match="`sphere_radius` must have room for 4 atoms"):
        ClusterDataset("Cu4", sphere_radius=1.0).sample(1)
