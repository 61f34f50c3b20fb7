import importlib

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from bostruct.errors import InputError
from bostruct.structures import Structures, all_pairs, build_neighbor_list, from_ase

MODULE = importlib.import_module("bostruct.structures.neighbor_lists.neighbor_list")


def reference(images, cutoff):
    """All pairs as ASE finds them, numbered as in the batch."""
    found, offset = [], 0
    for atoms in images:
        i, j, S = neighbor_list("ijS", atoms, cutoff)
        shifts = map(tuple, S.tolist())
        pairs = zip((i + offset).tolist(), (j + offset).tolist(), shifts, strict=True)
        found += pairs
        offset += len(atoms)
    return sorted(found)


def listed(found):
    shifts = map(tuple, found.shift.to(torch.int64).tolist())
    return sorted(zip(found.center.tolist(), found.neighbor.tolist(), shifts, strict=True))


def scatter(rng, a, size, pbc):
    """Atoms in and around a triclinic cell that is not too flat."""
    while True:
        cell = rng.normal(size=(3, 3)) * size
        flatness = abs(np.linalg.det(cell)) / np.linalg.norm(cell, axis=1).prod()
        if flatness > 0.1:
            break
    positions = rng.normal(size=(a, 3)) * size
    return Atoms(numbers=[29] * a, positions=positions, cell=cell, pbc=pbc)


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=4),
    st.floats(0.5, 6.0),
)
@settings(deadline=None, max_examples=80, derandomize=True)
def test_agrees_with_ase(seed, boundaries, cutoff):
    """Triclinic, partly periodic, small cells, atoms outside of them."""
    rng = np.random.default_rng(seed)
    images = [molecule("C2H6")]
    for pbc in boundaries:
        images.append(scatter(rng, rng.integers(1, 9), rng.uniform(1.5, 6), pbc))
    found = build_neighbor_list(from_ase(images), cutoff)
    assert listed(found) == reference(images, cutoff)


@pytest.mark.parametrize("pbc", [False, True, (True, False, True), (False, False, True)])
@pytest.mark.parametrize("chunk", [1 << 20, 1000])
def test_bins_agree_with_ase(monkeypatch, pbc, chunk):
    """Large structures beside small ones, in few or many chunks."""
    monkeypatch.setattr(MODULE, "MAX_CHUNK_PAIRS", chunk)
    rng = np.random.default_rng(1)
    cell = np.diag([14.0, 15.0, 16.0]) + rng.normal(size=(3, 3))
    places = rng.uniform(-0.5, 1.5, size=(300, 3)) @ cell
    large = Atoms(numbers=[29] * 300, positions=places, cell=cell, pbc=pbc)
    images = [molecule("H2O"), large, bulk("Cu"), large[:200], Atoms("H")]
    for cutoff in (1.0, 3.0, 7.5):
        found = build_neighbor_list(from_ase(images), cutoff)
        assert listed(found) == reference(images, cutoff)


def test_atoms_on_the_border():
    """At the faces of the cell, at the cutoff, and at both."""
    faces = [[0, 0, 0], [4, 0, 0], [0, 4, 0], [-4, 4, 8], [2, 2, 2]]
    images = [
        Atoms("Cu5", positions=faces, cell=[4, 4, 4], pbc=True),
        Atoms("Cu2", positions=[[0, 0, 0], [3, 0, 0]]),
        Atoms("Cu", cell=[3, 3, 3], pbc=True),
    ]
    for cutoff in (3.0, np.nextafter(3.0, 4.0), 4.0, 4.000001):
        found = build_neighbor_list(from_ase(images), cutoff)
        assert listed(found) == reference(images, cutoff)
    assert len(build_neighbor_list(from_ase(images[1]), 3.0)) == 0
    assert len(build_neighbor_list(from_ase(images[1]), 3.0001)) == 2


def test_far_flung_atoms():
    rng = np.random.default_rng(0)
    places = np.concatenate([rng.normal(size=(150, 3)), 1e7 + rng.normal(size=(2, 3))])
    atoms = Atoms(numbers=[1] * 152, positions=places)
    assert listed(build_neighbor_list(from_ase(atoms), 1.0)) == reference([atoms[:150]], 1.0) + [
        (i, j, (0, 0, 0))
        for i, j in ((150, 151), (151, 150))
        if np.linalg.norm(places[150] - places[151]) < 1
    ]


def test_sorted_and_complete():
    batch = from_ase([bulk("Cu") * (2, 1, 1), molecule("CH4"), bulk("Si")])
    found = build_neighbor_list(batch, 4.0)
    assert (found.center.diff() >= 0).all()
    assert torch.equal(found.structure_index, batch.index[found.center])
    assert torch.equal(found.structure_index, batch.index[found.neighbor])
    assert found.shift.dtype == batch.dtype
    length = found.vectors(batch.positions, batch.cell).norm(dim=-1)
    assert (length < 4.0).all()
    assert (length > 0.5).all()


