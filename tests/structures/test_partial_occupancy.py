import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.spacegroup import crystal

from bostruct.structures.partial_occupancy import partial_occupancy


def cif(tmp_path, *sites):
    """Return the path of a CIF with sites "Cu 0.6" on the four sites of a cube."""
    names = ["_cell_length_a", "_cell_length_b", "_cell_length_c"]
    head = ["data_x", *(f"{name} 3.75" for name in names)]
    head += [f"_cell_angle_{name} 90" for name in ("alpha", "beta", "gamma")]
    head += ["_space_group_name_H-M_alt 'P 1'", "loop_"]
    columns = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
    head += [f"_atom_site_{name}" for name in columns]
    rows = []
    for i, (place, text) in enumerate(zip(("0 0 0", ".5 .5 0"), sites, strict=True)):
        for species in text.split(", "):
            symbol, occupancy = species.split()
            rows.append(f"{symbol}{i} {symbol} {place} {occupancy}")
    path = tmp_path / "x.cif"
    path.write_text("\n".join(head + rows) + "\n")
    return path


@pytest.mark.parametrize(
    ("sites", "text"),
    [
        (("Cu 1", "Cu 1"), ""),
        (("Cu 1", "Cu 0.6, Au 0.4"), "0.6 Cu 0.4 Au on site 1"),
        (("Cu 1", "Cu 0.3"), "0.3 Cu on site 1"),
        (("Cu 1.0004", "Cu 0.9996"), ""),
        (("Cu 1", "Cu 1, Au 0"), ""),
    ],
)
def test_sites_of_a_cif(tmp_path, sites, text):
    atoms = ase.io.read(cif(tmp_path, *sites))
    assert partial_occupancy(atoms) == text
    assert partial_occupancy(atoms * (2, 1, 1)) == text


def test_occupancies_survive_extxyz(tmp_path):
    atoms = ase.io.read(cif(tmp_path, "Cu 1", "Cu 0.6, Au 0.4"))
    ase.io.write(tmp_path / "a.extxyz", atoms)
    assert "0.6 Cu" in partial_occupancy(ase.io.read(tmp_path / "a.extxyz"))


def test_a_column_of_atoms():
    atoms = bulk("Cu") * (2, 1, 1)
    atoms.set_array("occupancies", np.array([1.0, 0.5]))
    assert partial_occupancy(atoms) == "0.5 Cu on atom 1"
    del atoms.arrays["occupancies"]
    atoms.set_array("occupancy", np.zeros(2))
    assert partial_occupancy(atoms) == ""  # a program that knows none
    atoms.set_array("occupancy", np.array([0.0, 1.0]))
    assert partial_occupancy(atoms) == "0 Cu on atom 0"


def test_other_entries_of_that_name():
    atoms = crystal("Cu", [(0, 0, 0)], spacegroup=225, cellpar=[3.6] * 3 + [90] * 3)
    atoms.info["occupancy"] = "full"
    assert partial_occupancy(atoms) == ""
