"""One lattice has many cells: a crystal is given the lattice vectors of the space."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.cell import Cell

from bostruct.errors import InputError
from bostruct.spaces.crystals.cell_setting import given_freedom, in_setting_of
from bostruct.spaces.crystals.packing import neighbor_distances
from bostruct.structures import from_ase

OBLIQUE = [[4.2, 0.3, 0.1], [1.1, 4.0, -0.2], [0.4, 0.8, 5.1]]
SHEARS = [np.eye(3), [[1, 0, 0], [2, 1, 0], [-1, 3, 1]], np.diag([-1, -1, 1])]


@pytest.mark.parametrize(
    "cell",
    [OBLIQUE, np.array(OBLIQUE), Cell(OBLIQUE), torch.tensor(OBLIQUE), Atoms(cell=OBLIQUE)],
    ids=lambda cell: type(cell).__name__,
)
def test_cells_are_read_as_ase_reads_them(cell):
    freedom = given_freedom(cell, "none", None)
    expected = torch.tensor(OBLIQUE).double()
    torch.testing.assert_close(freedom.to_frame(freedom.cell), expected, atol=1e-6, rtol=0)


def test_lengths_and_angles_are_a_cell():
    freedom = given_freedom([3, 4, 5, 90, 90, 120], "volume", None)
    assert freedom.volume == pytest.approx(60 * np.sqrt(0.75))
    assert given_freedom([3, 4, 5], "volume", 100.0).volume == pytest.approx(100)


@pytest.mark.parametrize("cell", ["cubic", 3, [1, 2], [[1, 0, 0], [2, 0, 0], [0, 0, 1]]])
def test_what_is_no_cell_is_refused(cell):
    with pytest.raises(InputError, match=r"`cell` must (be a cell|span a volume), got"):
        given_freedom(cell, "none", None)


def test_other_variables_are_refused():
    with pytest.raises(InputError, match="`variable` must be one of none, volume, got 'shape'"):
        given_freedom(OBLIQUE, "shape", None)


def distances(F, H):
    """Return the distances of all atoms to their neighbors."""
    return neighbor_distances(F, H, torch.zeros(2, dtype=torch.int64), 6.0, 12)


def in_other_setting(T, scale=1.0):
    atoms = bulk("Si", "diamond", a=5.4 * scale)
    sheared = make_supercell(atoms, T)
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turned = Atoms(sheared.symbols, sheared.positions @ Q, cell=sheared.cell @ Q, pbc=True)
    structures = from_ase([turned])
    H = structures.cell
    return torch.linalg.solve(H[0], structures.positions, left=False).unsqueeze(0), H


@pytest.mark.parametrize("T", SHEARS)
def test_lattice_vectors_of_one_lattice_are_found(T):
    cell = torch.from_numpy(np.array(bulk("Si", "diamond", a=5.4).cell))
    F, H = in_other_setting(T)
    f, h = in_setting_of(F, H, cell, any_volume=False)
    torch.testing.assert_close(h[0], cell)
    torch.testing.assert_close(distances(f, h), distances(F, H), atol=1e-6, rtol=0)
    assert in_setting_of(*in_other_setting(T, 1.01), cell, any_volume=False) is None
    _, h = in_setting_of(*in_other_setting(T, 1.01), cell, any_volume=True)
    torch.testing.assert_close(h[0], 1.01 * cell)


def test_other_lattices_are_not():
    F, H = in_other_setting(np.eye(3))
    assert in_setting_of(F, H, torch.eye(3).double(), any_volume=True) is None
