import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, make_supercell
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.io.ase import AseAtomsAdaptor

from bostruct.errors import InputError
from bostruct.spaces.crystals.supercells import with_atoms_of
from bostruct.spaces.formula import parse_formula
from bostruct.structures import from_ase


def resized(atoms, formula):
    F, H = with_atoms_of(from_ase([atoms])[0], parse_formula(formula, 1), formula)
    numbers = parse_formula(formula, 1)
    return Atoms(numbers.tolist(), scaled_positions=F[0].numpy(), cell=H[0].numpy(), pbc=True)


@pytest.mark.parametrize("formula", ["Si2", "Si4", "Si6", "Si8", "Si16"])
def test_cells_of_any_size_hold_the_same_crystal(formula):
    atoms = bulk("Si", cubic=True)
    structures = [AseAtomsAdaptor.get_structure(a) for a in (atoms, resized(atoms, formula))]
    matcher = StructureMatcher(scale=False)
    assert matcher.fit(*(s.get_primitive_structure() for s in structures))


def test_supercells_are_compact():
    lengths = resized(bulk("Po", "sc", a=3.0), "Po8").cell.lengths()
    np.testing.assert_allclose(lengths, 6.0)


def test_atoms_stand_in_the_order_of_the_formula():
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    assert resized(atoms, "ClNa").symbols.get_chemical_formula(mode="reduce") == "ClNa"
    assert resized(atoms, "Cl2Na2").symbols.get_chemical_formula(mode="reduce") == "Cl2Na2"


def test_left_handed_cells_are_turned():
    atoms = make_supercell(bulk("Si", cubic=True), [[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    assert np.linalg.det(atoms.cell) < 0
    H = with_atoms_of(from_ase([atoms])[0], torch.full((8,), 14), "Si8")[1]
    assert torch.linalg.det(H[0]) > 0


def test_other_compositions_are_refused():
    with pytest.raises(InputError, match="must all be Si6C2, got C4Si4"):
        resized(bulk("SiC", "zincblende", a=4.3, cubic=True), "Si6C2")
    atoms = bulk("Si", cubic=True)[:4]
    atoms.rattle(0.3, seed=0)
    with pytest.raises(InputError, match=r"primitive cell is Si4\. Search a multiple of Si4"):
        resized(atoms, "Si6")
