import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.lj import LennardJones
from ase.cluster import Icosahedron

from bostruct.evaluators.vacuum_box import vacuum_box


def test_vacuum_on_each_side():
    cluster = Icosahedron("Cu", 2)
    cluster.cell = None
    box = vacuum_box(cluster, 5.0)
    assert box.pbc.all()
    low, high = box.positions.min(0), box.positions.max(0)
    assert (low >= 5.0).all()
    assert (high <= box.cell.lengths() - 5.0).all()
    assert np.allclose(box.positions.mean(0), box.cell.lengths() / 2)
    assert np.allclose(box.get_all_distances(), cluster.get_all_distances())


def test_the_box_does_not_turn_with_the_structure():
    cluster = Icosahedron("Cu", 2)
    cluster.cell = None
    cluster.rattle(0.3, seed=2)
    turned = cluster.copy()
    turned.rotate(37, (1, 2, 3))
    turned.translate((9, -4, 2))
    lengths = vacuum_box(cluster, 8.0).cell.lengths()
    assert lengths[0] == lengths[1] == lengths[2]
    assert np.allclose(vacuum_box(turned, 8.0).cell.lengths(), lengths, rtol=0, atol=1e-12)


def test_compact_structures_of_a_formula_share_a_box():
    rng = np.random.default_rng(0)
    boxes = {
        vacuum_box(Atoms("Cu8", rng.uniform(-1.6, 1.6, (8, 3))), 6.0).cell.lengths()[0]
        for _ in range(20)
    }
    assert len(boxes) == 1
    chain = vacuum_box(Atoms("Cu8", [(2.4 * i, 0, 0) for i in range(8)]), 6.0)
    assert chain.cell.lengths()[0] >= 2.4 * 7 + 12
    assert chain.cell.lengths()[0] > boxes.pop()


def test_one_atom_and_a_molecule():
    for atoms in (Atoms("Ar"), molecule("H2")):
        box = vacuum_box(atoms, 4.0)
        assert 8.0 < box.cell.lengths()[0] < 13.0


def test_energy_and_forces_are_those_of_the_structure():
    free = Atoms("Ar4", [(0, 0, 0), (3.8, 0, 0), (0, 3.9, 0), (1, 1, 3.7)])
    box = vacuum_box(free, 12.0)
    for atoms in (free, box):
        atoms.calc = LennardJones(sigma=3.4, epsilon=0.01, rc=10.0)
    assert box.get_potential_energy() == pytest.approx(free.get_potential_energy(), abs=1e-12)
    assert np.allclose(box.get_forces(), free.get_forces(), atol=1e-12)


def test_a_slab_is_given_what_it_lacks():
    slab = fcc111("Cu", (2, 2, 3))
    assert not slab.cell[2].any()
    box = vacuum_box(slab, 7.0)
    assert np.allclose(box.cell[:2], slab.cell[:2])
    assert box.pbc.all()
    height = np.ptp(slab.positions[:, 2])
    assert box.cell[2, 2] >= height + 14.0
    assert box.positions[:, 2].min() >= 7.0 - 1e-9
    assert box.positions[:, 2].max() <= box.cell[2, 2] - 7.0 + 1e-9
    assert np.allclose(box.positions[:, :2], slab.positions[:, :2])
    given = fcc111("Cu", (2, 2, 3), vacuum=9.0)
    assert np.allclose(vacuum_box(given, 7.0).cell, given.cell)  # the user's own
    assert np.allclose(vacuum_box(given, 7.0).positions, given.positions)


@pytest.mark.parametrize("slant", [0.0, 1.5])
def test_a_slab_with_too_little_vacuum_is_given_more(slant):
    slab = fcc111("Cu", (2, 2, 3), vacuum=1.0)
    slab.pbc = (True, True, False)
    cell = slab.cell[:]
    cell[2, 0] = slant
    slab.set_cell(cell)
    box = vacuum_box(slab, 7.0)
    assert np.allclose(box.cell[:2], slab.cell[:2])
    assert np.allclose(np.cross(box.cell[2], slab.cell[2]), 0.0)
    assert box.positions[:, 2].min() >= 7.0 - 1e-9
    assert box.positions[:, 2].max() <= box.cell[2, 2] - 7.0 + 1e-9
    assert np.allclose(box.get_all_distances(), slab.get_all_distances())


def test_a_wire_is_given_what_it_lacks():
    wire = Atoms("Cu2", [(0, 0, 0), (0.5, 0, 2.5)], cell=[3, 30, 5], pbc=(False, False, True))
    box = vacuum_box(wire, 6.0)
    assert np.allclose(box.cell[1:], wire.cell[1:])
    assert box.cell[0, 0] >= 12.5
    assert np.allclose(box.positions[:, 1:], wire.positions[:, 1:])
    assert box.positions[:, 0].mean() == pytest.approx(box.cell[0, 0] / 2)


def test_a_crystal_stays():
    crystal = bulk("Cu")
    assert vacuum_box(crystal, 5.0) == crystal


def test_what_the_atoms_carry_stays():
    atoms = molecule("O2")
    atoms.info["charge"] = 1
    box = vacuum_box(atoms, 5.0)
    assert box.get_initial_magnetic_moments().tolist() == [1.0, 1.0]
    assert box.info == {"charge": 1}