def test_each_pair_is_listed_from_both_ends():
    batch = from_ase([bulk("Cu") * (2, 1, 1), molecule("CH4"), bulk("Si")])
    pairs = listed(build_neighbor_list(batch, 5.0))
    assert sorted((j, i, tuple(-s for s in shift)) for i, j, shift in pairs) == pairs


def test_vectors_are_differentiable():
    """In positions and cell, against central differences."""
    batch = from_ase([molecule("CH4"), bulk("Si", cubic=True)])
    found = build_neighbor_list(batch, 3.0)
    positions = batch.positions.clone().requires_grad_()
    cell = batch.cell.clone().requires_grad_()
    assert torch.autograd.gradcheck(found.vectors, (positions, cell))
    single = build_neighbor_list(from_ase(molecule("CH4")), 3.0)
    assert not single.periodic
    assert torch.autograd.gradcheck(single.vectors, (positions[:5], cell[:1]))


@pytest.mark.parametrize("images", [[molecule("CH4"), Atoms("H")], [bulk("Si")]])
def test_padded_table_holds_the_list(images):
    batch = from_ase(images)
    found = build_neighbor_list(batch, 3.0)
    other, shift, mask = found.to_padded()
    n = len(batch.numbers)
    assert other.shape == mask.shape == shift.shape[:2]
    assert other.shape[0] == n
    center = torch.arange(n).unsqueeze(-1).expand_as(other)
    assert torch.equal(center[mask], found.center)
    assert torch.equal(other[mask], found.neighbor)
    assert torch.equal(shift[mask], found.shift)
    assert torch.equal(other[~mask], center[~mask])
    assert (shift[~mask] == 0).all()


def test_lonely_atoms():
    batch = from_ase([Atoms("H"), Atoms("He")])
    found = build_neighbor_list(batch, 3.0)
    assert len(found) == 0
    other, shift, mask = found.to_padded()
    assert other.shape == (2, 1)
    assert shift.shape == (2, 1, 3)
    assert not mask.any()
    nothing = build_neighbor_list(batch[[]], 3.0)
    assert len(nothing) == 0
    assert nothing.to_padded()[0].shape == (0, 1)


def test_large_ragged_batch():
    """Every structure finds the neighbors it finds alone."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 60, size=200)
    images = [
        Atoms(numbers=[29] * a, positions=rng.uniform(0, 2.5 * a ** (1 / 3), (a, 3))) for a in sizes
    ]
    images += [bulk("Cu") * (i, 1, 1) for i in range(1, 6)]
    batch = from_ase(images)
    together = build_neighbor_list(batch, 4.0)
    counts = torch.bincount(together.structure_index, minlength=len(batch))
    for i in range(0, len(batch), 17):
        alone = build_neighbor_list(batch[i], 4.0)
        assert counts[i] == len(alone)
    assert listed(together) == reference(images, 4.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_follows_its_input(dtype):
    batch = from_ase(bulk("Cu", cubic=True), dtype=dtype)
    found = build_neighbor_list(batch, 3.0)
    assert len(found) == 4 * 12
    assert found.shift.dtype == dtype


@pytest.mark.parametrize("cutoff", [0.0, -1.0, float("nan"), float("inf")])
def test_refuses(cutoff):
    with pytest.raises(InputError, match="`cutoff` must be positive and finite"):
        build_neighbor_list(from_ase(molecule("H2")), cutoff)


@pytest.mark.gpu
def test_agrees_on_a_gpu():
    images = [bulk("Cu") * (3, 3, 3), molecule("CH4"), bulk("Cu") * (6, 6, 6)]
    batch: Structures = from_ase(images, device="cuda")
    assert listed(build_neighbor_list(batch, 5.0)) == reference(images, 5.0)


def test_all_pairs_are_the_neighbors_within_any_distance():
    rng = np.random.default_rng(0)
    images = [Atoms("Cu5", rng.normal(size=(5, 3)) * 2) for _ in range(3)]
    structures = from_ase(images)
    others = all_pairs(structures)
    found = build_neighbor_list(structures, 100.0).to_padded()[0]
    assert torch.equal(others.sort(-1).values, found.sort(-1).values)


@pytest.mark.parametrize(
    "images",
    [
        [Atoms("Cu2"), Atoms("Cu3"), Atoms("Cu")],
        [Atoms("Cu2"), Atoms("Cu4")],
        [bulk("Cu") * (2, 1, 1)],
        [Atoms("Cu")],
        [Atoms("Cu64")],
    ],
    ids=["two sizes", "sizes that add up", "periodic", "one atom", "large"],
)
def test_all_pairs_are_not_for_everything(images):
    assert all_pairs(from_ase(images)) is None
