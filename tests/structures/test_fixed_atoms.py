"""The fixed atoms that structures share."""

import importlib
from dataclasses import replace

import pytest
import torch
from ase import Atoms

from bostruct.structures import (
    Structures,
    build_neighbor_list,
    changed_neighbor_table,
    from_ase,
    neighbor_table,
    shared_fixed_atoms,
)

MODULE = importlib.import_module("bostruct.structures.neighbor_lists.table_numba")

FIXED = torch.tensor([True, False, True, False])


def batch(count=2):
    atoms = Atoms("AuCuPtCu", [[0, 0, 0], [1, 0, 2], [3, 0, 0], [2, 0, 2.5]])
    atoms.cell, atoms.pbc = [6, 6, 9], (True, True, False)
    structures = from_ase([atoms] * count)
    P = structures.positions.clone()
    P[-1, 2] += 0.3
    fixed = FIXED.repeat(count)
    return replace(structures, fixed=fixed, positions=P)


def test_it_is_the_fixed_atoms_alone():
    found = shared_fixed_atoms(batch())
    assert found.fixed_index.tolist() == [0, -1, 1, -1]
    assert found.atoms.numbers.tolist() == [79, 78]
    assert found.atoms.positions[:, 0].tolist() == [0.0, 3.0]
    assert found.atoms.pbc.tolist() == [[True, True, False]]
    assert found.atoms.fixed.all()


def test_structures_that_do_not_agree_share_none():
    structures = batch()
    assert shared_fixed_atoms(structures) is not None
    P, fixed = structures.positions.clone(), structures.fixed.clone()
    P[4, 0] += 1e-9
    fixed[5] = True
    cell = structures.cell.clone()
    cell[1] *= 1.1
    for changed in ({"positions": P}, {"fixed": fixed}, {"cell": cell}):
        assert shared_fixed_atoms(replace(structures, **changed)) is None
    assert shared_fixed_atoms(Structures.cat([structures, structures[0:0]])) is not None
    assert shared_fixed_atoms(replace(structures, fixed=torch.zeros_like(fixed))) is None


def test_is_the_same_to_the_last_bit():
    structures = batch()
    one = shared_fixed_atoms(structures)
    assert one.is_identical(shared_fixed_atoms(batch(3)))
    assert not one.is_identical(shared_fixed_atoms(structures.to(dtype=torch.float32)))
    shifted = replace(structures, positions=structures.positions + 1e-12)
    assert not one.is_identical(shared_fixed_atoms(shifted))


def test_a_frozen_table_lacks_pairs_of_fixed_atoms(monkeypatch):
    structures, found = batch(), []
    for largest in (512, 0):
        monkeypatch.setattr(MODULE, "MAX_ATOMS_BRUTE_FORCE", largest)
        other, _, mask = neighbor_table(structures, 5.0, skip_fixed_pairs=True)
        center, column = mask.nonzero(as_tuple=True)
        pairs = zip(center.tolist(), other[center, column].tolist(), strict=True)
        found.append(sorted(pairs))
    every = build_neighbor_list(structures, 5.0)
    fixed = structures.fixed
    kept = every.select(~(fixed[every.center] & fixed[every.neighbor]))
    expected = sorted(zip(kept.center.tolist(), kept.neighbor.tolist(), strict=True))
    assert found == [expected, expected]
    assert 0 < len(expected) < len(every)


@pytest.mark.parametrize("largest", [512, 0])
def test_atoms_that_see_none_that_moves_have_no_row(largest, monkeypatch):
    monkeypatch.setattr(MODULE, "MAX_ATOMS_BRUTE_FORCE", largest)
    structures = batch()
    other, shift, mask = neighbor_table(structures, 2.8, skip_fixed_pairs=True)
    expected = (mask.any(-1) | ~structures.fixed).nonzero().squeeze(-1)
    center, *rows = changed_neighbor_table(structures, 2.8)
    assert torch.equal(center, expected)
    assert 0 < len(center) < len(structures.numbers)
    for found, whole in zip(rows, (other, shift, mask), strict=True):
        assert torch.equal(found, whole[center])
