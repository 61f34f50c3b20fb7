import pytest
import torch

from bostruct.bench.uncertainty.datasets import ClusterDataset
from bostruct.bench.uncertainty.held_out_data import (
    DIMER_DISTANCES,
    N_ALIKE,
    N_FEW,
    PULL_OUT_DISTANCES,
    held_out_sets,
    label,
)
from bostruct.errors import InputError
from bostruct.structures import to_ase

KINDS = (
    *("in domain", "loose", "larger", "hot", "pressed", "bulk", "slab", "adsorbate", "pull-out"),
    *("dissociation", "few", "alike", "mixed", "composition"),
)


@pytest.fixture(scope="module")
def sets():
    return {entry.kind: entry for entry in held_out_sets(8, 3, 0)}


def test_kinds(sets):
    assert tuple(sets) == KINDS
    for entry in sets.values():
        for part in (entry.train, entry.test):
            assert part.energy is not None
            assert bool(torch.isfinite(part.energy).all() & torch.isfinite(part.forces).all())


def test_training_data_are_shared_so_that_a_model_is_fitted_once(sets):
    shared = KINDS[:1] + KINDS[2:10]
    assert len({id(sets[kind].train) for kind in shared}) == 1
    assert sets["mixed"].train is sets["composition"].train
    assert len(sets["few"].train) == N_FEW
    assert len(sets["alike"].train) == N_ALIKE


def test_scans_hold_rising_distances(sets):
    pulled, dimers = sets["pull-out"], sets["dissociation"]
    assert pulled.scan_length == len(PULL_OUT_DISTANCES)
    assert len(pulled.test) % pulled.scan_length == 0
    images = to_ase(pulled.test[: pulled.scan_length])
    moved = [abs(image.positions - images[0].positions).max(1) for image in images]
    assert all((row > 1e-9).sum() == 1 for row in moved[1:]), "one atom moves"
    nearest = [
        sorted(image.get_all_distances()[row.argmax()])[1]
        for image, row in zip(images[1:], moved[1:], strict=True)
    ]
    assert nearest == sorted(nearest)
    assert nearest[-1] > 8.0
    distances = [image.get_distance(0, 1) for image in to_ase(dimers.test)]
    assert distances == pytest.approx(DIMER_DISTANCES)


def test_no_composition_of_the_other_set_is_in_the_training_data(sets):
    entry = sets["composition"]
    assert not set(entry.train.formulas()) & set(entry.test.formulas())


def test_periodic_kinds(sets):
    assert bool(sets["bulk"].test.pbc.all())
    assert sets["slab"].test.pbc[0].tolist() == [True, True, False]
    assert len(sets["adsorbate"].test[:1].numbers) == len(sets["slab"].test[:1].numbers) + 2


def test_forces_of_labels_are_minus_the_gradient():
    (atoms,) = to_ase(ClusterDataset("Cu4").sample(1, 0))
    moved = [atoms.copy(), atoms.copy()]
    moved[0].positions[0, 0] += 1e-4
    moved[1].positions[0, 0] -= 1e-4
    labeled = label([atoms, *moved])
    slope = (labeled.energy[1] - labeled.energy[2]) / 2e-4
    assert float(labeled.forces[0, 0]) == pytest.approx(-float(slope), abs=1e-5)


def test_a_seed_gives_the_same_data(sets):
    again = {entry.kind: entry for entry in held_out_sets(8, 3, 0)}
    assert all(torch.equal(again[k].test.positions, sets[k].test.positions) for k in KINDS)


def test_refuses():
    with pytest.raises(InputError, match="`n_train` must be an integer of at least 8"):
        held_out_sets(4)
    with pytest.raises(InputError, match="`n_test` must be an integer of at least 2"):
        held_out_sets(8, 1)
