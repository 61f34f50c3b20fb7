import logging
import warnings

import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.constraints import FixAtoms, FixSymmetry
from pymatgen.core import Lattice, Structure

from bostruct.errors import InputError
from bostruct.spaces.alloys.parent_lattice import (
    parent_atoms,
    parent_supercell,
    primitive_cell,
    suppress_spglib_warnings,
)


def test_reads_ase_and_pymatgen():
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    structure = Structure(atoms.cell.array, ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
    for parent in (atoms, structure):
        made = parent_atoms(parent)
        assert made.get_chemical_formula() == "ClNa"
        assert made.get_volume() == pytest.approx(5.6**3 / 4)
        assert made.pbc.all()
    assert parent_atoms(atoms) is not atoms


def test_a_disordered_site_keeps_what_it_holds_most():
    site = [{"Cu": 0.3, "Au": 0.7}]
    made = parent_atoms(Structure(Lattice.cubic(4), site, [[0, 0, 0]]))
    assert made.get_chemical_formula() == "Au"


def test_the_usual_supercell():
    assert len(parent_supercell(None)) == 32
    assert len(parent_supercell(bulk("Cu"))) == 1


def test_primitive_cells_are_not_turned():
    cell = primitive_cell(bulk("Cu", cubic=True) * (2, 1, 3))
    assert len(cell) == 1
    assert cell.get_volume() == pytest.approx(3.61**3 / 4)
    salt = primitive_cell(bulk("NaCl", "rocksalt", a=5.6, cubic=True))
    assert salt.get_chemical_formula() == "ClNa"


def test_hushes_one_warning_only():
    with suppress_spglib_warnings(), pytest.warns(DeprecationWarning, match="another"):
        warnings.warn("another", DeprecationWarning, stacklevel=1)
    with suppress_spglib_warnings():
        warnings.warn("Set OLD_ERROR_HANDLING", DeprecationWarning, stacklevel=1)


@pytest.mark.parametrize(
    ("parent", "match"),
    [
        ("Cu", "`parent` must be ASE's Atoms or pymatgen's Structure, got str"),
        (Atoms(), "`parent` must have at least one site, got 0"),
        (molecule("H2O"), "`parent` must repeat along three axes"),
    ],
)
def test_refusals(parent, match):
    with pytest.raises(InputError, match=match):
        parent_supercell(parent)


def test_refuses_what_spglib_cannot_read():
    twice = Atoms("Cu2", [[0, 0, 0], [0, 0, 0]], cell=[3, 3, 3], pbc=True)
    with pytest.raises(InputError, match="`parent` must have a primitive cell"):
        primitive_cell(twice)


def test_tags_and_fixed_atoms_stay():
    slab = fcc111("Cu", (1, 1, 3), vacuum=5)
    slab.set_constraint(FixAtoms([0, 1]))
    made = parent_atoms(slab)
    assert made.get_tags().tolist() == [3, 2, 1]
    assert made.constraints[0].get_indices().tolist() == [0, 1]
    symmetric = bulk("Cu")
    symmetric.set_constraint(FixSymmetry(symmetric))
    with pytest.raises(InputError, match="have FixAtoms constraints only, got FixSymmetry"):
        parent_atoms(symmetric)
    slab.pbc = True
    with pytest.raises(InputError, match="have no constraints, got fixed atoms"):
        parent_supercell(slab)


def test_moments_of_a_parent_are_told_to_be_left_out(caplog):
    iron = bulk("Fe")
    iron.info["charge"] = 1
    with caplog.at_level(logging.WARNING):
        assert not parent_atoms(iron).has("initial_magmoms")
        parent_atoms(bulk("Cu"))
    (record,) = caplog.records
    assert "the initial magnetic moments and info['charge'] of the parent Fe" in record.message
