from dataclasses import replace

import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixedLine, FixSymmetry
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


def test_refuses_partial_occupancies_wherever_they_come_from(tmp_path):
    mixed = bulk("Cu")
    mixed.info["occupancy"] = {"0": {"Cu": 0.6, "Au": 0.4}}
    write(tmp_path / "mixed.extxyz", mixed)
    with connect(tmp_path / "mixed.db") as database:
        database.write(mixed, data=mixed.info)
    disordered = Structure(Lattice.cubic(4), [{"Cu": 0.6, "Au": 0.4}], [[0, 0, 0]])
    vacant = Structure(Lattice.cubic(4), [{"Cu": 0.3}], [[0, 0, 0]])
    disordered.to(str(tmp_path / "mixed.cif"))
    vacant.to(str(tmp_path / "vacant.cif"))
    paths = [tmp_path / name for name in ("mixed.extxyz", "mixed.db", "mixed.cif", "vacant.cif")]
    for source in ([mixed], [disordered], [vacant], *paths):
        with pytest.raises(InputError, match=r"one whole atom on each site|be ordered sites"):
            everything(source)


def test_other_constraints_are_refused_with_a_way_out():
    crystal = bulk("Cu", cubic=True)
    crystal.set_constraint(FixSymmetry(crystal))
    sentence = "be FixAtoms, got FixSymmetry. Structures keep no other: remove it with"
    with pytest.raises(InputError, match=sentence):
        everything([crystal])


def test_charges_in_a_database_are_read(tmp_path):
    with connect(tmp_path / "ions.db") as database:
        database.write(WATER, charge=1, spin=2)
        database.write(WATER, data={"charge": -1, "spin": 2, "charges": [0.0]})
    ((_, part),) = read_structures.iter_structures(tmp_path / "ions.db")
    assert (part.charge.tolist(), part.spin.tolist()) == ([1, -1], [2, 2])
