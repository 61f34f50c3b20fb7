from dataclasses import replace

import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixedLine
from ase.db import connect
from ase.io import write
from pymatgen.core import Lattice, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry

from bostruct.errors import InputError
from bostruct.spaces.pools import read_structures
from bostruct.structures import Structures, from_ase

COPPER, WATER = bulk("Cu"), molecule("H2O")
SALT = Structure(Lattice.cubic(4), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3])


def everything(source):
    names, formulas = [], []
    for called, part in read_structures.iter_structures(source):
        assert len(called) == len(part)
        names += called
        formulas += part.formulas()
    return names, formulas


def test_reads_lists_of_anything():
    named = COPPER.copy()
    named.info["name"] = "metal"
    entry = ComputedStructureEntry(SALT, -1.0, entry_id="mp-1")
    names, formulas = everything([named, WATER, SALT, entry])
    assert names == ["metal", "structure 1", "structure 2", "mp-1"]
    assert formulas == ["Cu", "H2O", "ClCs", "ClCs"]
    assert everything(from_ase([COPPER, WATER]))[1] == ["Cu", "H2O"]
    assert everything(atoms for atoms in (COPPER, WATER))[1] == ["Cu", "H2O"]
    assert everything([]) == ([], [])


def test_reads_files(tmp_path):
    path = tmp_path / "many.extxyz"
    named = COPPER.copy()
    named.info["name"] = "metal"
    write(path, [named, WATER])
    assert everything(path) == (["metal", "structure 1"], ["Cu", "H2O"])
    with connect(tmp_path / "many.db") as database:
        database.write(COPPER, name="metal")
        database.write(WATER)
    assert everything(str(tmp_path / "many.db"))[0] == ["metal", "id 2"]


def test_comes_in_batches(monkeypatch):
    monkeypatch.setattr(read_structures, "STRUCTURES_PER_BATCH", 2)
    parts = [part for _, part in read_structures.iter_structures([COPPER] * 5)]
    assert [len(part) for part in parts] == [2, 2, 1]
    assert torch.equal(parts[2].cell[0], from_ase(COPPER).cell[0])


def test_a_batch_is_handed_on_in_slices(monkeypatch):
    """It is not taken apart, as a million parts would not fit into memory."""
    monkeypatch.setattr(read_structures, "STRUCTURES_PER_SLICE", 2)
    monkeypatch.setattr(Structures, "split", None)
    batch = from_ase([COPPER, WATER, COPPER])
    batch = replace(batch, energy=torch.zeros(3, dtype=torch.float64))
    parts = list(read_structures.iter_structures(batch))
    assert [names for names, _ in parts] == [
        ["structure 0", "structure 1"],
        ["structure 2"],
    ]
    assert [part.formulas() for _, part in parts] == [["Cu", "H2O"], ["Cu"]]
    assert all(part.energy is None for _, part in parts)
    assert list(read_structures.iter_structures(batch[:0])) == []


def test_refuses_by_name(tmp_path):
    held = WATER.copy()
    held.set_constraint(FixedLine(0, [1, 0, 0]))
    held.info["name"] = "wire"
    with pytest.raises(InputError, match="'structure 1', which has no atoms"):
        everything([COPPER, Atoms()])
    with pytest.raises(InputError, match="'wire': `constraints` must be FixAtoms"):
        everything([held])
    with pytest.raises(InputError, match=r"must hold ASE's Atoms.* got int"):
        everything([3])
    with pytest.raises(InputError, match=r"`source` must be a list of .*int"):
        everything(3)
    with pytest.raises(
        InputError, match=r"`source` must be a file of .* got .*none.extxyz, which is no file"
    ):
        everything(tmp_path / "none.extxyz")
    (tmp_path / "bad.extxyz").write_text("nonsense\n")
    with pytest.raises(InputError, match=r"`source` must be a file of .* got .*bad.extxyz \("):
        everything(tmp_path / "bad.extxyz")
