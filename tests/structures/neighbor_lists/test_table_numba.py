"""The table of neighbors against ASE's list and our own."""

import importlib

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc100
from ase.constraints import FixAtoms
from ase.neighborlist import neighbor_list

from bostruct.errors import InputError
from bostruct.structures import build_neighbor_list, from_ase, neighbor_table

MODULE = importlib.import_module("bostruct.structures.neighbor_lists.table_numba")
CUTOFF = 4.3


def cases():
    rng = np.random.default_rng(0)
    skew = Atoms("Cu5", rng.uniform(-9, 9, (5, 3)), cell=rng.normal(size=(3, 3)) * 4)
    slab = fcc100("Au", (2, 2, 2), vacuum=5.0)
    slab.positions += rng.normal(size=slab.positions.shape) * 8  # into other images
    slab.cell[2] = 0.0
    return {
        "cluster": Atoms("Cu7", rng.normal(size=(7, 3)) * 2.5),
        "primitive": bulk("Cu", "fcc", a=3.6),
        "partly periodic": Atoms(skew, pbc=(True, False, True)),
        "slab without a third vector": slab,
        "chain": Atoms("Cu2", [[0, 0, 0], [1, 1, 30.0]], cell=(0, 0, 3.0), pbc=(0, 0, 1)),
        "atom": Atoms("Cu"),
    }


def pairs(other, shift, mask):
    """Return the pairs as a sorted list of atom, atom and whole shifts."""
    rows = torch.arange(len(other)).unsqueeze(-1).expand_as(other)
    flat = torch.cat((torch.stack((rows, other), -1), shift.long()), -1)[mask]
    return sorted(map(tuple, flat.tolist()))


@pytest.mark.parametrize("name", cases())
def test_equals_that_of_ase(name):
    atoms = cases()[name]
    i, j, S = neighbor_list("ijS", atoms, CUTOFF)
    expected = sorted((int(a), int(b), *map(int, s)) for a, b, s in zip(i, j, S, strict=True))
    assert pairs(*neighbor_table(from_ase(atoms), CUTOFF)) == expected


def test_a_ragged_batch_is_one_after_the_other():
    structures = from_ase(list(cases().values()))
    assert pairs(*neighbor_table(structures, CUTOFF)) == pairs(
        *build_neighbor_list(structures, CUTOFF).to_padded()
    )


def test_large_structures_are_sorted_into_bins(monkeypatch):
    structures = from_ase(list(cases().values()))
    expected = pairs(*neighbor_table(structures, CUTOFF))
    monkeypatch.setattr(MODULE, "MAX_ATOMS_BRUTE_FORCE", 3)
    assert pairs(*neighbor_table(structures, CUTOFF)) == expected


def test_unused_places_point_at_the_atom_itself():
    other, shift, mask = neighbor_table(from_ase(Atoms("Cu3", np.diag([0, 2, 40.0]))), CUTOFF)
    assert other[~mask].tolist() == [2]
    assert not shift[~mask].any()


def test_the_cutoff_must_be_positive():
    with pytest.raises(InputError, match="`cutoff` must be positive"):
        neighbor_table(from_ase(Atoms("Cu2", [[0, 0, 0], [0, 0, 2]])), 0.0)


@pytest.mark.parametrize("cutoff", [2.0, 4.5])
def test_without_images_it_is_that_of_a_huge_cell(cutoff):
    """Pairs of fixed atoms left out or not, in two structures of other sizes."""
    generator = torch.Generator().manual_seed(0)
    few, many = (3 * torch.randn(n, 3, generator=generator).double() for n in (4, 9))
    tables = []
    for cell, pbc in ((None, False), (torch.eye(3).numpy() * 500, True)):
        images = [Atoms(f"Cu{len(P)}", P.numpy(), cell=cell, pbc=pbc) for P in (few, many)]
        for atoms in images:
            atoms.set_constraint(FixAtoms([0, 1]))
        structures = from_ase(images)
        tables.append(
            [neighbor_table(structures, cutoff, skip_fixed_pairs=skip) for skip in (True, False)]
        )
    for one, other in zip(*tables, strict=True):
        for part, same in zip(one, other, strict=True):
            assert torch.equal(part, same)
